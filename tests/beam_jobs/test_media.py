"""Whatever the file, a clip is in sync or has a reason; segments are what whole files hold."""

import dataclasses
import math
import pickle
import subprocess
import sys
import types
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from awkward import CASES, FAST_START, PCM, TS, film_order
from clock_movies import audio_frame, check_clip, check_sync, clicks, read_clock, same, write_movie

from avmae_tf.config import MediaSpec
from beam_jobs import clip as clip_module
from beam_jobs import container, media
from beam_jobs.media import Clip, Reason, Status, UnusableClip, decode_clip, decode_clips
from beam_jobs.video_track import stored_size

SPEC = MediaSpec(shorter_side_px=64)


@pytest.mark.parametrize('case', CASES, ids=str)
def test_awkward_file_yields_the_clip_or_the_reason(case, tmp_path, capfd):
    path = tmp_path / case.filename
    case.write(path)
    capfd.readouterr()
    spec = SPEC.replace(required=case.required)
    if case.reason:
        with pytest.raises(UnusableClip) as caught:
            decode_clip(str(path), spec)
        assert caught.value.reason is case.reason
        assert str(path) in caught.value.detail
        assert '\n' not in str(caught.value)
    else:
        clip = decode_clip(str(path), spec)
        check_clip(clip)
        assert clip.status == case.status
        assert clip.size == case.size
        assert clip.end_us / 1e6 == pytest.approx(case.seconds, abs=0.05)
        silent = 'no_audio' in case.status
        if case.num_clicks != -1:
            num_clicks = 0 if silent else case.num_clicks
            check_sync(clip, tolerance=case.tolerance, shift=case.shift, num_clicks=num_clicks)
    assert capfd.readouterr() == ('', '')


@pytest.fixture(scope='module')
def long_video(tmp_path_factory):
    """path, shift of a minute of video by file format, each written once."""
    folder = tmp_path_factory.mktemp('long')
    formats = {
        'mp4': ({}, 0.0),
        'mkv': ({'video_options': {'g': '40', 'bf': '2'}}, 0.0),
        'h264.mp4': (
            {'video': 'libx264', 'video_options': {'x264-params': 'open-gop=1:keyint=250'}},
            0.0,
        ),
        'refreshed.mp4': (
            {'video': 'libx264', 'video_options': {'x264-params': 'intra-refresh=1:keyint=50'}},
            0.0,
        ),
        'ts': ({k: v for k, v in TS.items() if k != 'filename'}, 481 / 48_000),
        'avi': ({**PCM, 'video_options': {'g': '250'}}, 0.0),
    }
    written = {}

    def get(name):
        if name not in written:
            settings, shift = formats[name]
            written[name] = str(folder / f'long.{name}'), shift
            write_movie(folder / f'long.{name}', seconds=60, **settings)
        return written[name]

    return get


SEGMENTS = [  # unsorted, overlapping, dense and sparse, open, and beyond the end
    (31.05, 32.05),
    (0.5, 1.5),
    (None, 0.9),
    (30.0, 32.51),
    (2.3, 3.3),
    (48.777, 50.0),
    (59.0, None),
    (58.5, 70.0),
    (64.0, 65.0),
    (3.0, 3.2),
    (7.0, 5.0),
    (31.05, 32.05),
    (57.0, 58.2),
]


@pytest.mark.parametrize('name', ['mp4', 'mkv', 'h264.mp4', 'refreshed.mp4', 'ts', 'avi'])
def test_segments_are_in_sync_and_the_same_alone_or_together(name, long_video):
    path, shift = long_video(name)
    together = list(decode_clips(path, SEGMENTS, SPEC))
    assert len(together) == len(SEGMENTS)
    for (start, end), outcome in zip(SEGMENTS, together, strict=True):
        try:
            alone = decode_clip(path, SPEC, start_seconds=start, end_seconds=end)
        except UnusableClip as error:
            assert (error.reason, error.detail) == (outcome.reason, outcome.detail)
        else:
            assert same(alone, outcome)
            check_clip(outcome)
            assert outcome.start_us == round((start or 0) * 1e6)
            last = 1 if end in (None, 70.0) else 0  # the encoder's padding has no clock
            trimmed = outcome.frames[: len(outcome.frames) - last]
            check_sync(dataclasses.replace(outcome, frames=trimmed), shift=shift)
    reasons = {i: o.reason for i, o in enumerate(together) if isinstance(o, UnusableClip)}
    assert reasons == {8: Reason.OUT_OF_RANGE, 9: Reason.TOO_SHORT, 10: Reason.BAD_SEGMENT}
    flagged = {i: o.status for i, o in enumerate(together) if isinstance(o, Clip) and o.status}
    assert flagged == {7: ('partial',)}


