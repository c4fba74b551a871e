"""The metrics of TFMA's reports, of the clips that have labels.

What the clips at hand do not define is `Undefined`, with its reason; the others stand.
"""

import functools
from collections.abc import Callable
from typing import Any

import apache_beam as beam
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import (
    metric_types,
    metric_util,
    multi_class_confusion_matrix_plot,
)

from components.evaluation.combiners import Count, Mean, OfLabelled, Ranking
from components.evaluation.measures import d_prime, mean_average_precision


class MeanAveragePrecision(metric_types.Metric):
    """`mean_average_precision` of single-label or multi-label classifiers."""

    def __init__(self, name: str = 'map') -> None:
        make = functools.partial(Ranking, measure=mean_average_precision)
        super().__init__(_computations(make), name=name)


class DPrime(metric_types.Metric):
    """`d_prime` of multi-label classifiers."""

    def __init__(self, name: str = 'dprime') -> None:
        super().__init__(_computations(functools.partial(Ranking, measure=d_prime)), name=name)


class Accuracy(metric_types.Metric):
    """Mean of `share_right` over clips, whose labels may be several, or one for each second."""

    def __init__(self, k: int = 1, name: str = 'accuracy') -> None:
        super().__init__(_computations(functools.partial(Mean, k=k)), name=name, k=k)


class ActionAccuracy(metric_types.Metric):
    """Share of clips for which the best class of every one of `outputs` is right (Sec. 4.1).

    The best pair of noun and verb is that of the best noun and the best verb.
    """

    def __init__(self, outputs: list[str], name: str = 'action') -> None:
        make = functools.partial(Mean, outputs=tuple(outputs))
        super().__init__(_computations(make), name=name, outputs=outputs)


class Clips(metric_types.Metric):
    """How many clips have a label at all of `outputs`, and, as LEFT_OUT, how many have not."""

    def __init__(self, outputs: list[str], name: str = 'clips') -> None:
        make = functools.partial(Count, outputs=tuple(outputs))
        super().__init__(_computations(make), name=name, outputs=outputs)


class ConfusionMatrix(multi_class_confusion_matrix_plot.MultiClassConfusionMatrixPlot):
    """TFMA's plot, of the clips that have labels."""

    def computations(
        self, eval_config: tfma.EvalConfig | None = None, **settings: Any
    ) -> metric_types.MetricComputations:
        """TFMA's, over the clips that have labels."""
        return [
            c._replace(combiner=OfLabelled(c.keys[0], eval_config, c.combiner))
            if isinstance(c, metric_types.MetricComputation)
            else c
            for c in super().computations(eval_config=eval_config, **settings)
        ]


for _metric in (*(MeanAveragePrecision, DPrime, Accuracy, ActionAccuracy, Clips, ConfusionMatrix),):
    metric_types.register_metric(_metric)


def _computations(make: Callable[..., beam.CombineFn]) -> Callable[..., Any]:
    """What TFMA calls for the computations of a metric whose combiner `make(key, config)` is."""

    def create(
        name: str,
        eval_config: tfma.EvalConfig | None = None,
        model_name: str = '',
        output_name: str = '',
        **_: Any,
    ) -> metric_types.MetricComputations:
        key = metric_types.MetricKey(name=name, model_name=model_name, output_name=output_name)
        combiner = make(key, eval_config)
        return [metric_types.MetricComputation(keys=[key], preprocessors=None, combiner=combiner)]

    return metric_util.merge_per_key_computations(create)
