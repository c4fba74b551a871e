"""TFMA on a SavedModel without a pipeline, with the metrics of the pipeline."""

import base64
import itertools
import os
from typing import NamedTuple

import apache_beam as beam
import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.tfxio import tf_example_record

from avmae_tf.config import MediaSpec
from avmae_tf.config.heads import HEADS, Classes
from avmae_tf.data.dataset import check_records, load_dataset
from avmae_tf.data.labelled import check_one_label, count_labels
from avmae_tf.data.locks import holds
from avmae_tf.training.export import describe_served, latest_version, record_outputs
from avmae_tf.training.serving import ERROR
from components.evaluation.combiners import LEFT_OUT, REASON
from components.evaluation.config import METRICS, Gate, eval_config, label_schema
from components.evaluation.measures import Undefined
from components.evaluation.staging import readable, writable


class Evaluation(NamedTuple):
    """How well a model does: metrics by name, and how many clips had no label to measure with."""

    metrics: dict[str, float]
    left_out: int


def read_metrics(report: str) -> dict[str, float]:
    """The metrics in TFMA's report by name, over all clips: those of `eval_config` that there are.

    They come in the order of METRICS, and of HEADS where each head has its own; one that the clips
    do not define is `Undefined`, and tells the reason.
    """
    values = _values(report)
    names = [*METRICS, *(f'{name}_{head}' for name in METRICS for head in HEADS)]
    return {name: _value(values, name) for name in names if name in values}


def read_left_out(report: str) -> int:
    """How many clips had no label, so that nothing was measured on them."""
    return int(_values(report)[LEFT_OUT]['doubleValue'])


def _values(report: str) -> dict[str, dict]:
    ((_, outputs),) = tfma.load_eval_result(report).slicing_metrics
    return {name: value for keys in outputs.values() for name, value in keys[''].items()}


def _value(values: dict[str, dict], name: str) -> float:
    if reason := values.get(name + REASON):
        return Undefined(base64.b64decode(reason['bytesValue']).decode())
    return float(values[name]['doubleValue'])


@holds('report')
def analyse(saved_model: str, folder: str, split: str, report: str) -> Evaluation:
    """Measures a SavedModel, or the latest version of one, on a split of the records in `folder`.

    Writes TFMA's report. The metrics are those of `read_metrics`.

    Raises:
        ValueError: the records have other classes than the model, several labels where it can
            give one, or none at all, or a shard is damaged.
    """
    saved_model = latest_version(saved_model)
    dataset, served = load_dataset(folder), describe_served(saved_model)
    check_classes(dataset.heads, served.heads, folder)
    check_size(dataset.media, served.media, folder, saved_model)
    num_clips = dataset.num_examples(split)
    check_records(folder, dataset, split)  # TFMA passes over what is missing
    dataset = count_labels(folder, dataset, [split])
    assert served.finetune is not None, 'only classifiers are exported'
    if served.finetune.loss == 'softmax':
        check_one_label(folder, dataset, [split])
    shards = dataset.shards(split, labelled=True)
    config = eval_config(Gate(max_loss_of_top1=None), served.heads, served.finetune.loss)
    model = tfma.default_eval_shared_model(saved_model, eval_config=config)
    parts = {os.path.dirname(shard.path) for shard in shards}
    with readable(folder, parts) as records, writable(report) as output:
        source = tf_example_record.TFExampleRecord(
            file_pattern=[os.path.join(records, shard.path) for shard in shards],
            schema=text_format.Parse(label_schema(), schema_pb2.Schema()),
            raw_record_column_name=tfma.ARROW_INPUT_COLUMN,
        )
        with beam.Pipeline() as pipeline:
            _ = (
                pipeline
                | source.BeamSource()
                | tfma.ExtractEvaluateAndWriteResults(
                    eval_config=config, eval_shared_model=model, output_path=output
                )
            )
    left_out = num_clips - dataset.num_examples(split, labelled=True)
    return Evaluation(read_metrics(report), left_out)


def check_size(ours: MediaSpec, models: MediaSpec, folder: str, saved_model: str) -> None:
    """Raises ValueError where a model of an earlier export cannot read frames of this size."""
    sides = ours.stored_side_px, models.stored_side_px
    if sides[0] != sides[1] and ERROR not in record_outputs(saved_model):
        raise ValueError(
            f'{folder}: records of {sides[0]} px, and {saved_model}, which an earlier version '
            f'exported, reads only those of {sides[1]} px; export the model again'
        )


def check_classes(ours: Classes, models: Classes, folder: str) -> None:
    """Raises ValueError where records in `folder` and a model have other classes."""
    for head in HEADS:
        pairs = itertools.zip_longest(ours.get(head, ()), models.get(head, ()))
        for index, (our, model) in enumerate(pairs):
            if our != model:
                raise ValueError(
                    f'{folder}: records and model must have the same classes of {head!r}, got '
                    f'{our!r} and {model!r} as the class {index}; give the records of the data '
                    'set that the model was trained on'
                )