def count_decoded(monkeypatch):
    """Packets decoded from now on, by type of stream."""
    counts = {'video': 0, 'audio': 0}
    decode = container.Media.decode

    def counting(self, stream, packet):
        counts[stream.type] += 1
        return decode(self, stream, packet)

    monkeypatch.setattr(container.Media, 'decode', counting)
    return counts


def test_a_late_segment_is_sought_not_read_up_to(long_video, monkeypatch):
    path, _ = long_video('mp4')
    counts = count_decoded(monkeypatch)
    decode_clip(path, SPEC, start_seconds=50, end_seconds=51)
    assert counts['video'] < 25 + 2 * 12  # a second of frames and its groups of pictures
    assert counts['audio'] < 2.5 * 44_100 / 1024


def test_dense_segments_share_one_pass_and_sparse_ones_do_not_read_the_gap(long_video, monkeypatch):
    path, _ = long_video('mp4')
    counts = count_decoded(monkeypatch)
    dense = [(t / 4, t / 4 + 2) for t in range(20)]
    assert all(isinstance(clip, Clip) for clip in decode_clips(path, dense, SPEC))
    assert counts['video'] < 7 * 25 + 12
    counts['video'] = 0
    assert len(list(decode_clips(path, [(1, 2), (55, 56)], SPEC))) == 2
    assert counts['video'] < 5 * 25


