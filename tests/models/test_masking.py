"""Masks hide what they say, and unshuffling puts every token back at its place."""

import numpy as np
import tensorflow as tf

from avmae_tf.models.masking import gather_tokens, random_mask, unshuffle


def test_a_mask_is_a_permutation_for_each_clip():
    mask = random_mask(tf.constant([1, 2]), batch=5, num_tokens=20, num_masked=18)
    assert mask.visible.shape == (5, 2) and mask.masked.shape == (5, 18)
    tokens = np.concatenate([mask.masked, mask.visible], axis=1)
    np.testing.assert_array_equal(np.sort(tokens, axis=1), [range(20)] * 5)
    assert len({tuple(row) for row in mask.visible.numpy()}) > 1


def test_the_seed_decides():
    def visible(seed):
        mask = random_mask(tf.constant(seed), batch=2, num_tokens=50, num_masked=25)
        return mask.visible.numpy().tolist()

    assert visible([0, 1]) == visible([0, 1]) != visible([0, 2])


def test_every_token_is_masked_at_the_rate():
    mask = random_mask(tf.constant([0, 0]), batch=4000, num_tokens=10, num_masked=5)
    share = np.bincount(mask.masked.numpy().ravel(), minlength=10) / 4000
    np.testing.assert_allclose(share, 0.5, atol=0.04)


def test_unshuffle_puts_tokens_at_their_places():
    mask = random_mask(tf.constant([3, 4]), batch=2, num_tokens=6, num_masked=4)
    tokens = tf.random.stateless_normal([2, 6, 3], [0, 0])
    token = tf.constant([7.0, 8.0, 9.0])
    full = unshuffle(gather_tokens(tokens, mask.visible), mask, token)
    np.testing.assert_allclose(
        gather_tokens(full, mask.visible), gather_tokens(tokens, mask.visible)
    )
    np.testing.assert_allclose(gather_tokens(full, mask.masked), [[token] * 4] * 2)
