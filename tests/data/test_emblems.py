"""Clips of few labels: the same by seed, alike in nothing but their class, bound by their notes."""

from pathlib import Path

import numpy as np
import pytest

from avmae_tf.data import emblems
from avmae_tf.data.synthetic import write_clips

STYLE = emblems.EmblemStyle()


def test_the_same_arguments_give_the_same_clip_and_others_another():
    frames, samples = STYLE.draw(5, 7)
    assert frames.shape == (4, 48, 48, 3) and frames.dtype == np.uint8
    assert samples.shape == (16_000,) and np.abs(samples).max() <= 1
    again = STYLE.draw(5, 7)
    np.testing.assert_array_equal(frames, again[0])
    np.testing.assert_array_equal(samples, again[1])
    for other in ((6, 7), (5, 8)):
        assert not np.array_equal(frames, STYLE.draw(*other)[0])


@pytest.mark.parametrize('shape', emblems.SHAPES)
def test_shapes_have_an_inside_and_end_within_the_picture(shape):
    u, v = np.meshgrid(np.linspace(-2, 2, 201), np.linspace(-2, 2, 201))
    inside = emblems.SHAPES[shape](u, v) < 0
    assert 0.05 < inside.mean() < 0.25
    assert not inside[np.maximum(abs(u), abs(v)) > 1.3].any()


def test_no_two_classes_share_a_shape_or_a_timbre():
    shapes, timbres = zip(*(name.split('+') for name in emblems.CLASSES), strict=True)
    assert len(set(shapes)) == len(set(timbres)) == len(emblems.CLASSES) == 8


def test_the_shape_flashes_with_its_notes():
    """In most clips brightness and loudness of the same tenths of a second rise together."""
    style, agreements = emblems.EmblemStyle(frames_per_second=10.0, seconds=2.0), []
    for index in range(24):
        frames, samples = style.draw(index % 8, index)
        brightness = frames[:, 16:32, 16:32].astype(float).mean(axis=(1, 2, 3))
        loudness = np.abs(samples.reshape(20, -1)).mean(axis=1)
        agreements.append(np.corrcoef(brightness, loudness)[0, 1])
    assert np.median(agreements) > 0.3


def test_only_the_first_clips_to_train_on_have_their_label_and_all_that_are_held_out(tmp_path):
    table = write_clips(tmp_path, num_train=12, num_eval=3, num_labelled=8, style=STYLE)
    rows = [line.split(',') for line in Path(table).read_text().splitlines()[1:]]
    assert [bool(label) for _, label, _ in rows] == [True] * 8 + [False] * 4 + [True] * 3
    assert {label for _, label, _ in rows[:8]} == set(emblems.CLASSES)
    with pytest.raises(ValueError, match='another folder'):
        write_clips(tmp_path, num_train=12, num_eval=3, style=STYLE)