def test_damaged_segments_are_the_same_alone_or_together(tmp_path):
    path = tmp_path / 'clip.ts'
    write_movie(path, seconds=24, **{k: v for k, v in TS.items() if k != 'filename'})
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    data[np.random.default_rng(3).integers(len(data) // 2, len(data) * 2 // 3, 60)] ^= 16
    path.write_bytes(data.tobytes())
    segments = [(8, 10), (11, 14), (13, 15), (18, 19), (22, None)]
    outcomes = list(decode_clips(str(path), segments, SPEC))
    assert ['damaged' in clip.status for clip in outcomes] == [False, True, True, False, False]
    for (start, end), outcome in zip(segments, outcomes, strict=True):
        assert same(outcome, decode_clip(str(path), SPEC, start_seconds=start, end_seconds=end))


def test_an_empty_file_is_said_to_be_one(tmp_path):
    (tmp_path / 'empty.mp4').touch()
    with pytest.raises(UnusableClip, match='an empty file'):
        decode_clip(str(tmp_path / 'empty.mp4'), MediaSpec())


@pytest.mark.parametrize('name', ['mp4', 'ts', 'mkv'])
def test_flipped_bits_never_escape(name, tmp_path):
    path = tmp_path / f'clip.{name}'
    settings = {k: v for k, v in TS.items() if k != 'filename'} if name == 'ts' else {}
    write_movie(path, seconds=1, **(FAST_START if name == 'mp4' else {}), **settings)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for seed in range(25):
        rng = np.random.default_rng(seed)
        data = whole.copy()
        data[rng.integers(0, len(data), 10)] ^= (1 << rng.integers(0, 8, 10)).astype(np.uint8)
        path.write_bytes(data.tobytes())
        for outcome in decode_clips(str(path), [(None, None)], SPEC):
            if isinstance(outcome, UnusableClip):
                assert outcome.reason is not Reason.INTERNAL_ERROR, outcome
            else:
                check_clip(outcome)


@pytest.mark.parametrize(
    ('frame_ms', 'frames_per_second', 'chosen_ms'),
    [
        # The nearest frame of an ordinary video ...
        (range(0, 1000, 40), 8, [0, 120, 240, 360, 520, 640, 760, 880]),
        (range(0, 1000, 40), 25, list(range(0, 1000, 40))),
        # ... and the one on the screen where they stand longer: at most 20 ms early.
        ([0, 600, 900], 10, [0, 0, 0, 0, 0, 0, 600, 600, 600, 900]),
        ([0, 515, 960], 10, [0, 0, 0, 0, 0, 515, 515, 515, 515, 515]),
        ([0, 525, 960], 10, [0, 0, 0, 0, 0, 0, 525, 525, 525, 525]),
        # Before the first frame, the first.
        ([250, 500, 750], 8, [250, 250, 250, 250, 500, 500, 750, 750]),
    ],
)
def test_frames_are_chosen_by_time(frame_ms, frames_per_second, chosen_ms, tmp_path):
    path = tmp_path / 'clip.mkv'
    write_movie(path, seconds=1, frame_times=[ms / 1000 for ms in frame_ms], **PCM)
    clip = decode_clip(str(path), SPEC.replace(frames_per_second=frames_per_second))
    assert [round(read_clock(jpeg) * 1000) for jpeg in clip.frames] == chosen_ms


def test_samples_of_a_late_track_are_counted_and_the_rest_is_silence(tmp_path):
    path = tmp_path / 'clip.mkv'
    write_movie(
        path,
        **PCM,
        rate=16_000,
        sound=lambda seconds, rate: np.full(round(seconds * rate), 0.5),
        spans=[(0.512, 1.024), (1.536, 2)],
    )
    clip = decode_clip(str(path), SPEC)
    expected = np.zeros(32_000, np.int16)
    expected[8192:16384] = expected[24576:] = 16383
    np.testing.assert_array_equal(clip.waveform, expected)
    assert clip.valid_samples == 8192 + 7424
    assert clip.rms == pytest.approx(0.5, abs=1e-4)
    assert clip.status == ('padded',)


FILM = ('FL', 'FC', 'FR', 'SL', 'SR', 'LFE')


@pytest.mark.parametrize('channel', FILM)
def test_channels_in_the_order_of_film_are_mixed_by_their_names(channel, tmp_path):
    def mixed(index, layout, damage=bytes):
        def sound(seconds, rate):
            return np.eye(6)[index][:, np.newaxis] * clicks(seconds, rate)

        path = tmp_path / f'{layout}.mov'
        write_movie(path, **PCM, layout=layout, sound=sound)
        path.write_bytes(damage(path.read_bytes()))
        return decode_clip(str(path), SPEC).waveform

    native = [name.name for name in av.AudioLayout('5.1(side)').channels].index(channel)
    usual = mixed(native, '5.1(side)')
    film = mixed(FILM.index(channel), '5.1', film_order)
    np.testing.assert_allclose(film, usual, atol=2)  # of the dither
    assert (film.any(), channel) in [(True, channel), (False, 'LFE')]


def test_jitter_of_timestamps_leaves_the_sound_whole(tmp_path):
    def write(path, jitter):
        rng = np.random.default_rng(0)
        wave = np.sin(np.arange(32_000) / 5)[np.newaxis]
        with av.open(str(path), 'w') as movie:
            stream = movie.add_stream('pcm_s16le', rate=16_000, layout='mono')
            for first in range(0, 32_000, 640):
                frame = audio_frame(wave[:, first : first + 640], 's16', 'mono', 16_000)
                frame.pts, frame.time_base = first // 16, Fraction(1, 1000)
                frame.pts += int(jitter * rng.integers(-10, 11)) if first else 0
                movie.mux(stream.encode(frame))
        return decode_clip(str(path), SPEC.replace(required=('audio',)))

    steady = write(tmp_path / 'steady.mkv', 0)
    np.testing.assert_array_equal(write(tmp_path / 'jitter.mkv', 1).waveform, steady.waveform)


@pytest.mark.parametrize(
    ('size', 'sample_aspect', 'rotation', 'stored'),
    [
        ((640, 360), 1, 0, (256, 456)),
        ((1920, 1080), None, 0, (256, 456)),
        ((320, 240), 1, 0, (256, 342)),  # enlarged, so that all records are alike
        ((720, 576), Fraction(16, 15), 0, (256, 342)),
        ((720, 576), Fraction(64, 45), 90, (456, 256)),
        ((360, 640), 1, -180, (456, 256)),
        ((256, 256), 1, -90, (256, 256)),
        ((4000, 16), 1, 0, (256, 2048)),  # squeezed
    ],
)
def test_stored_size_keeps_the_aspect_with_even_sides(size, sample_aspect, rotation, stored):
    frame = types.SimpleNamespace(width=size[0], height=size[1], rotation=rotation)
    assert stored_size(frame, sample_aspect, 256) == stored


@pytest.mark.parametrize(
    ('pix_fmt', 'colorspace', 'full_range'),
    [('yuv420p', 'ITU601', False), ('yuvj420p', 'ITU601', True), ('yuv444p', 'ITU709', False)],
)
def test_colours_follow_the_matrix_and_range_of_the_file(pix_fmt, colorspace, full_range, tmp_path):
    path, colour = tmp_path / 'clip.mkv', (200, 60, 30)
    with av.open(str(path), 'w') as movie:
        stream = movie.add_stream('mjpeg' if full_range else 'libx264', rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pix_fmt
        stream.codec_context.colorspace = 1 if colorspace == 'ITU709' else 5
        for i in range(25):
            rgb = np.full((64, 64, 3), colour, np.uint8)
            frame = av.VideoFrame.from_ndarray(rgb, 'rgb24').reformat(
                format=pix_fmt, dst_colorspace=colorspace
            )
            frame.pts, frame.time_base = i, Fraction(1, 25)
            movie.mux(stream.encode(frame))
        movie.mux(stream.encode(None))
    clip = decode_clip(str(path), SPEC.replace(required=('video',)))
    bgr = cv2.imdecode(np.frombuffer(clip.frames[3], np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_allclose(bgr.mean((0, 1))[::-1], colour, atol=4)


def test_too_long_says_to_give_start_and_end(tmp_path, monkeypatch):
    path = tmp_path / 'clip.mp4'
    write_movie(path)
    monkeypatch.setattr(clip_module, 'MAX_SECONDS', 1)
    monkeypatch.setattr(media, 'MAX_SECONDS', 1)
    for start, end in ((None, None), (0.5, 1.9), (0.5, None)):
        with pytest.raises(UnusableClip, match='give start_seconds and end_seconds') as caught:
            decode_clip(str(path), SPEC, start_seconds=start, end_seconds=end)
        assert caught.value.reason is Reason.TOO_LONG
    assert decode_clip(str(path), SPEC, start_seconds=1.2).end_us > 1_990_000


@pytest.mark.parametrize(
    ('start', 'end'),
    [
        (-1, 2),
        (2, 1),
        (1, 1),
        (math.nan, 2),
        (0, math.nan),
        (math.inf, None),
        ('a', 'b'),
        (1e10, None),
    ],
)
def test_times_out_of_order_are_a_bad_segment(start, end):
    with pytest.raises(UnusableClip, match='needs 0 <= start < end') as caught:
        decode_clip('clip.mp4', SPEC, start_seconds=start, end_seconds=end)
    assert caught.value.reason is Reason.BAD_SEGMENT


def test_every_segment_of_an_unusable_file_gets_the_reason(tmp_path):
    outcomes = list(decode_clips(str(tmp_path / 'no.mp4'), [(0, 1), (2, 1), (3, 4)], SPEC))
    assert [o.reason for o in outcomes] == [Reason.MISSING, Reason.BAD_SEGMENT, Reason.MISSING]
    again = pickle.loads(pickle.dumps(outcomes[0]))
    assert (again.reason, again.detail) == (outcomes[0].reason, outcomes[0].detail)


def refuse(*args):
    raise PermissionError(13, 'Permission denied')


def stumble(*args, **kwargs):
    raise KeyError('a bug')


def test_no_permission_is_unreadable_and_a_bug_is_told_apart(tmp_path, monkeypatch):
    path = tmp_path / 'clip.mp4'
    write_movie(path)
    with monkeypatch.context() as patch:
        patch.setattr(container, 'open_binary', refuse)
        with pytest.raises(UnusableClip, match='Permission denied') as caught:
            decode_clip(str(path), SPEC)
    assert caught.value.reason is Reason.UNREADABLE
    monkeypatch.setattr(media, 'assemble', stumble)
    with pytest.raises(UnusableClip, match='KeyError') as caught:
        decode_clip(str(path), SPEC)
    assert caught.value.reason is Reason.INTERNAL_ERROR


def test_remote_files_are_read_through_tensorflow(tmp_path):
    path = tmp_path / 'clip.mp4'
    write_movie(path, seconds=20)
    for start, end in ((None, None), (15, 16)):
        times = {'start_seconds': start, 'end_seconds': end}
        remote = decode_clip(f'file://{path}', SPEC, **times)
        assert same(remote, decode_clip(str(path), SPEC, **times))
    with pytest.raises(UnusableClip) as caught:
        decode_clip(f'file://{tmp_path}/other.mp4', SPEC)
    assert caught.value.reason is Reason.MISSING


def test_decoding_imports_neither_tensorflow_nor_beam():
    code = 'import sys, beam_jobs.workers; print({"tensorflow", "apache_beam"} & set(sys.modules))'
    assert subprocess.check_output([sys.executable, '-c', code], text=True).strip() == 'set()'


def test_every_status_is_tested():
    assert {status for case in CASES for status in case.status} == {s.value for s in Status}
