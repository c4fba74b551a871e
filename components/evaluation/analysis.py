"""TFMA on a SavedModel without a pipeline, with the metrics of the pipeline."""

import os

import apache_beam as beam
import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.tfxio import tf_example_record

from avmae_tf.data.records import load_dataset
from components.evaluation.config import MAP, TOP1, TOP5, Gate, eval_config, label_schema


def read_metrics(report: str) -> dict[str, float]:
    """Top-1, Top-5 and mean average precision out of TFMA's report."""
    values = tfma.load_eval_result(report).get_metrics_for_all_slices()[()]
    return {name: values[name]['doubleValue'] for name in (TOP1, TOP5, MAP)}


def analyse(saved_model: str, folder: str, split: str, report: str) -> dict[str, float]:
    """Measures `saved_model` on a split of the records in `folder`; writes TFMA's report."""
    shards = load_dataset(folder).shards(split)
    config = eval_config(Gate(max_loss_of_top1=None))
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
