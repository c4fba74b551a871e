"""Masks hide what they say, and unshuffling puts every token back at its place."""

import numpy as np
import tensorflow as tf

from avmae_tf.config import AudioSpec, MaskingSpec, VideoSpec
from avmae_tf.models.draws import Draws, fold_in
from avmae_tf.models.masking import gather_tokens, sample_mask, unshuffle


def test_a_mask_is_a_permutation_for_each_clip():
    mask = sample_mask(tf.constant([1, 2]), batch=5, num_tokens=20, num_masked=18)
    assert mask.visible.shape == (5, 2) and mask.masked.shape == (5, 18)
    tokens = np.concatenate([mask.masked, mask.visible], axis=1)
    np.testing.assert_array_equal(np.sort(tokens, axis=1), [range(20)] * 5)
    assert len({tuple(row) for row in mask.visible.numpy()}) > 1


def test_the_seed_decides():
    def visible(seed):
        mask = sample_mask(tf.constant(seed), batch=2, num_tokens=50, num_masked=25)
        return mask.visible.numpy().tolist()

    assert visible([0, 1]) == visible([0, 1]) != visible([0, 2])


def test_every_token_is_masked_at_the_rate():
    mask = sample_mask(tf.constant([0, 0]), batch=4000, num_tokens=10, num_masked=5)
    share = np.bincount(mask.masked.numpy().ravel(), minlength=10) / 4000
    np.testing.assert_allclose(share, 0.5, atol=0.04)


def test_unshuffle_puts_tokens_at_their_places():
    mask = sample_mask(tf.constant([3, 4]), batch=2, num_tokens=6, num_masked=4)
    tokens = tf.random.stateless_normal([2, 6, 3], [0, 0])
    token = tf.constant([7.0, 8.0, 9.0])
    full = unshuffle(gather_tokens(tokens, mask.visible), mask, token)
    np.testing.assert_allclose(
        gather_tokens(full, mask.visible), gather_tokens(tokens, mask.visible)
    )
    np.testing.assert_allclose(gather_tokens(full, mask.masked), [[token] * 4] * 2)


def test_tubes_hide_the_same_places_at_every_step():
    mask = sample_mask(tf.constant([1, 2]), batch=3, num_tokens=24, num_masked=16, num_steps=4)
    hidden = np.zeros([3, 24])
    np.put_along_axis(hidden, mask.masked.numpy(), 1, axis=1)
    by_step = hidden.reshape(3, 4, 6)
    np.testing.assert_array_equal(by_step, np.repeat(by_step[:, :1], 4, axis=1))
    assert (hidden.sum(axis=1) == 16).all()
    everything = np.concatenate([mask.masked, mask.visible], axis=1)
    np.testing.assert_array_equal(np.sort(everything, axis=1), [range(24)] * 3)


def test_counts_of_masked_tokens():
    video, audio = VideoSpec(), AudioSpec()
    random, tube = MaskingSpec(), MaskingSpec(video_kind='tube')
    assert random.num_masked('video', video) == 1411  # of 1568
    assert tube.num_masked('video', video) == 8 * 176  # of 8 steps with 196 places
    assert (random.num_steps('video', video), tube.num_steps('video', video)) == (1, 8)
    assert tube.num_masked('audio', audio) == 200 and tube.num_steps('audio', audio) == 1


def test_a_clip_draws_the_same_among_some_of_a_batch_as_among_all():
    def masks(seed, batch):
        return sample_mask(fold_in(seed, 3), batch=batch, num_tokens=20, num_masked=15)

    seed = tf.constant([1, 2])
    everywhere, some = masks(seed, 6), masks(Draws(seed, tf.constant([5, 2]), 6), 2)
    for ours, theirs in zip(some, everywhere, strict=True):
        np.testing.assert_array_equal(ours, theirs.numpy()[[5, 2]])
