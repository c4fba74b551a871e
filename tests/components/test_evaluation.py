"""Metrics against scikit-learn and by hand, thresholds, and the schema that keeps memory low."""

import numpy as np
import pytest
import tensorflow_model_analysis as tfma

from components.evaluation.config import Gate, eval_config, label_schema
from components.evaluation.metrics import MeanAveragePrecision, mean_average_precision


def test_mean_average_precision_by_hand():
    labels = np.array([[1, 0], [0, 1], [1, 0], [0, 0]])
    scores = np.array([[0.9, 0.1], [0.8, 0.7], [0.7, 0.9], [0.1, 0.2]])
    # class 0: hits at ranks 1 and 3: (1 + 2/3) / 2; class 1: a hit at rank 2: 1/2
    assert mean_average_precision(labels, scores) == pytest.approx((5 / 6 + 1 / 2) / 2)


def test_classes_without_a_clip_are_left_out():
    labels = np.array([[1, 0], [0, 0]])
    assert mean_average_precision(labels, np.array([[0.9, 0.5], [0.1, 0.6]])) == 1.0


def test_the_metric_in_tfma_is_exact():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 60)
    scores = rng.normal(size=[60, 4]) + np.eye(4)[labels]
    (computation,) = MeanAveragePrecision().computations()
    combiner = computation.combiner
    parts = []
    for half in (slice(0, 30), slice(30, 60)):
        accumulator = combiner.create_accumulator()
        for label, score in zip(labels[half], scores[half], strict=True):
            element = tfma.metrics.StandardMetricInputs(label=[label], prediction=score)
            accumulator = combiner.add_input(accumulator, element)
        parts.append(accumulator)
    (value,) = combiner.extract_output(combiner.merge_accumulators(parts)).values()
    assert value == pytest.approx(mean_average_precision(np.eye(4)[labels], scores))


def thresholds(gate):
    metrics = eval_config(gate).metrics_specs[0].metrics
    return {m.config.split('"name": "')[1].split('"')[0]: m.threshold for m in metrics}


def test_the_gate_becomes_thresholds():
    found = thresholds(Gate(min_top1=0.4, min_map=0.3, max_loss_of_top1=0.02))
    assert found['top1'].value_threshold.lower_bound.value == 0.4
    assert found['top1'].change_threshold.absolute.value == -0.02
    assert found['map'].value_threshold.lower_bound.value == 0.3


def test_no_gate_is_no_threshold():
    assert not any(t.ByteSize() for t in thresholds(Gate(max_loss_of_top1=None)).values())


def test_the_schema_names_the_label_alone():
    assert label_schema().count('feature {') == 1 and 'clip/label/index' in label_schema()
