"""Metrics that TFMA does not have, computed exactly.

Shapes: N clips, C classes.
"""

from collections.abc import Iterable

import apache_beam as beam
import numpy as np
from sklearn.metrics import average_precision_score
from tensorflow_model_analysis.metrics import metric_types, metric_util


def mean_average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Unweighted mean over classes of average precision (Sec. 4.1, AudioSet).

    `labels` [N, C] are 0 or 1, `scores` [N, C] rank the clips of a class. A class that no clip
    has is left out.
    """
    present = labels.any(axis=0)
    return float(average_precision_score(labels[:, present], scores[:, present], average='macro'))


class MeanAveragePrecision(metric_types.Metric):
    """`mean_average_precision` of single-label or multi-label classifiers."""

    def __init__(self, name: str = 'map'):
        super().__init__(metric_util.merge_per_key_computations(_computations), name=name)


metric_types.register_metric(MeanAveragePrecision)


def _computations(
    name: str, eval_config=None, model_name: str = '', output_name: str = '', **_
) -> metric_types.MetricComputations:
    key = metric_types.MetricKey(name=name, model_name=model_name, output_name=output_name)
    combiner = _Collect(key, eval_config)
    return [metric_types.MetricComputation(keys=[key], preprocessors=None, combiner=combiner)]


class _Collect(beam.CombineFn):
    """Gathers labels and scores of all clips: the ranking of a class needs them together."""

    def __init__(self, key: metric_types.MetricKey, eval_config):
        self.key = key
        self.eval_config = eval_config

    def create_accumulator(self) -> list:
        return []

    def add_input(self, accumulator: list, element: metric_types.StandardMetricInputs) -> list:
        examples = metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self.eval_config,
            model_name=self.key.model_name,
            output_name=self.key.output_name,
            flatten=False,
            require_single_example_weight=True,
        )
        accumulator += [(np.asarray(label), np.asarray(scores)) for label, scores, _ in examples]
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[list]) -> list:
        return [clip for accumulator in accumulators for clip in accumulator]

    def extract_output(self, accumulator: list) -> metric_types.MetricsDict:
        scores = np.stack([scores for _, scores in accumulator]).astype(np.float64)
        labels = np.zeros(scores.shape, np.int8)
        for row, (label, _) in enumerate(accumulator):
            labels[row, label.astype(np.int64).ravel()] = 1
        return {self.key: mean_average_precision(labels, scores)}
