"""Which frames and pixels a view takes, and what of it is drawn anew."""

import itertools

import cv2
import numpy as np
import pytest
import tensorflow as tf
from served_requests import picture

from avmae_tf.config import AugmentSpec, MediaSpec, SpecAugment, VideoSpec
from avmae_tf.config.heads import LABEL
from avmae_tf.data.record_writer import write_record
from avmae_tf.data.records import parse_record
from avmae_tf.data.video import (
    are_alike,
    crop_window,
    decode_frames,
    frame_indices,
    segment_indices,
)
from avmae_tf.data.views import (
    chosen_jpegs,
    eval_starts,
    eval_views,
    training_starts,
    training_view,
    training_window,
    view_frames,
)

SPEC = VideoSpec(num_frames=4, frames_per_second=4.0, size_px=32, patch=(2, 16, 16))


def jpeg(picture):
    return cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def test_frames_are_the_nearest_in_time():
    assert frame_indices(0.0, 16, 8.0, SPEC).numpy().tolist() == [0, 2, 4, 6]
    assert frame_indices(0.5, 16, 8.0, SPEC).numpy().tolist() == [4, 6, 8, 10]
    assert frame_indices(0.0, 30, 25.0, SPEC).numpy().tolist() == [0, 6, 12, 19]


def test_short_clips_go_round():
    assert frame_indices(0.0, 3, 4.0, SPEC).numpy().tolist() == [0, 1, 2, 0]


def test_the_last_frame_stands_until_the_end_of_a_clip_that_is_long_enough():
    assert frame_indices(9.0, 10, 1.0, SPEC).numpy().tolist() == [9, 9, 9, 9]
    assert frame_indices(1.0, 6, 3.0, SPEC).numpy().tolist() == [3, 4, 4, 5]


def test_segments_give_one_frame_each_and_span_the_clip():
    assert segment_indices(0.0, 80, SPEC).numpy().tolist() == [0, 20, 40, 60]
    assert segment_indices(0.5, 80, SPEC).numpy().tolist() == [10, 30, 50, 70]
    assert segment_indices([0.0, 0.99, 0.5, 0.999], 80, SPEC).numpy().tolist() == [0, 39, 50, 79]
    assert segment_indices(0.5, 3, SPEC).numpy().tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ('corner', 'wanted'), [([0.0, 0.0], 'left'), ([0.5, 1.0], 'right'), ([0.5, 0.5], 'middle')]
)
def test_the_corner_places_the_crop(corner, wanted):
    picture = np.zeros([32, 96, 3], np.uint8)
    picture[:, :32, 2], picture[:, 32:64, 1], picture[:, 64:, 0] = 255, 255, 255  # BGR
    for stored in (picture, picture.transpose(1, 0, 2)):  # the longer side, whichever it is
        frames = decode_frames(tf.constant([jpeg(stored)] * 4), SPEC, tf.constant(corner))
        means = frames.numpy()[:, 8:24, 8:24].mean(axis=(0, 1, 2))
        assert {'left': 0, 'middle': 1, 'right': 2}[wanted] == means.argmax()
        np.testing.assert_allclose(sorted(means), [0, 0, 255], atol=7)


@pytest.mark.parametrize('left', [0, 1, 15, 16, 27, 32])
def test_a_crop_is_what_is_cut_out_of_the_whole_frame(left):
    picture = np.random.default_rng(0).integers(0, 256, [8, 8, 3]).astype(np.uint8)
    stored = jpeg(cv2.resize(picture, (64, 32), interpolation=cv2.INTER_CUBIC))
    whole = tf.io.decode_jpeg(stored, dct_method='INTEGER_FAST').numpy().astype(int)
    frames = decode_frames(tf.constant([stored] * 4), SPEC, tf.constant([0.0, left / 32]))
    inside = np.s_[:, 1:-1]  # at its rim a crop has no neighbours to smooth colours with
    assert np.abs(frames[3].numpy() - whole[:, left : left + 32])[inside].max() <= 1


def test_small_frames_are_enlarged():
    frames = decode_frames(
        tf.constant([jpeg(np.full([16, 20, 3], 255, np.uint8))] * 4), SPEC, tf.constant([0.5, 0.5])
    )
    assert frames.shape == (4, 32, 32, 3)
    np.testing.assert_allclose(frames, 255, atol=3)


