"""Grid order, the inverse, and the fixed position table."""

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.config import AudioSpec, VideoSpec
from avmae_tf.models.patches import PatchEmbedding, patchify, sinusoid, unpatchify

VIDEO = VideoSpec(num_frames=4, size_px=32, patch=(2, 16, 8))
AUDIO = AudioSpec(seconds=0.64, patch=(16, 32))


def numbers(grid):
    shape = (2, *grid.input_shape)
    return tf.reshape(tf.range(np.prod(shape), dtype=tf.float32), shape)


@pytest.mark.parametrize('grid', [VIDEO, AUDIO], ids=['video', 'audio'])
def test_unpatchify_is_the_inverse(grid):
    np.testing.assert_array_equal(unpatchify(patchify(numbers(grid), grid), grid), numbers(grid))


def test_video_tokens_come_as_t_y_x_and_values_as_frame_row_column_channel():
    inputs = numbers(VIDEO).numpy()
    patches = patchify(inputs, VIDEO).numpy()
    t, y, x = 1, 1, 2
    tubelet = inputs[1, 2 * t : 2 * t + 2, 16 * y : 16 * y + 16, 8 * x : 8 * x + 8]
    np.testing.assert_array_equal(patches[1, (t * 2 + y) * 4 + x], tubelet.ravel())


def test_audio_tokens_come_time_slowest():
    inputs = numbers(AUDIO).numpy()
    patch = inputs[0, 16:32, 64:96]
    np.testing.assert_array_equal(patchify(inputs, AUDIO)[0, 1 * 4 + 2], patch.ravel())


def test_sinusoid_by_hand():
    table = sinusoid(3, 4)
    np.testing.assert_allclose(table[0], [0, 1, 0, 1])
    np.testing.assert_allclose(
        table[2], [np.sin(2), np.cos(2), np.sin(0.02), np.cos(0.02)], rtol=1e-6
    )


def test_embedding_a_few_patches_equals_embedding_all_and_taking_a_few():
    layer = PatchEmbedding(AUDIO, 8)
    patches = patchify(numbers(AUDIO), AUDIO)
    indices = tf.constant([[3, 1], [0, 15]])
    some = layer(tf.gather(patches, indices, batch_dims=1), indices)
    np.testing.assert_allclose(some, tf.gather(layer(patches), indices, batch_dims=1), rtol=1e-5)
