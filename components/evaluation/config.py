"""What TFMA is asked: metrics, thresholds, and the schema that keeps pictures out of memory."""

import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from avmae_tf.config import Spec
from avmae_tf.data import examples
from components.evaluation import metrics

TOP1, TOP5, MAP = 'top1', 'top5', 'map'


class Gate(Spec):
    """What a model must reach to be pushed; None leaves a metric out of the gate.

    `max_loss_of_top1` is how far Top-1 may fall below that of the last blessed model.
    """

    min_top1: float | None = None
    min_map: float | None = None
    max_loss_of_top1: float | None = 0.05


def eval_config(gate: Gate) -> tfma.EvalConfig:
    """Top-1, Top-5 and mean average precision on the signature for records, gated."""

    def at_least(value):
        return tfma.GenericValueThreshold(lower_bound={'value': value})

    top1 = {}
    if gate.min_top1 is not None:
        top1['value_threshold'] = at_least(gate.min_top1)
    if gate.max_loss_of_top1 is not None:
        top1['change_threshold'] = tfma.GenericChangeThreshold(
            direction=tfma.MetricDirection.HIGHER_IS_BETTER,
            absolute={'value': -gate.max_loss_of_top1},
        )
    mean_ap = {} if gate.min_map is None else {'value_threshold': at_least(gate.min_map)}
    wanted = [
        _metric('SparseCategoricalAccuracy', TOP1, top1),
        _metric('SparseTopKCategoricalAccuracy', TOP5, {}, settings='"k": 5, '),
        _metric('MeanAveragePrecision', MAP, mean_ap, module=metrics.__name__),
        _metric('ExampleCount', 'clips', {}),
        _metric('MultiClassConfusionMatrixPlot', 'confusion', {}, settings='"thresholds": [0.0], '),
    ]
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(
                signature_name='serving_default',
                label_key=examples.LABEL_INDEX,
                prediction_key='scores',
            )
        ],
        slicing_specs=[tfma.SlicingSpec()],
        metrics_specs=[tfma.MetricsSpec(metrics=wanted)],
    )


def _metric(class_name, name, threshold: dict, *, settings='', module='') -> tfma.MetricConfig:
    return tfma.MetricConfig(
        class_name=class_name,
        module=module,
        config=f'{{{settings}"name": "{name}"}}',
        threshold=tfma.MetricThreshold(**threshold) if threshold else None,
    )


def label_schema() -> str:
    """A schema of the label alone, as text: TFMA then never unpacks the pictures."""
    schema = schema_pb2.Schema()
    feature = schema.feature.add(name=examples.LABEL_INDEX, type=schema_pb2.INT)
    feature.value_count.min = 0
    return text_format.MessageToString(schema)
