"""Which frames and which pixels a view takes."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.config import VideoSpec
from avmae_tf.data.examples import parse_example, write_example
from avmae_tf.data.inputs import testing_starts, training_starts, view
from avmae_tf.data.video import decode_frames, frame_indices

SPEC = VideoSpec(num_frames=4, frames_per_second=4.0, size_px=32, patch=(2, 16, 16))


def jpeg(picture):
    return cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def test_frames_are_the_nearest_in_time():
    assert frame_indices(0.0, 16, 8.0, SPEC).numpy().tolist() == [0, 2, 4, 6]
    assert frame_indices(0.5, 16, 8.0, SPEC).numpy().tolist() == [4, 6, 8, 10]
    assert frame_indices(0.0, 30, 25.0, SPEC).numpy().tolist() == [0, 6, 12, 19]


def test_short_clips_go_round():
    assert frame_indices(0.0, 3, 4.0, SPEC).numpy().tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ('corner', 'wanted'), [([0.0, 0.0], 'left'), ([0.5, 1.0], 'right'), ([0.5, 0.5], 'middle')]
)
def test_the_corner_places_the_crop(corner, wanted):
    picture = np.zeros([32, 96, 3], np.uint8)
    picture[:, :32, 2], picture[:, 32:64, 1], picture[:, 64:, 0] = 255, 255, 255  # BGR
    frames = decode_frames(tf.constant([jpeg(picture)] * 4), SPEC, tf.constant(corner))
    means = frames.numpy()[:, 8:24, 8:24].mean(axis=(0, 1, 2))
    assert {'left': 0, 'middle': 1, 'right': 2}[wanted] == means.argmax()
    np.testing.assert_allclose(sorted(means), [-1, -1, 1], atol=0.05)


def test_small_frames_are_enlarged():
    frames = decode_frames(
        tf.constant([jpeg(np.full([16, 20, 3], 255, np.uint8))] * 4), SPEC, tf.constant([0.5, 0.5])
    )
    assert frames.shape == (4, 32, 32, 3)
    np.testing.assert_allclose(frames, 1.0, atol=0.02)


def record(*, frames=(), waveform=(), labels=(3,)):
    return parse_example(
        write_example(
            key='k', filename='f', label_indices=labels, label_texts=(), start_us=0, end_us=1,
            frames=tuple(frames), frames_per_second=8.0, waveform=np.array(waveform, np.int16),
            sample_rate_hz=16000, valid_samples=0, status=(), fingerprint='',
        )
    )  # fmt: skip


def test_records_read_back_what_was_written():
    clip = record(frames=[b'a', b'b'], waveform=[0, 16384, -32768])
    assert clip['key'].numpy() == b'k'
    assert clip['frames'].numpy().tolist() == [b'a', b'b']
    assert clip['waveform'].numpy().tolist() == [0.0, 0.5, -1.0]
    assert clip['labels'].numpy().tolist() == [3]
    assert clip['frames_per_second'].numpy() == 8.0


def test_a_missing_modality_is_grey_or_silent(pretrain_config):
    inputs = view(record(labels=()), pretrain_config, (0.0, 0.0), tf.constant([0.5, 0.5]))
    assert not inputs['video'].numpy().any()
    np.testing.assert_allclose(inputs['audio'], np.log(1e-3), rtol=1e-6)


def test_audio_starts_at_the_proportion_of_the_video(pretrain_config):
    clip = record(frames=[b''] * 80, waveform=np.zeros(160000))  # ten seconds
    video, audio = training_starts(clip, pretrain_config, 1.0)
    assert float(video) == pytest.approx(9.0)  # the window is one second
    assert float(audio) == pytest.approx(9.0)


def test_test_views_span_the_clip(pretrain_config):
    clip = record(frames=[b''] * 80, waveform=np.zeros(160000))
    starts = [testing_starts(clip, pretrain_config, x) for x in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(starts, [[0, 0], [4.5, 4.52], [9, 9.04]], atol=1e-4)
