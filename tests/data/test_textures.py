"""Clips of few labels: the same by seed, alike in nothing but their class, bound by their notes."""

import numpy as np
import pytest

from avmae_tf.data import textures


def test_the_same_arguments_give_the_same_clip_and_others_another():
    frames, samples = textures.draw_clip(5, [3, 7])
    assert frames.shape == (8, 48, 48, 3) and frames.dtype == np.uint8
    assert samples.shape == (32_000,) and np.abs(samples).max() <= 1
    again = textures.draw_clip(5, [3, 7])
    np.testing.assert_array_equal(frames, again[0])
    np.testing.assert_array_equal(samples, again[1])
    for other in ((6, [3, 7]), (5, [3, 8]), (5, [4, 7])):
        assert not np.array_equal(frames, textures.draw_clip(*other)[0])


@pytest.mark.parametrize('pattern', textures.PATTERNS)
def test_patterns_go_from_dark_to_light(pattern):
    u, v = np.meshgrid(np.linspace(-20, 20, 200), np.linspace(-20, 20, 200))
    values = textures.PATTERNS[pattern](u, v, (1.0, -2.0))
    assert values.min() < -0.85 and values.max() > 0.85
    assert abs(np.clip(values, -1, 1).mean()) < 0.1


def test_the_disc_flashes_with_its_notes():
    """In most clips brightness and loudness of the same quarter of a second rise together."""
    agreements = []
    for index in range(24):
        frames, samples = textures.draw_clip(index % 16, [0, index])
        brightness = frames[:, 16:32, 16:32].astype(float).mean(axis=(1, 2, 3))
        loudness = np.abs(samples.reshape(8, -1)).mean(axis=1)
        agreements.append(np.corrcoef(brightness, loudness)[0, 1])
    assert np.median(agreements) > 0.3


def test_there_are_sixteen_classes_of_two_parts():
    assert len(set(textures.CLASSES)) == 16
    assert {name.split('+')[0] for name in textures.CLASSES} == set(textures.PATTERNS)
