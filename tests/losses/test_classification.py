"""Losses and hits of classifiers, by hand."""

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.losses.classification import (
    class_scores,
    classification_loss,
    hits,
    joint_probabilities,
    smooth_labels,
)


def test_smoothing_moves_mass_to_all_classes():
    smooth = smooth_labels(tf.constant([[0.0, 1.0, 0.0, 0.0]]), 0.2)
    np.testing.assert_allclose(smooth, [[0.05, 0.85, 0.05, 0.05]], rtol=1e-6)


def test_softmax_is_for_one_class_and_sigmoid_sums_over_all():
    logits, targets = tf.constant([[0.0, 1.0]]), tf.constant([[1.0, 1.0]])
    sigmoid = classification_loss('sigmoid', logits, targets)
    assert float(sigmoid[0]) == pytest.approx(np.log(2) + np.log1p(np.exp(-1)), rel=1e-5)
    softmax = classification_loss('softmax', logits, tf.constant([[1.0, 0.0]]))
    assert float(softmax[0]) == pytest.approx(np.log(1 + np.e), rel=1e-5)
    assert float(tf.reduce_sum(class_scores('softmax', logits))) == pytest.approx(1.0)
    assert float(class_scores('sigmoid', logits)[0, 0]) == pytest.approx(0.5)


def test_segments_are_averaged():
    logits = tf.constant([[[9.0, 0.0], [0.0, 9.0], [9.0, 0.0], [9.0, 0.0]]])
    targets = tf.one_hot([[0, 1, 1, 0]], 2)
    assert hits(logits, targets).numpy().tolist() == [0.75]
    by_hand = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    assert float(classification_loss('softmax', logits, targets)[0]) == pytest.approx(
        float(tf.reduce_mean(by_hand))
    )


def test_any_right_class_among_the_best_is_a_hit():
    logits = tf.constant([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    targets = tf.constant([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    assert hits(logits, targets).numpy().tolist() == [0, 1]
    assert hits(logits, targets, k=2).numpy().tolist() == [1, 1]
    assert hits(logits, targets, k=5).numpy().tolist() == [1, 1]


def test_the_best_action_is_the_pair_of_the_best():
    noun, verb = tf.constant([[0.1, 2.0, 0.3]]), tf.constant([[1.0, 0.2]])
    joint = joint_probabilities(noun, verb).numpy()
    assert joint.shape == (1, 6) and joint.sum() == pytest.approx(1.0)
    assert joint.argmax() == 1 * 2 + 0
