"""Grid order, the inverse, and the fixed position table."""

import numpy as np
import pytest
import tensorflow as tf
from combinations import drawn

from avmae_tf.config import AudioSpec, VideoSpec
from avmae_tf.models.builders import build_avmae, build_classifier
from avmae_tf.models.patches import PatchEmbedding, patchify, sinusoid, to_values, unpatchify

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


def test_bytes_become_values_around_zero_and_values_stay():
    levels = tf.constant([[0, 51, 102, 204, 255]], tf.uint8)
    np.testing.assert_allclose(to_values(levels), [[-1, -0.6, -0.2, 0.6, 1]], atol=1e-6)
    values = tf.constant([0.5, -3.0])
    assert to_values(values) is values


def test_frames_of_bytes_are_those_of_floats(pretrain_config, finetune_config):
    video, audio = pretrain_config.video, pretrain_config.audio
    drawn_bytes = np.random.default_rng(0).integers(0, 256, [2, *video.input_shape])
    frames = tf.constant(drawn_bytes, tf.uint8)
    sound = tf.random.stateless_normal([2, *audio.input_shape], [0, 1])
    of_bytes = {'video': frames, 'audio': sound}
    of_floats = {'video': to_values(frames), 'audio': sound}
    pretrained = drawn(build_avmae(pretrain_config))
    masks = pretrained.sample_masks(tf.constant([0, 1]), 2)
    ours, theirs = (pretrained(x, masks) for x in (of_bytes, of_floats))
    for a, b in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        np.testing.assert_array_equal(a, b)
    classifier = drawn(build_classifier(finetune_config, {'label': 3}), stddev=0.2)
    for a, b in zip(classifier(of_bytes).values(), classifier(of_floats).values(), strict=True):
        np.testing.assert_array_equal(a, b)
