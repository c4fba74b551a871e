"""What a test keeps of all clips, and what is made of it: by hand, and against other code."""

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.config import RunSpec
from avmae_tf.data.inputs import eval_batches
from avmae_tf.training import devices
from avmae_tf.training.answers import KEPT, Answers, average_precisions, confusions
from avmae_tf.training.tasks import FinetuneTask
from avmae_tf.training.trainer import Trainer


def answers(**changes) -> Answers:
    """Of three clips and one that fills the batch, two heads, under a softmax."""
    kept = {
        'logits': np.log(np.array([
            [0.8, 0.2, 0.5, 0.3, 0.2],
            [0.6, 0.4, 0.1, 0.1, 0.8],
            [0.1, 0.9, 0.2, 0.6, 0.2],
            [0.5, 0.5, 0.3, 0.3, 0.4],
        ])),
        'loss': np.array([0.1, 3.0, 0.2, 9.0]),
        'weight': np.array([1.0, 1.0, 1.0, 0.0]),
        'place': np.array([4, 2, 7, 4]),
        'noun': np.eye(2)[[0, 1, 1, 0]],
        'verb': np.eye(3)[[0, 2, 0, 0]],
    }  # fmt: skip
    return Answers.of({**kept, **changes}, {'noun': 2, 'verb': 3}, 'softmax')


def test_average_precision_by_class_by_hand():
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]])
    scores = np.array([[0.9, 0.1, 0.5], [0.8, 0.7, 0.5], [0.7, 0.9, 0.5], [0.1, 0.2, 0.5]])
    # class 0: hits at ranks 1 and 3; class 1: a hit at rank 2; nobody has class 2
    np.testing.assert_allclose(average_precisions(labels, scores), [5 / 6, 1 / 2, np.nan])
    scores[0, 0] = np.nan
    assert np.isnan(average_precisions(labels, scores)).all()


def test_confusions_count_rows_by_what_they_are_and_what_they_were_taken_for():
    labels = np.array([[1, 0], [1, 0], [0, 1], [1, 1]])
    scores = np.array([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.6, 0.4]])
    np.testing.assert_array_equal(confusions(labels, scores), [[2, 1], [1, 1]])


def test_what_fills_a_batch_up_does_not_count():
    found = answers()
    np.testing.assert_array_equal(found.places, [4, 2, 7])
    np.testing.assert_allclose(found.scores['noun'][2], [0.1, 0.9], rtol=1e-6)
    np.testing.assert_allclose(found.scores['verb'][1], [0.1, 0.1, 0.8], rtol=1e-6)
    assert found.most_wrong(2) == [1, 2]


def test_each_head_has_a_mean_average_precision_and_a_lone_one_no_other_name():
    # nouns: class 0 at rank 1; class 1 at ranks 1 and 2. verbs: class 0 at ranks 1 and 2; class 2
    assert answers().measures() == pytest.approx({'map_noun': 1.0, 'map_verb': 1.0})
    kept = {name: np.zeros(2) for name in KEPT} | {'weight': np.ones(2)}
    alone = {**kept, 'logits': np.array([[2.0, 1.0], [3.0, 4.0]]), 'label': np.eye(2)}
    # class 0: a hit at rank 2; class 1: at rank 1
    assert Answers.of(alone, {'label': 2}, 'sigmoid').measures() == pytest.approx({'map': 0.75})


def test_each_second_of_an_event_is_ranked_by_itself():
    kept = {name: np.zeros(1) for name in KEPT} | {'weight': np.ones(1)}
    seconds = np.array([[[3.0, 0.0], [0.0, 2.0], [1.0, 0.0]]])
    found = Answers.of(
        {**kept, 'logits': seconds, 'event': np.eye(2)[[[0, 1, 1]]]}, {'event': 2}, 'softmax'
    )
    labels, scores = found.ranked('event')
    assert labels.shape == scores.shape == (3, 2)
    np.testing.assert_array_equal(confusions(labels, scores), [[1, 0], [1, 1]])


def test_answers_of_two_replicas_are_those_of_the_model_clip_by_clip(
    records, dataset, finetune_config
):
    small = finetune_config.backbone.replace(num_layers=2)
    schedule = finetune_config.schedule.replace(batch_size=6)  # the last batch is filled up
    config = finetune_config.replace(backbone=small, schedule=schedule, num_views=1)
    strategy = devices.default_strategy()
    assert strategy.num_replicas_in_sync == 2
    trainer = Trainer(FinetuneTask(config, dataset), records, strategy, RunSpec())
    for i, variable in enumerate(trainer.model.trainable_variables):
        variable.assign_add(tf.random.stateless_normal(variable.shape, [i, 0], stddev=0.2))
    found = trainer.evaluate(tf.constant(trainer.num_eval_steps))
    answers = trainer.answers
    np.testing.assert_array_equal(answers.places, range(16))
    (batch,) = eval_batches(records, dataset, config, batch_size=16, num_views=1)
    inputs = {m: batch[m][:, 0] for m in config.modalities}
    logits = np.mean([x.numpy() for x in trainer.model(inputs).values()], axis=0)
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answers.scores['label'], scores, rtol=1e-3)
    np.testing.assert_array_equal(answers.targets['label'], batch['label'])
    right = (scores.argmax(axis=1) == batch['label'].numpy().argmax(axis=1)).mean()
    assert float(found['top1']) == pytest.approx(right)
    precisions = average_precisions(batch['label'].numpy(), scores)
    assert found['map'] == pytest.approx(np.nanmean(precisions), rel=1e-3)