@pytest.mark.parametrize(
    ('size', 'changes', 'scale', 'expected'),
    [
        ((256, 340), {}, (1.0, 1.0), (16, 58, 224, 224)),  # as it is stored
        ((256, 340), {'resize_px': 256}, (1.0, 1.0), (16, 58, 224, 224)),
        ((512, 680), {'resize_px': 256}, (1.0, 1.0), (32, 116, 448, 448)),
        ((680, 512), {'resize_px': 256}, (1.0, 1.0), (116, 32, 448, 448)),
        ((128, 170), {'resize_px': 256}, (1.0, 1.0), (8, 29, 112, 112)),
        ((256, 340), {'resize_px': 224}, (1.0, 1.0), (0, 42, 256, 256)),
        ((256, 340), {}, (1.28, 0.896), (40, 45, 175, 250)),
        ((200, 340), {}, (0.9, 1.0), (0, 70, 200, 200)),
    ],
)
def test_what_is_cut_out_of_frames_of_any_size(size, changes, scale, expected):
    window = crop_window(tf.constant(size), VideoSpec(**changes), (0.5, 0.5), scale)
    assert tuple(window.numpy()) == expected


def test_frames_are_scaled_as_a_whole_and_then_cropped():
    gradient = np.repeat(np.linspace(0, 255, 96).astype(np.uint8)[None, :, None], 64, 0)
    jpegs = tf.constant([jpeg(np.repeat(gradient, 3, 2))] * 4)
    spec = SPEC.replace(resize_px=40)
    frames = decode_frames(jpegs, spec, (0.5, 0.5)).numpy().astype(float)
    row = cv2.resize(np.repeat(gradient, 3, 2), (60, 40), interpolation=cv2.INTER_AREA)[20, 14:46]
    np.testing.assert_allclose(frames[0, 16], row, atol=4)


def record(*, frames=(), waveform=(), labels=(3,)):
    return parse_record(
        write_record(
            key='k', filename='f', label_indices={LABEL: labels}, label_texts={},
            start_us=0, end_us=1, frames=tuple(frames), frames_per_second=8.0,
            waveform=np.array(waveform, np.int16), sample_rate_hz=16000,
            valid_samples=0, status=(), fingerprint='',
        ),
        (LABEL,),
    )  # fmt: skip


def test_records_read_back_what_was_written():
    clip = record(frames=[b'a', b'b'], waveform=[0, 16384, -32768])
    assert clip['key'].numpy() == b'k'
    assert clip['frames'].numpy().tolist() == [b'a', b'b']
    assert clip['waveform'].numpy().tolist() == [0.0, 0.5, -1.0]
    assert clip['labels'][LABEL].numpy().tolist() == [3]
    assert clip['frames_per_second'].numpy() == 8.0


def filmed(num_frames=16, seconds=2.0, height=40, width=60):
    """A record whose frames are as bright as their number, redder to the right; and a tone."""
    red = np.broadcast_to(np.linspace(0, 120, width), [height, width])
    frames = [
        jpeg(np.stack([np.full_like(red, 8 * i), np.full_like(red, 8 * i), red], -1).astype('u1'))
        for i in range(num_frames)
    ]
    tone = 8000 * np.sin(2 * np.pi * 440 * np.arange(round(16000 * seconds)) / 16000)
    return record(frames=frames, waveform=tone)


def drawn_view(clip, config, number):
    seed = tf.constant([number, 0])
    return training_view(training_window(clip, config, seed), config, seed)


VGGSOUND = AugmentSpec.model_validate('vggsound').replace(mixup=None)


@pytest.mark.parametrize('augment', [AugmentSpec(), VGGSOUND])
def test_a_missing_modality_is_grey_or_silent(pretrain_config, finetune_config, augment):
    nothing = record(labels=())
    config = pretrain_config.replace(augment=augment)
    inputs = drawn_view(nothing, config, 0)
    assert (inputs['video'].numpy() == 128).all()
    np.testing.assert_allclose(inputs['audio'], np.log(1e-3), rtol=1e-6)
    views = eval_views(nothing, finetune_config, 2)
    assert (views['video'].numpy() == 128).all()
    np.testing.assert_allclose(views['audio'], np.log(1e-3), rtol=1e-6)


