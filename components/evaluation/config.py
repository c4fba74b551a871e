"""What TFMA is asked: metrics, thresholds, and the schema that keeps pictures out of memory."""

import json
from collections.abc import Iterable
from typing import Annotated, Any

import pydantic
import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis import constants

from avmae_tf.config import Spec
from avmae_tf.config.heads import EVENT, HEADS, LABEL, NOUN, VERB
from avmae_tf.data.records import label_index_key
from avmae_tf.training.serving import output_keys
from components.evaluation import metrics

ACTION, TOP1, TOP5, MAP, D_PRIME = METRICS = ('action', 'top1', 'top5', 'map', 'dprime')

Share = Annotated[float, pydantic.Field(ge=0.0, le=1.0)]


class Gate(Spec):
    """What a model must reach to be pushed; None leaves a metric out of the gate.

    `max_loss_of_top1` is how far Top-1, of actions where clips have nouns and verbs, may fall
    below that of the last blessed model; the first one has nothing to fall below. A gate without
    any bound lets every model pass that was measured on a clip. A bounded metric that is undefined
    on the clips at hand is not reached.
    """

    min_top1: Share | None = None
    min_map: Share | None = None
    min_action: Share | None = None
    max_loss_of_top1: Share | None = 0.05

    @property
    def is_open(self) -> bool:
        """Whether it bounds nothing."""
        return not any(bound is not None for bound in self.model_dump().values())


def eval_config(
    gate: Gate, heads: Iterable[str] = (LABEL,), loss: str = 'softmax'
) -> tfma.EvalConfig:
    """The metrics of a classifier with these heads, on its signature for records, gated.

    One right class: Top-1, Top-5, mean average precision and the confusion matrix. Any number
    (`loss` is 'sigmoid'): Top-1 and Top-5, whether a label is among the best, mean average
    precision and d'. An event a second: Top-1 and Top-5 of seconds. Several heads: those of each,
    named for it (`top1_noun`), and action accuracy of nouns and verbs. All are of the clips that
    have labels; others are counted.

    Raises:
        ValueError: the gate bounds a metric that there is not.
    """
    heads = tuple(heads)
    outputs = {head: output_keys(head, heads)[0] for head in heads}
    by_output = {outputs[head]: _metrics_of(head, loss, alone=len(heads) == 1) for head in heads}
    of_all = [_own('Clips', 'clips', outputs=[o if len(heads) > 1 else '' for o in by_output])]
    # TFMA blesses a model only if there is a bound. One against a baseline does not count where
    # there is no baseline, and no first model would ever pass: this bound is always there.
    of_all[0].threshold.value_threshold.lower_bound.value = 1
    if {NOUN, VERB} <= set(heads):
        pair = [outputs[NOUN], outputs[VERB]]
        of_all.insert(0, _own('ActionAccuracy', ACTION, outputs=pair))
    if heads == (LABEL,) and loss == 'softmax':
        of_all.append(_own('ConfusionMatrix', 'confusion', thresholds=[0.0]))
    _set_thresholds(gate, [m for found in (*by_output.values(), of_all) for m in found])

    if len(heads) == 1:
        ((output, wanted),) = by_output.items()
        keys: dict[str, Any] = {
            'label_key': label_index_key(*heads),
            'prediction_key': output,
        }
        specs = [tfma.MetricsSpec(metrics=wanted + of_all)]
    else:
        labels = {outputs[head]: label_index_key(head) for head in heads}
        keys = {'label_keys': labels}
        specs = [tfma.MetricsSpec(output_names=[o], metrics=m) for o, m in by_output.items()]
        specs.append(tfma.MetricsSpec(metrics=of_all))
    return tfma.EvalConfig(
        # Of a type: else TFMA loads the model once more, to see whether it is one of Keras.
        model_specs=[
            tfma.ModelSpec(
                signature_name='serving_default', model_type=constants.TF_GENERIC, **keys
            )
        ],
        slicing_specs=[tfma.SlicingSpec()],
        metrics_specs=specs,
    )


def _metrics_of(head: str, loss: str, *, alone: bool) -> list[tfma.MetricConfig]:
    top1, top5, mean_ap, d_prime = (
        name if alone else f'{name}_{head}' for name in (TOP1, TOP5, MAP, D_PRIME)
    )
    found = [_own('Accuracy', top1, k=1), _own('Accuracy', top5, k=5)]
    if head == LABEL or (head != EVENT and loss == 'sigmoid'):
        found.append(_own('MeanAveragePrecision', mean_ap))
    if head != EVENT and loss == 'sigmoid':
        found.append(_own('DPrime', d_prime))
    return found


def _own(class_name: str, name: str, **settings: Any) -> tfma.MetricConfig:
    return tfma.MetricConfig(
        class_name=class_name,
        module=metrics.__name__,
        config=json.dumps({**settings, 'name': name}),
    )


def _set_thresholds(gate: Gate, wanted: list[tfma.MetricConfig]) -> None:
    """Writes the bounds of the gate into the metrics that they are on."""
    by_name = {json.loads(metric.config)['name']: metric for metric in wanted}
    bounded = {
        'min_top1': TOP1,
        'min_map': MAP,
        'min_action': ACTION,
        'max_loss_of_top1': ACTION if ACTION in by_name else TOP1,
    }
    for field, name in bounded.items():
        bound = getattr(gate, field)
        if bound is None:
            continue
        if name not in by_name:
            has = [other for other in by_name if other.partition('_')[0] in METRICS]
            raise ValueError(
                f'gate.{field} bounds the metric {name!r}, which this classifier does not have, '
                f'got {bound}; it has {", ".join(has)}: set gate.{field} to null'
            )
        threshold = by_name[name].threshold
        if field.startswith('min_'):
            threshold.value_threshold.lower_bound.value = bound
        else:
            threshold.change_threshold.direction = tfma.MetricDirection.HIGHER_IS_BETTER
            threshold.change_threshold.absolute.value = -bound


def label_schema() -> str:
    """A schema of the labels alone, as text: TFMA then never unpacks the pictures."""
    schema = schema_pb2.Schema()
    for head in HEADS:
        name = label_index_key(head)
        schema.feature.add(name=name, type=schema_pb2.INT).value_count.min = 0
    return text_format.MessageToString(schema)
