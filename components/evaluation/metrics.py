"""The metrics of TFMA's reports, of the clips that have labels.

What the clips at hand do not define is `Undefined`, with its reason; the others stand.

Shapes: C classes, S seconds, k labels of a clip.
"""

import functools
from collections.abc import Callable, Iterable

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import (
    metric_types,
    metric_util,
    multi_class_confusion_matrix_plot,
)

from components.evaluation.measures import (
    NO_LABELS,
    Undefined,
    d_prime,
    mean_average_precision,
    share_right,
)

Measure = Callable[[np.ndarray, np.ndarray], float]
REASON = '_undefined'  # added to a metric's name: under it TFMA's report holds the reason
LEFT_OUT = 'clips_without_label'
NOT_FINITE = 'scores of the model are not finite'


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


class Clips(metric_types.Metric):
    """How many clips have a label at all of `outputs`, and, as LEFT_OUT, how many have not."""

    def __init__(self, outputs: list[str], name: str = 'clips'):
        make = functools.partial(_Count, outputs=tuple(outputs))
        super().__init__(_computations(make), name=name, outputs=outputs)


class ConfusionMatrix(multi_class_confusion_matrix_plot.MultiClassConfusionMatrixPlot):
    """TFMA's plot, of the clips that have labels."""

    def computations(self, eval_config=None, **settings):
        return [
            c._replace(combiner=_OfLabelled(c.keys[0], eval_config, c.combiner))
            if isinstance(c, metric_types.MetricComputation)
            else c
            for c in super().computations(eval_config=eval_config, **settings)
        ]


for _metric in (*(MeanAveragePrecision, DPrime, Accuracy, ActionAccuracy, Clips, ConfusionMatrix),):
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

    def __init__(self, key: metric_types.MetricKey, eval_config, outputs: tuple[str, ...] = ()):
        self.key = key
        self.eval_config = eval_config
        self.outputs = outputs or (key.output_name,)

    def read(self, element: metric_types.StandardMetricInputs):
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
        if not isinstance(value, Undefined):
            return {self.key: value}
        reason = self.key._replace(name=self.key.name + REASON)
        return {self.key: value, reason: value.reason}


class _Ranking(_Clips):
    """Gathers labels and scores of all clips: the ranking of a class needs them together."""

    def __init__(self, key: metric_types.MetricKey, eval_config, measure: Measure):
        super().__init__(key, eval_config)
        self.measure = measure

    def create_accumulator(self) -> list:
        return []

    def add_input(self, accumulator: list, element: metric_types.StandardMetricInputs) -> list:
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


class _Mean(_Clips):
    """Mean over clips of the product of `share_right` at some outputs."""

    def __init__(
        self, key: metric_types.MetricKey, eval_config, k: int = 1, outputs: tuple[str, ...] = ()
    ):
        super().__init__(key, eval_config, outputs)
        self.k = k

    def create_accumulator(self) -> tuple[float, int, float]:
        return 0.0, 0, np.inf

    def add_input(self, accumulator, element: metric_types.StandardMetricInputs):
        right, clips, classes = accumulator
        if found := self.read(element):
            shares = [share_right(labels, scores, self.k) for labels, scores in found]
            right, clips = right + float(np.prod(shares)), clips + 1
            classes = min(classes, *(scores.shape[-1] for _, scores in found))
        return right, clips, classes

    def merge_accumulators(self, accumulators: Iterable[tuple[float, int, float]]):
        right, clips, classes = zip(*accumulators, strict=True)
        return sum(right), sum(clips), min(classes)

    def extract_output(self, accumulator) -> metric_types.MetricsDict:
        right, clips, classes = accumulator
        if not clips:
            return self.result(Undefined(NO_LABELS))
        if classes < self.k:
            return self.result(Undefined(f'{classes} classes are fewer than {self.k}'))
        return self.result(Undefined(NOT_FINITE) if np.isnan(right) else right / clips)


class _Count(_Clips):
    """Counts clips with labels, and those without."""

    def create_accumulator(self) -> tuple[int, int]:
        return 0, 0

    def add_input(self, accumulator, element: metric_types.StandardMetricInputs):
        labelled, others = accumulator
        return (labelled + 1, others) if self.read(element) else (labelled, others + 1)

    def merge_accumulators(self, accumulators: Iterable[tuple[int, int]]):
        return tuple(map(sum, zip(*accumulators, strict=True)))

    def extract_output(self, accumulator) -> metric_types.MetricsDict:
        labelled, others = accumulator
        return {self.key: labelled, self.key._replace(name=LEFT_OUT): others}


class _OfLabelled(_Clips):
    """Another combiner, of the clips that have labels."""

    def __init__(self, key: metric_types.MetricKey, eval_config, combiner: beam.CombineFn):
        super().__init__(key, eval_config)
        self.combiner = combiner

    def create_accumulator(self):
        return self.combiner.create_accumulator()

    def add_input(self, accumulator, element: metric_types.StandardMetricInputs):
        return self.combiner.add_input(accumulator, element) if self.read(element) else accumulator

    def merge_accumulators(self, accumulators: Iterable):
        return self.combiner.merge_accumulators(accumulators)

    def extract_output(self, accumulator) -> metric_types.MetricsDict:
        return self.combiner.extract_output(accumulator)