def test_audio_starts_at_the_proportion_of_the_video(pretrain_config):
    clip = record(frames=[b''] * 80, waveform=np.zeros(160000))  # ten seconds
    video, audio = training_starts(clip, pretrain_config, 1.0)
    assert float(video) == pytest.approx(9.0)  # the window is one second
    assert float(audio) == pytest.approx(9.0)
    segments = pretrain_config.replace(video=SPEC.replace(sampling='segments'))
    assert float(training_starts(clip, segments, 1.0)[1]) == pytest.approx(9.04)


@pytest.mark.parametrize('frames', [[], [b''] * 8])
def test_sound_moves_where_the_video_cannot(pretrain_config, frames):
    clip = record(frames=frames, waveform=np.zeros(160000))
    assert float(training_starts(clip, pretrain_config, 1.0)[1]) == pytest.approx(9.04)


def test_test_views_span_the_clip(pretrain_config):
    clip = record(frames=[b''] * 80, waveform=np.zeros(160000))
    starts = [eval_starts(clip, pretrain_config, x) for x in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(starts, [[0, 0], [4.5, 4.52], [9, 9.04]], atol=1e-4)


def brightness(frames):
    """The number of the stored frame that each frame of `filmed` was."""
    return np.round(np.asarray(frames)[..., 2].mean(axis=(-1, -2)) / 8).tolist()


def test_three_crops_lie_along_the_longer_side_and_share_the_sound(finetune_config):
    clip = filmed()
    views = eval_views(clip, finetune_config, 2, num_crops=3)
    assert views['video'].shape == (6, 4, 32, 32, 3) and views['audio'].shape == (6, 96, 128, 1)
    pixels = views['video'].numpy().astype(float)
    assert brightness(pixels[:, 0]) == [0, 0, 0, 8, 8, 8]
    left, middle, right = pixels[:3, ..., 0].mean(axis=(1, 2, 3))
    assert middle - left == pytest.approx(28, abs=3) and right - middle == pytest.approx(28, abs=3)
    sound = views['audio'].numpy()
    assert (sound[0] == sound[2]).all() and (sound[3] == sound[5]).all()
    np.testing.assert_array_equal(
        views['video'][1], eval_views(clip, finetune_config, 2)['video'][0]
    )


def test_views_by_segments_span_the_clip(finetune_config):
    spec = SPEC.replace(sampling='segments')
    assert brightness(view_frames(chosen_jpegs(filmed(), spec, 0.0), spec)) == [2, 6, 10, 14]
    views = eval_views(filmed(), finetune_config.replace(video=spec), 2)['video'].numpy()
    assert brightness(views) == [[1, 5, 9, 13], [3, 7, 11, 15]]
    config = finetune_config.replace(video=spec)
    drawn = {tuple(brightness(drawn_view(filmed(), config, i)['video'])) for i in range(12)}
    assert len(drawn) > 6
    assert all([int(n) // 4 for n in chosen] == [0, 1, 2, 3] for chosen in drawn)


@pytest.mark.parametrize(
    ('augment', 'changed'),
    [
        (AugmentSpec(), set()),
        (AugmentSpec(random_crop=True), {'video'}),
        (AugmentSpec(random_flip=True), {'video'}),
        (AugmentSpec(scale_jitter=(0.9, 1.33)), {'video'}),
        (AugmentSpec(colour={}), {'video'}),
        (AugmentSpec(time_shift=True), {'audio'}),
        (
            AugmentSpec(
                spec_augment=SpecAugment(
                    frequency_masks=1, frequency_width=48, time_masks=1, time_width=24
                )
            ),
            {'audio'},
        ),
        (VGGSOUND, {'video', 'audio'}),
    ],
)
def test_each_setting_draws_anew_what_it_names(finetune_config, augment, changed):
    clip = filmed(num_frames=8, seconds=0.96)  # a clip with a single window
    config = finetune_config.replace(augment=augment)
    views = [drawn_view(clip, config, i) for i in range(6)]
    for name in views[0]:
        differ = len({view[name].numpy().tobytes() for view in views}) > 1
        assert differ == (name in changed), name
    again = drawn_view(clip, config, 0)
    for name in again:
        np.testing.assert_array_equal(again[name], views[0][name])
        assert again[name].shape == config.inputs(name).input_shape


@pytest.mark.parametrize('side', [24, 40, 64, 100, 333, 720])
def test_frames_of_any_size_show_what_those_of_the_records_do(side):
    spec = SPEC.replace(resize_px=40)  # the side of the records
    views = {
        px: decode_frames(tf.constant([jpeg(picture(px))] * 4), spec, (0.5, 0.7)).numpy()
        for px in (40, side)
    }
    assert np.abs(views[side].astype(float) - views[40]).mean() < 10.0


def test_large_frames_are_reduced_without_aliasing():
    stripes = np.repeat(np.arange(320)[None] % 2 * 255, 256, 0).astype(np.uint8)
    jpegs = tf.constant([jpeg(np.repeat(stripes[..., None], 3, 2))] * 4)
    frames = decode_frames(jpegs, SPEC.replace(resize_px=36), (0.5, 0.5))
    np.testing.assert_allclose(frames, 127.5, atol=8)


def test_crops_are_measured_in_frames_of_the_records(finetune_config):
    config = finetune_config.on(MediaSpec(shorter_side_px=41))
    assert config.video.resize_px == 40  # stored sides are even
    assert config.video.size_px == finetune_config.video.size_px
    fixed = finetune_config.replace(video=SPEC.replace(resize_px=48))
    assert fixed.on(MediaSpec(shorter_side_px=41)) == fixed
    size = tf.constant([40, 64])
    for scale in ((1.0, 1.0), (1.28, 0.9)):  # what an unset size has always shown
        window = crop_window(size, SPEC, (0.3, 0.6), scale)
        assert (crop_window(size, config.video, (0.3, 0.6), scale) == window).numpy().all()


def encoded(height, width, *options):
    """A JPEG of this size as OpenCV writes it with these options."""
    return cv2.imencode('.jpg', np.zeros((height, width, 3), np.uint8), [*options])[1].tobytes()


@pytest.mark.parametrize('options', [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
@pytest.mark.parametrize('sizes, wanted', [
    ([(48, 64), (48, 64), (48, 64)], True),
    ([(48, 64), (64, 48), (48, 64)], False),
    ([(48, 64), (48, 64), (48, 320)], False),
    ([(304, 64), (48, 64), (304, 64)], False),
])  # fmt: skip
def test_frames_of_one_size_are_told_from_others_whoever_wrote_them(sizes, wanted, options):
    jpegs = [encoded(*size, *options) for size in sizes]
    assert bool(are_alike(tf.constant(jpegs))) == wanted
    with_comment = [x[:2] + b'\xff\xfe\x00\x04hi' + x[2:] for x in jpegs]  # another layout
    assert bool(are_alike(tf.constant([jpegs[0], *with_comment[1:]]))) == wanted


def test_what_looks_like_a_size_elsewhere_in_a_jpeg_is_none():
    """A comment with the bytes of a header, the same in both, before two other sizes."""
    head = encoded(48, 64)[:175]
    jpegs = [
        b'\xff\xd8\xff\xe1\x00\xb1' + head + encoded(*size)[2:] for size in [(48, 64), (64, 48)]
    ]
    assert not are_alike(tf.constant(jpegs))


def test_no_two_views_are_decoded_at_once(finetune_config):
    """Of two that fail at once TensorFlow may tell which it cancelled, not which failed."""

    @tf.function(autograph=False)
    def views(frames, waveform):
        clip = {'frames': frames, 'waveform': waveform, 'frames_per_second': tf.constant(8.0)}
        return eval_views(clip, finetune_config, 2, 3)

    specs = tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.float32)
    graph = views.get_concrete_function(*specs).graph

    def before(op, seen):
        for other in [*op.control_inputs, *(x.op for x in op.inputs)]:
            if other not in seen:
                seen.add(other)
                before(other, seen)
        return seen

    shape = finetune_config.video.input_shape
    decoded = [
        op
        for op in graph.get_operations()
        if op.type.endswith('If') and op.outputs[0].shape == shape
    ]
    assert len(decoded) == 2 * 3
    assert all(first in before(second, set()) for first, second in itertools.pairwise(decoded))
