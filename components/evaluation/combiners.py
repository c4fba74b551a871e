"""How TFMA's metrics are computed: Beam combiners over the clips that have labels.

Shapes: C classes, S seconds, k labels of a clip.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types, metric_util

from components.evaluation.measures import NO_LABELS, Undefined, share_right

Key: TypeAlias = metric_types.MetricKey
Config: TypeAlias = tfma.EvalConfig | None
Inputs: TypeAlias = metric_types.StandardMetricInputs
Means = tuple[float, int, float]  # sum of shares, clips, fewest classes of an output
Measure = Callable[[np.ndarray, np.ndarray], float]
REASON = '_undefined'  # added to a metric's name: under it TFMA's report holds the reason
LEFT_OUT = 'clips_without_label'
NOT_FINITE = 'scores of the model are not finite'


class OverClips(beam.CombineFn):
    """What the combiners share: the key of their metric, and how they read a clip."""

    def __init__(self, key: Key, eval_config: Config, outputs: tuple[str, ...] = ()) -> None:
        self.key = key
        self.eval_config = eval_config
        self.outputs = outputs or (key.output_name,)

    def read(self, element: Inputs) -> list[tuple[np.ndarray, np.ndarray]]:
        """Labels int64 [k] and scores [(S,) C] of the clip at each output.

        Nothing where one has no label.
        """
        found = []
        for output_name in self.outputs:
            ((label, scores, _),) = metric_util.to_label_prediction_example_weight(
                element,
                eval_config=self.eval_config,
                model_name=self.key.model_name,
                output_name=output_name,
                flatten=False,
                require_single_example_weight=True,
            )
            given = [index for index in np.ravel(label) if index is not None]  # or [None]
            if not given:
                return []
            scores = np.asarray(scores)
            if not scores.any():  # the model marked it with an error, and would count as wrong
                raise ValueError(
                    'the model refuses a clip of these records (its scores are zeros); '
                    '`avmae inspect` on the folder of records names one that is faulty'
                )
            found.append((np.asarray(given, np.int64), scores))
        return found

    def result(self, value: float) -> metric_types.MetricsDict:
        """A value by its metric's key; beside an undefined one also the reason."""
        if not isinstance(value, Undefined):
            return {self.key: value}
        reason = self.key._replace(name=self.key.name + REASON)
        return {self.key: value, reason: value.reason}


class Ranking(OverClips):
    """Gathers labels and scores of all clips: the ranking of a class needs them together."""

    def __init__(self, key: Key, eval_config: Config, measure: Measure) -> None:
        super().__init__(key, eval_config)
        self.measure = measure

    def create_accumulator(self) -> list:
        return []

    def add_input(self, accumulator: list, element: Inputs) -> list:
        accumulator += self.read(element)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[list]) -> list:
        return [clip for accumulator in accumulators for clip in accumulator]

    def extract_output(self, accumulator: list) -> metric_types.MetricsDict:
        if not accumulator:
            return self.result(Undefined(NO_LABELS))
        scores = np.stack([scores for _, scores in accumulator]).astype(np.float64)
        if not np.isfinite(scores).all():
            return self.result(Undefined(NOT_FINITE))
        labels = np.zeros(scores.shape, np.int8)
        for row, (label, _) in enumerate(accumulator):
            labels[row, label] = 1
        return self.result(self.measure(labels, scores))


class Mean(OverClips):
    """Mean over clips of the product of `share_right` at some outputs."""

    def __init__(
        self,
        key: Key,
        eval_config: Config,
        k: int = 1,
        outputs: tuple[str, ...] = (),
    ) -> None:
        super().__init__(key, eval_config, outputs)
        self.k = k

    def create_accumulator(self) -> Means:
        return 0.0, 0, np.inf

    def add_input(self, accumulator: Means, element: Inputs) -> Means:
        right, clips, classes = accumulator
        if found := self.read(element):
            shares = [share_right(labels, scores, self.k) for labels, scores in found]
            right, clips = right + float(np.prod(shares)), clips + 1
            classes = min(classes, *(scores.shape[-1] for _, scores in found))
        return right, clips, classes

    def merge_accumulators(self, accumulators: Iterable[Means]) -> Means:
        right, clips, classes = zip(*accumulators, strict=True)
        return sum(right), sum(clips), min(classes)

    def extract_output(self, accumulator: Means) -> metric_types.MetricsDict:
        right, clips, classes = accumulator
        if not clips:
            return self.result(Undefined(NO_LABELS))
        if classes < self.k:
            return self.result(Undefined(f'{classes} classes are fewer than {self.k}'))
        return self.result(Undefined(NOT_FINITE) if np.isnan(right) else right / clips)


class Count(OverClips):
    """Counts clips with labels, and those without."""

    def create_accumulator(self) -> tuple[int, int]:
        return 0, 0

    def add_input(self, accumulator: tuple[int, int], element: Inputs) -> tuple[int, int]:
        labelled, others = accumulator
        return (labelled + 1, others) if self.read(element) else (labelled, others + 1)

    def merge_accumulators(self, accumulators: Iterable[tuple[int, int]]) -> tuple[int, int]:
        labelled, others = zip(*accumulators, strict=True)
        return sum(labelled), sum(others)

    def extract_output(self, accumulator: tuple[int, int]) -> metric_types.MetricsDict:
        labelled, others = accumulator
        return {self.key: labelled, self.key._replace(name=LEFT_OUT): others}


class OfLabelled(OverClips):
    """Another combiner, of the clips that have labels."""

    def __init__(self, key: Key, eval_config: Config, combiner: beam.CombineFn) -> None:
        super().__init__(key, eval_config)
        self.combiner = combiner

    def create_accumulator(self) -> Any:
        return self.combiner.create_accumulator()

    def add_input(self, accumulator: Any, element: Inputs) -> Any:
        return self.combiner.add_input(accumulator, element) if self.read(element) else accumulator

    def merge_accumulators(self, accumulators: Iterable) -> Any:
        return self.combiner.merge_accumulators(accumulators)

    def extract_output(self, accumulator: Any) -> metric_types.MetricsDict:
        return self.combiner.extract_output(accumulator)
