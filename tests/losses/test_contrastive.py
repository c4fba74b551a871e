"""InfoNCE between sound and picture: by hand, over two replicas, and of clips that lack one."""

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.losses.contrastive import contrastive_loss, has_both
from avmae_tf.training import devices
from avmae_tf.training.tasks import PretrainTask

TEMPERATURE = 0.2
TAKES_PART = np.array([1, 1, 0, 1, 1, 0], np.float32)  # uneven over two replicas
WEIGHT = np.array([1, 1, 1, 1, 0, 1], np.float32)


def expected(video, audio, part, weight) -> np.ndarray:
    """The loss of each clip, one softmax after the other."""
    video, audio = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (video, audio))
    ours = np.flatnonzero(part * weight)
    losses = np.zeros(len(part))
    for i in ours:
        pictures = [np.exp(audio[i] @ video[j] / TEMPERATURE) for j in ours]
        sounds = [np.exp(video[i] @ audio[j] / TEMPERATURE) for j in ours]
        own = np.exp(audio[i] @ video[i] / TEMPERATURE)
        losses[i] = -0.5 * (np.log(own / sum(pictures)) + np.log(own / sum(sounds)))
    return losses * weight.sum() / len(ours)


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    return {m: rng.normal(size=(6, 5)).astype(np.float32) for m in ('video', 'audio')}


def test_two_clips_by_hand():
    # cosines: each sound with its own picture 1, with the other's 0
    pooled = {'video': tf.constant([[2.0, 0.0], [0.0, 1.0]]), 'audio': tf.eye(2)}
    loss = contrastive_loss(pooled, tf.ones([2]), tf.ones([2]), temperature=0.5)
    np.testing.assert_allclose(loss, [np.log(1 + np.exp(-2.0))] * 2, rtol=1e-5)


def test_clips_take_part_or_do_not(drawn):
    part, weight = tf.constant(TAKES_PART), tf.constant(WEIGHT)
    loss = contrastive_loss(drawn, part, weight, TEMPERATURE)
    np.testing.assert_allclose(loss, expected(**drawn, part=TAKES_PART, weight=WEIGHT), rtol=1e-4)
    compiled = tf.function(contrastive_loss, jit_compile=True, autograph=False)
    np.testing.assert_allclose(compiled(drawn, part, weight, TEMPERATURE), loss, rtol=1e-4)
    others = {m: np.where(TAKES_PART[:, None] > 0, x, 7 - x) for m, x in drawn.items()}
    np.testing.assert_array_equal(contrastive_loss(others, part, weight, TEMPERATURE), loss)
    nobody = contrastive_loss(drawn, tf.zeros([6]), weight, TEMPERATURE)
    np.testing.assert_array_equal(nobody, np.zeros(6))


def test_what_has_no_sound_or_no_picture():
    grey, silence = tf.zeros([2, 4, 4, 3]), tf.fill([8, 4, 1], -13.8)
    picture = tf.random.stateless_uniform([2, 4, 4, 3], [0, 0])
    sound = tf.tensor_scatter_nd_update(silence, [[3, 1, 0]], [0.0])
    inputs = {
        'video': tf.stack([picture, picture, grey, grey]),
        'audio': tf.stack([sound, silence, sound, silence]),
    }
    np.testing.assert_array_equal(has_both(inputs), [1, 0, 0, 0])


def test_two_replicas_equal_one_with_the_same_clips(drawn):
    """Loss and gradients, averaged over replicas as the trainer does."""
    strategy = devices.default_strategy()
    assert strategy.num_replicas_in_sync == 2
    with strategy.scope():
        kernel = tf.Variable(np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32))

    def loss_of(kernel, video, audio, part):
        pooled = {'video': video @ kernel, 'audio': audio @ kernel}
        return tf.reduce_mean(contrastive_loss(pooled, part, tf.ones_like(part), TEMPERATURE))

    def with_gradient(kernel, *clips):
        with tf.GradientTape() as tape:
            loss = loss_of(kernel, *clips)
        return loss, tape.gradient(loss, kernel)

    @tf.function(autograph=False)
    def step(clips):
        def replica(clips):
            context = tf.distribute.get_replica_context()
            return context.all_reduce('MEAN', with_gradient(kernel, *clips))

        return strategy.run(replica, args=(clips,))

    whole = [drawn['video'], drawn['audio'], TAKES_PART]
    halves = strategy.experimental_distribute_values_from_function(
        lambda context: [
            tf.constant(np.split(x, 2)[context.replica_id_in_sync_group]) for x in whole
        ]
    )
    alone = with_gradient(tf.Variable(kernel.numpy()), *map(tf.constant, whole))
    for two, one in zip(step(halves), alone, strict=True):
        for copy in strategy.experimental_local_results(two):
            np.testing.assert_allclose(copy, one, rtol=1e-4, atol=1e-6)


def test_the_term_is_added_to_the_reconstruction(pretrain_config, dataset):
    config = pretrain_config.replace(objective={'kind': 'contrastive', 'weight': 0.3})
    task, joint = (PretrainTask(c, dataset) for c in (config, pretrain_config))
    model, seed = task.build(), tf.constant([0, 3])
    batch = {
        m: tf.random.stateless_normal([4, *config.inputs(m).input_shape], [0, i])
        for i, m in enumerate(config.modalities)
    }
    loss, scalars = task.train_loss(model, batch, seed)
    pooled = model(batch, model.sample_masks(seed, 4)).pooled
    assert tuple(scalars) == task.train_names
    model.config = pretrain_config
    without, _ = joint.train_loss(model, batch, seed)
    term = contrastive_loss(pooled, tf.ones([4]), tf.ones([4]), config.objective.temperature)
    np.testing.assert_allclose(loss, without + 0.3 * np.mean(term), rtol=1e-4)
