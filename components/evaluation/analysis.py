"""TFMA on a SavedModel without a pipeline, with the metrics of the pipeline."""

import itertools
import os

import apache_beam as beam
import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.tfxio import tf_example_record

from avmae_tf.data.heads import HEADS, Classes
from avmae_tf.data.locks import holds
from avmae_tf.data.records import check_records, load_dataset
from avmae_tf.training.export import describe_served, latest_version
from components.evaluation.config import METRICS, Gate, eval_config, label_schema


def read_metrics(report: str) -> dict[str, float]:
    """The metrics in TFMA's report by name, over all clips: those of `eval_config` that there are.

    They come in the order of METRICS, and of HEADS where each head has its own.
    """
    ((_, outputs),) = tfma.load_eval_result(report).slicing_metrics
    values = {name: value for keys in outputs.values() for name, value in keys[''].items()}
    names = [*METRICS, *(f'{name}_{head}' for name in METRICS for head in HEADS)]
    return {name: float(values[name]['doubleValue']) for name in names if name in values}


@holds('report')
def analyse(saved_model: str, folder: str, split: str, report: str) -> dict[str, float]:
    """Measures a SavedModel, or the latest version of one, on a split of the records in `folder`.

    Writes TFMA's report.

    Raises:
        ValueError: the records have other classes than the model, or a shard is damaged.
    """
    saved_model = latest_version(saved_model)
    dataset, served = load_dataset(folder), describe_served(saved_model)
    _check_classes(dataset.heads, served.heads, folder)
    check_records(folder, dataset, split)  # TFMA passes over what is missing
    shards = dataset.shards(split)
    config = eval_config(Gate(max_loss_of_top1=None), served.heads, served.finetune.loss)
    model = tfma.default_eval_shared_model(saved_model, eval_config=config)
    source = tf_example_record.TFExampleRecord(
        file_pattern=[os.path.join(folder, shard.path) for shard in shards],
        schema=text_format.Parse(label_schema(), schema_pb2.Schema()),
        raw_record_column_name=tfma.ARROW_INPUT_COLUMN,
    )
    with beam.Pipeline() as pipeline:
        _ = (
            pipeline
            | source.BeamSource()
            | tfma.ExtractEvaluateAndWriteResults(
                eval_config=config, eval_shared_model=model, output_path=report
            )
        )
    return read_metrics(report)


def _check_classes(ours: Classes, models: Classes, folder: str):
    for head in HEADS:
        pairs = itertools.zip_longest(ours.get(head, ()), models.get(head, ()))
        for index, (our, model) in enumerate(pairs):
            if our != model:
                raise ValueError(
                    f'{folder}: records and model must have the same classes of {head!r}, got '
                    f'{our!r} and {model!r} as the class {index}; give the records of the data '
                    'set that the model was trained on'
                )
