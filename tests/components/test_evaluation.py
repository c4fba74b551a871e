"""Metrics against scikit-learn and by hand, thresholds, and the schema that keeps memory low."""

import json
import pickle
import statistics

import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.evaluation.config import Gate, eval_config, label_schema
from components.evaluation.measures import d_prime, mean_average_precision, share_right
from components.evaluation.metrics import (
    Accuracy,
    Clips,
    ConfusionMatrix,
    DPrime,
    MeanAveragePrecision,
)


def test_mean_average_precision_by_hand():
    labels = np.array([[1, 0], [0, 1], [1, 0], [0, 0]])
    scores = np.array([[0.9, 0.1], [0.8, 0.7], [0.7, 0.9], [0.1, 0.2]])
    # class 0: hits at ranks 1 and 3: (1 + 2/3) / 2; class 1: a hit at rank 2: 1/2
    assert mean_average_precision(labels, scores) == pytest.approx((5 / 6 + 1 / 2) / 2)


def test_classes_without_a_clip_are_left_out():
    labels = np.array([[1, 0], [0, 0]])
    assert mean_average_precision(labels, np.array([[0.9, 0.5], [0.1, 0.6]])) == 1.0


def test_d_prime_by_hand():
    labels = np.array([[1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1]])
    scores = np.array([[9, 2, 0, 0], [1, 0, 0, 0], [3, 1, 0, 0], [0, 0, 0, 0]])
    # class 0: 3 of 4 pairs in order, class 1: 2 of 3; classes 2 and 3 cannot be ranked
    area = (3 / 4 + 2 / 3) / 2
    assert statistics.NormalDist().cdf(d_prime(labels, scores) / 2**0.5) == pytest.approx(area)


@pytest.mark.parametrize(
    ('labels', 'k', 'share'),
    [([1], 1, 1), ([2], 1, 0), ([2], 2, 1), ([0, 2], 2, 1), ([0, 1, 2], 1, 1), ([], 3, 0)],
)
def test_one_of_several_labels_is_enough(labels, k, share):
    labels = np.array(labels, np.int64)
    assert share_right(labels, np.array([0.1, 0.9, 0.5]), k) == share


def test_events_are_right_by_the_second():
    scores = np.eye(3)[[0, 1, 2, 2]]
    assert share_right(np.array([0, 1, 0, 2]), scores) == 3 / 4


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


def names_and_thresholds(config):
    metrics = [metric for spec in config.metrics_specs for metric in spec.metrics]
    return [(json.loads(metric.config)['name'], metric.threshold) for metric in metrics]


def thresholds(gate):
    return dict(names_and_thresholds(eval_config(gate)))


def test_the_gate_becomes_thresholds():
    found = thresholds(Gate(min_top1=0.4, min_map=0.3, max_loss_of_top1=0.02))
    assert found['top1'].value_threshold.lower_bound.value == 0.4
    assert found['top1'].change_threshold.absolute.value == -0.02
    assert found['map'].value_threshold.lower_bound.value == 0.3


def test_whatever_the_gate_a_model_must_have_been_measured_on_a_clip():
    found = {k: t for k, t in thresholds(Gate(max_loss_of_top1=None)).items() if t.ByteSize()}
    assert list(found) == ['clips'] and found['clips'].value_threshold.lower_bound.value == 1


def test_the_gate_of_actions_bounds_their_accuracy():
    config = eval_config(Gate(min_action=0.2), ('noun', 'verb'))
    found = {name: t for name, t in names_and_thresholds(config) if t.ByteSize()}
    assert list(found) == ['action', 'clips']
    assert found['action'].value_threshold.lower_bound.value == 0.2
    assert found['action'].change_threshold.absolute.value == -0.05


@pytest.mark.parametrize(
    ('gate', 'heads', 'loss', 'message'),
    [
        ({'min_top1': 0.4}, ('noun', 'verb'), 'softmax', r"gate.min_top1 .* 'top1'.*got 0.4; .*ac"),
        ({'min_map': 0.4}, ('event',), 'softmax', 'gate.min_map .* it has top1, top5: set'),
        ({'min_action': 0.4}, ('label',), 'sigmoid', 'it has top1, top5, map, dprime: set gate'),
        ({}, ('label', 'noun'), 'softmax', 'gate.max_loss_of_top1 .*top1_label.*to null'),
    ],
)
def test_a_bound_on_a_metric_that_there_is_not(gate, heads, loss, message):
    with pytest.raises(ValueError, match=message):
        eval_config(Gate(**gate), heads, loss)


