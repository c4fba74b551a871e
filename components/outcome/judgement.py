"""Why a model passed the gate or did not, in words, read from TFMA's report."""

import math

import tensorflow_model_analysis as tfma

from avmae_tf.config import Spec
from components.evaluation.analysis import read_metrics


class Shortfall(Spec):
    """A metric that kept a model from being pushed; `reason` if it is undefined."""

    metric: str
    value: float | None
    bound: float
    compared: bool  # with the served model
    reason: str = ''

    def __str__(self) -> str:
        if self.value is None:
            return (
                f'{self.metric} is bounded by the gate, and undefined on these clips: {self.reason}'
            )
        what = f'{self.metric} fell by {-self.value:.3f} against the served model'
        if self.compared:
            return f'{what}, more than the allowed {-self.bound:.3f}'
        return (
            f'{self.metric} is {self.value:.3f}, {self.bound - self.value:.3f} below the gate of '
            f'{self.bound:.3f}'
        )


def read_shortfalls(report: str) -> list[Shortfall]:
    """Why the model of a report was not blessed; empty if it was."""
    found, metrics = [], read_metrics(report)
    for by_slice in tfma.load_validation_result(report).metric_validations_per_slice:
        for failure in by_slice.failures:
            compared, name = failure.metric_key.is_diff, failure.metric_key.name
            threshold = failure.metric_threshold
            bound = (
                threshold.change_threshold.absolute.value
                if compared
                else threshold.value_threshold.lower_bound.value
            )
            value = math.nan  # where the metric is not there at all
            if failure.HasField('metric_value'):
                value = failure.metric_value.double_value.value
            if math.isnan(value):
                value = metrics.get(name, value)
            undefined = math.isnan(value)
            reason = getattr(value, 'reason', 'it is not in the report') if undefined else ''
            found.append(
                Shortfall(
                    metric=name,
                    value=None if undefined else value,
                    bound=bound,
                    compared=compared,
                    reason=reason,
                )
            )
    return found
