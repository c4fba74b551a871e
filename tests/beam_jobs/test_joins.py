"""Recordings joined end to end come out whole, in order, and in sync."""

from pathlib import Path

import numpy as np
import pytest
from awkward import TS
from clock_movies import FPS, check_clip, click_times, find_clicks, read_clock, write_movie
from test_timestamps import AUDIO_PID, CLOCK_HZ, VIDEO_PID, WRAP, move_packets

from avmae_tf.config import MediaSpec
from beam_jobs.joins import find_offsets
from beam_jobs.media import Wanted, decode_clip, decode_wanted

SPEC = MediaSpec(shorter_side_px=64)
AUDIO_VIDEO = {key: value for key, value in TS.items() if key != 'filename'}
SHIFT = 481 / 48_000
FORMATS = {
    'ts': AUDIO_VIDEO,
    'mpg': AUDIO_VIDEO,
    'h264.ts': {'video': 'libx264', 'video_options': {'x264-params': 'bframes=2:keyint=25'}},
}


def join(path: Path, *seconds: float, moved: float = 0.0) -> Path:
    """Recordings that each begin with 0 on the clock in their picture, joined as bytes."""
    data = b''
    for number, length in enumerate(seconds):
        part = path.with_name(f'{number}.{path.name}')
        write_movie(part, seconds=length, **FORMATS[path.name.partition('.')[2]])
        if number and moved:
            for pid in (VIDEO_PID, AUDIO_PID):
                move_packets(part, pid, range(10**6), moved)
        data += part.read_bytes()
    path.write_bytes(data)
    return path


def check(clip, *seconds: float, tolerance=0.125):
    """The clip shows the parts one after the other, and the sound goes with the picture."""
    check_clip(clip)
    starts = np.cumsum([0, *seconds])
    begin = clip.start_us / 1e6
    for k, jpeg in enumerate(clip.frames[:-1]):
        time = begin + k / FPS
        if np.abs(starts - time).min() > tolerance:
            part = np.searchsorted(starts, time) - 1
            assert read_clock(jpeg) == pytest.approx(time - starts[part], abs=tolerance)
    every = [
        start + t for start, s in zip(starts[:-1], seconds, strict=True) for t in click_times(s)
    ]
    inside = [t for t in every if begin + 0.2 < t < clip.end_us / 1e6 - 0.2]
    heard = [begin + t for t in find_clicks(clip.waveform)]
    for time in inside:
        assert np.abs(np.array(heard) - time).min() < tolerance


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('seconds', [(6, 4), (4, 6), (3, 2, 3)])
def test_a_clock_that_starts_anew_goes_on(name, seconds, tmp_path):
    path = str(join(tmp_path / f'clip.{name}', *seconds))
    whole = decode_clip(path, SPEC)
    assert whole.end_us / 1e6 == pytest.approx(sum(seconds), abs=0.15)
    assert whole.status == ()
    check(whole, *seconds)
    wanted = [Wanted(0.5, 2.5), Wanted(seconds[0] + 0.5, seconds[0] + 1.5)]
    for segment, clip in zip(wanted, decode_wanted(path, wanted, SPEC), strict=True):
        assert (clip.start_us, clip.end_us) == tuple(t * 1e6 for t in segment[:2])
        assert clip.status == ()
        check(clip, *seconds)


@pytest.mark.parametrize('moved', [100, -0.5, 20_000, 90_000])
def test_a_clock_that_jumps_goes_on(moved, tmp_path):
    clip = decode_clip(str(join(tmp_path / 'clip.ts', 4, 3, moved=moved)), SPEC)
    assert clip.end_us / 1e6 == pytest.approx(7, abs=0.1)
    check(clip, 4, 3)


def test_a_clock_that_passes_its_last_value_is_no_join(tmp_path):
    path = tmp_path / 'clip.ts'
    write_movie(path, seconds=4, **AUDIO_VIDEO)
    before = decode_clip(str(path), SPEC)
    for pid in (VIDEO_PID, AUDIO_PID):
        move_packets(path, pid, range(10**6), WRAP / CLOCK_HZ - 3)
    after = decode_clip(str(path), SPEC)
    assert after.frames == before.frames and after.end_us == before.end_us


def times(stream: int, start: float, end: float, step: float = 0.04):
    """(when it is in the file, packet)."""
    return [
        (start, (stream, round(t * 1e6), round(step * 1e6))) for t in np.arange(start, end, step)
    ]


def offsets_of(*parts):
    """Of parts in the order of the file, the streams of each interleaved by time."""
    packets = []
    for part in parts:
        packets += [p for _, p in sorted(
            ((packet[1], packet) for stream in part for _, packet in stream)
        )]  # fmt: skip
    return find_offsets(packets)[0]


def test_a_hole_in_one_stream_is_no_join_and_one_in_all_is():
    picture, before, after = times(0, 0, 60), times(1, 0, 10), times(1, 50, 60)
    assert offsets_of([picture, before + after]) == {}
    assert offsets_of([times(0, 0, 10), before], [times(0, 50, 60), after]) == {
        0: [(250, -40_000_000)], 1: [(250, -40_000_000)],
    }  # fmt: skip


def test_wrong_times_are_no_join_and_all_streams_have_one_offset():
    good = times(0, 0, 20)
    for wrong in (5, -5, 500):
        some = [(at, (0, us + wrong * 10**6, d)) for at, (_, us, d) in good[100:108]]
        packets = [p for _, p in [*good[:100], *some, *good[108:]]]
        assert find_offsets(packets)[0] == {}
    first = [times(0, 0, 6), times(1, 0.1, 5.8)]
    second = [times(0, 1, 4), times(1, 1.1, 4)]
    offsets = offsets_of(first, second, first)
    assert offsets[0] == [(150, 5_000_000), (225, 9_000_000)]
    assert [us for _, us in offsets[1]] == [5_000_000, 9_000_000]


@pytest.mark.parametrize('seconds', [4, 60])
def test_a_recording_may_lack_a_stream_that_others_have(seconds):
    both, picture = [times(0, 0, 6), times(1, 0, 6)], times(0, 0, seconds)
    for last in ([times(0, 0, 3), times(1, 0, 3)], [times(0, 0.1, 3), times(1, 0, 3)]):
        offsets = offsets_of(both, [picture], last)
        assert [us // 10**6 for _, us in offsets[0]][:1] == [6]
        assert offsets[0][-1][1] == pytest.approx((6 + seconds) * 10**6, abs=10**5)
        assert offsets[1][-1][1] == pytest.approx((6 + seconds) * 10**6, abs=10**5)


def test_sound_that_is_longer_than_its_picture_is_not_laid_over_the_next_recording():
    offsets = offsets_of([times(0, 0, 6), times(1, 0, 10)], [times(0, 0, 3), times(1, 0, 3)])
    assert [offsets[stream][-1][1] // 10**5 for stream in (0, 1)] == [100, 100]