def test_the_schema_names_the_labels_alone():
    schema = text_format.Parse(label_schema(), schema_pb2.Schema())
    assert [(f.name, f.value_count.min) for f in schema.feature] == [
        ('clip/label/index', 0),
        ('clip/label/noun/index', 0),
        ('clip/label/verb/index', 0),
        ('clip/label/event/index', 0),
    ]


def test_what_clips_do_not_define_is_undefined_with_its_reason():
    some, all_ = np.array([[1, 0], [1, 0]]), np.array([[0.9, 0.1], [0.8, 0.2]])
    assert mean_average_precision(some, all_) == 1.0  # of the class that there is
    assert mean_average_precision(0 * some, all_).reason == 'no clip has a label'
    assert d_prime(some, all_).reason.startswith('there is no class that some clips have')
    perfect = d_prime(np.array([[1], [0]]), np.array([[2.0], [1.0]]))
    assert perfect.reason == 'infinite, since the area under the ROC curve is 1'
    assert f'{perfect:.4f}' == f'undefined: {perfect.reason}' and np.isnan(perfect)
    again = pickle.loads(pickle.dumps(perfect))  # between the workers of Beam
    assert np.isnan(again) and again.reason == perfect.reason


def measured(metric, clips) -> dict[str, float]:
    """Values of a metric in TFMA by name, of (labels, scores) of clips."""
    (computation,) = metric.computations()
    combiner = computation.combiner
    accumulators = [combiner.create_accumulator()]  # a bundle may be empty
    for label, scores in clips:
        element = tfma.metrics.StandardMetricInputs(label=np.array(label), prediction=scores)
        accumulators.append(combiner.add_input(combiner.create_accumulator(), element))
    found = combiner.extract_output(combiner.merge_accumulators(accumulators))
    return {key.name: value for key, value in found.items()}


GOOD = np.array([0.7, 0.2, 0.1])


@pytest.mark.parametrize(
    ('metric', 'clips', 'expected'),
    [
        (Accuracy(name='a'), [([0], GOOD), ([None], GOOD), ([1], GOOD), ([], GOOD)], 1 / 2),
        (Accuracy(name='a'), [([], GOOD)], 'no clip has a label'),
        (Accuracy(name='a'), [], 'no clip has a label'),
        (Accuracy(k=5, name='a'), [([0], GOOD)], '3 classes are fewer than 5'),
        (Accuracy(name='a'), [([0], GOOD), ([0], np.nan * GOOD)], 'scores of the model are not'),
        (MeanAveragePrecision('a'), [([0], GOOD), ([], GOOD[::-1])], 1.0),
        (MeanAveragePrecision('a'), [([None], GOOD)], 'no clip has a label'),
        (MeanAveragePrecision('a'), [([0], np.inf * GOOD)], 'scores of the model are not finite'),
        (DPrime('a'), [([0], GOOD)], 'there is no class that some clips have and others have not'),
    ],
)
def test_clips_without_a_label_are_no_part_of_a_metric(metric, clips, expected):
    found = measured(metric, clips)
    if isinstance(expected, str):
        assert np.isnan(found['a']) and found['a_undefined'].startswith(expected)
    else:
        assert found == {'a': pytest.approx(expected)}


def test_clips_are_counted_with_and_without_a_label():
    found = measured(Clips([''], 'a'), [([0], GOOD), ([None], GOOD), ([], GOOD)])
    assert found == {'a': 1, 'clips_without_label': 2}


def test_the_confusion_matrix_is_of_labelled_clips():
    matrix, _ = ConfusionMatrix(thresholds=[0.0]).computations()
    combiner = matrix.combiner
    found = combiner.create_accumulator()
    for label in ([0], [None], [2], []):
        element = tfma.metrics.StandardMetricInputs(label=np.array(label), prediction=GOOD)
        found = combiner.add_input(found, element)
    (matrix,) = combiner.extract_output(combiner.merge_accumulators([found])).values()
    assert {tuple(k): v for k, v in matrix[0.0].items()} == {(0, 0): 1.0, (2, 0): 1.0}


@pytest.mark.parametrize('metric', [MeanAveragePrecision(), Accuracy()])
def test_a_clip_that_the_model_refuses_does_not_count_as_wrong(metric):
    with pytest.raises(ValueError, match='the model refuses a clip of these records'):
        measured(metric, [([0], GOOD), ([0], np.zeros(3))])
