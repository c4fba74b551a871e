"""Metrics that TFMA does not have, computed exactly.

Shapes: N clips, C classes, S seconds, k labels of a clip.
"""

import functools
from collections.abc import Callable, Iterable

import apache_beam as beam
import numpy as np
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score
from tensorflow_model_analysis.metrics import metric_types, metric_util

Measure = Callable[[np.ndarray, np.ndarray], float]


def mean_average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Unweighted mean over classes of average precision (Sec. 4.1, AudioSet).

    `labels` [N, C] are 0 or 1, `scores` [N, C] rank the clips of a class. A class that no clip
    has is left out.
    """
    present = labels.any(axis=0)
    return float(average_precision_score(labels[:, present], scores[:, present], average='macro'))


def d_prime(labels: np.ndarray, scores: np.ndarray) -> float:
    """sqrt(2) times the normal quantile of the area under the ROC curve, its mean over classes.

    `labels` [N, C] are 0 or 1. A class that no clip or every clip has is left out.
    """
    ranked = labels.any(axis=0) & ~labels.all(axis=0)
    mean_area = roc_auc_score(labels[:, ranked], scores[:, ranked], average='macro')
    return float(np.sqrt(2.0) * norm.ppf(mean_area))


def share_right(labels: np.ndarray, scores: np.ndarray, k: int = 1) -> float:
    """Whether a label [k] of a clip is among its `k` best `scores` [C]; 0 without labels.

    Of labels [S] and scores [S, C], one label a second: the share of seconds.
    """
    best = np.argsort(-scores, axis=-1, kind='stable')[..., :k]
    right = best == labels[:, None] if scores.ndim > 1 else np.isin(best, labels)
    return float(right.any(axis=-1).mean())


class MeanAveragePrecision(metric_types.Metric):
    """`mean_average_precision` of single-label or multi-label classifiers."""

    def __init__(self, name: str = 'map'):
        make = functools.partial(_Ranking, measure=mean_average_precision)
        super().__init__(_computations(make), name=name)


class DPrime(metric_types.Metric):
    """`d_prime` of multi-label classifiers."""

    def __init__(self, name: str = 'dprime'):
        super().__init__(_computations(functools.partial(_Ranking, measure=d_prime)), name=name)


class Accuracy(metric_types.Metric):
    """Mean of `share_right` over clips, whose labels may be several, or one for each second."""

    def __init__(self, k: int = 1, name: str = 'accuracy'):
        super().__init__(_computations(functools.partial(_Mean, k=k)), name=name, k=k)


class ActionAccuracy(metric_types.Metric):
    """Share of clips for which the best class of every one of `outputs` is right (Sec. 4.1).

    The best pair of noun and verb is that of the best noun and the best verb.
    """

    def __init__(self, outputs: list[str], name: str = 'action'):
        make = functools.partial(_Mean, outputs=tuple(outputs))
        super().__init__(_computations(make), name=name, outputs=outputs)


for _metric in (MeanAveragePrecision, DPrime, Accuracy, ActionAccuracy):
    metric_types.register_metric(_metric)


def _computations(make: Callable):
    """What TFMA calls for the computations of a metric whose combiner `make(key, config)` is."""

    def create(name: str, eval_config=None, model_name: str = '', output_name: str = '', **_):
        key = metric_types.MetricKey(name=name, model_name=model_name, output_name=output_name)
        combiner = make(key, eval_config)
        return [metric_types.MetricComputation(keys=[key], preprocessors=None, combiner=combiner)]

    return metric_util.merge_per_key_computations(create)


class _Clips(beam.CombineFn):
    """What the combiners share: the key of their metric, and how they read a clip."""

    def __init__(self, key: metric_types.MetricKey, eval_config):
        self.key = key
        self.eval_config = eval_config

    def read(self, element: metric_types.StandardMetricInputs, output_name: str):
        """Labels int64 [k] and scores [(S,) C] of the clip at one output."""
        ((label, scores, _),) = metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self.eval_config,
            model_name=self.key.model_name,
            output_name=output_name,
            flatten=False,
            require_single_example_weight=True,
        )
        given = [index for index in np.ravel(label) if index is not None]  # [None] is no label
        return np.asarray(given, np.int64), np.asarray(scores)


class _Ranking(_Clips):
    """Gathers labels and scores of all clips: the ranking of a class needs them together."""

    def __init__(self, key: metric_types.MetricKey, eval_config, measure: Measure):
        super().__init__(key, eval_config)
        self.measure = measure

    def create_accumulator(self) -> list:
        return []

    def add_input(self, accumulator: list, element: metric_types.StandardMetricInputs) -> list:
        accumulator.append(self.read(element, self.key.output_name))
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[list]) -> list:
        return [clip for accumulator in accumulators for clip in accumulator]

    def extract_output(self, accumulator: list) -> metric_types.MetricsDict:
        scores = np.stack([scores for _, scores in accumulator]).astype(np.float64)
        labels = np.zeros(scores.shape, np.int8)
        for row, (label, _) in enumerate(accumulator):
            labels[row, label] = 1
        return {self.key: self.measure(labels, scores)}


class _Mean(_Clips):
    """Mean over clips of the product of `share_right` at some outputs."""

    def __init__(
        self, key: metric_types.MetricKey, eval_config, k: int = 1, outputs: tuple[str, ...] = ()
    ):
        super().__init__(key, eval_config)
        self.k = k
        self.outputs = outputs or (key.output_name,)

    def create_accumulator(self) -> tuple[float, int]:
        return 0.0, 0

    def add_input(self, accumulator, element: metric_types.StandardMetricInputs):
        right, clips = accumulator
        shares = [share_right(*self.read(element, output), self.k) for output in self.outputs]
        return right + float(np.prod(shares)), clips + 1

    def merge_accumulators(self, accumulators: Iterable[tuple[float, int]]):
        right, clips = zip(*accumulators, strict=True)
        return sum(right), sum(clips)

    def extract_output(self, accumulator) -> metric_types.MetricsDict:
        right, clips = accumulator
        return {self.key: right / clips}
