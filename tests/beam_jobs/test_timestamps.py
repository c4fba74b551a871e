"""A timestamp that is wrong costs no more than the frame it belongs to, and is noted."""

import numpy as np
import pytest
from awkward import TS
from clock_movies import check_clip, check_sync, write_movie

from avmae_tf.config import MediaSpec
from beam_jobs.media import decode_clip

SPEC = MediaSpec(shorter_side_px=64)
TS_SECONDS = {key: value for key, value in TS.items() if key != 'filename'}
TS_SHIFT = 481 / 48_000
VIDEO_PID, AUDIO_PID = 0x100, 0x101  # as libav numbers them
CLOCK_HZ = 90_000
WRAP = 1 << 33


def move_packets(path, pid: int, numbers: range, seconds: float):
    """Add to the timestamps of some packets of one stream of a transport stream."""
    data = bytearray(path.read_bytes())
    count = 0
    for first in range(0, len(data), 188):
        starts = data[first + 1] & 0x40
        if not starts or int.from_bytes(data[first + 1 : first + 3], 'big') & 0x1FFF != pid:
            continue
        has_adaptation = data[first + 3] & 0x20
        header = first + 4 + (data[first + 4] + 1 if has_adaptation else 0)
        if count in numbers:
            for number in range((data[header + 7] >> 6).bit_count()):  # presentation, decoding
                at = header + 9 + 5 * number
                data[at : at + 5] = moved(data[at : at + 5], round(seconds * CLOCK_HZ))
        count += 1
    path.write_bytes(data)
    assert count > numbers[0]


def moved(stamp: bytes, ticks: int) -> bytes:
    """Five bytes of a 33-bit timestamp between marker bits, later by `ticks`."""
    word = int.from_bytes(stamp, 'big')
    time = (word >> 3 & 7 << 30) | (word >> 2 & 0x7FFF << 15) | (word >> 1 & 0x7FFF)
    time = (time + ticks) % WRAP
    markers = word & ~(7 << 33 | 0x7FFF << 17 | 0x7FFF << 1)
    fields = (time >> 30) << 33 | (time >> 15 & 0x7FFF) << 17 | (time & 0x7FFF) << 1
    return (markers | fields).to_bytes(5, 'big')


@pytest.fixture
def stream(tmp_path):
    path = tmp_path / 'clip.ts'
    write_movie(path, seconds=6, **TS_SECONDS)
    return path


SEGMENTS = [(None, None), (1, 5)]


@pytest.mark.parametrize(('start', 'end'), SEGMENTS)
@pytest.mark.parametrize('seconds', [0.5, 30, 5000, -1])
def test_a_frame_with_a_wild_time_is_left_out_and_the_picture_goes_on(seconds, start, end, stream):
    move_packets(stream, VIDEO_PID, range(60, 61), seconds)
    clip = decode_clip(str(stream), SPEC, start_seconds=start, end_seconds=end)
    check_clip(clip)
    check_sync(clip, shift=TS_SHIFT)
    assert clip.end_us == pytest.approx((end or 6.01) * 1e6, abs=1e4)
    assert clip.status == ('damaged',)


def test_the_first_frame_may_be_the_one_with_a_wild_time(stream):
    move_packets(stream, VIDEO_PID, range(1), 3)
    clip = decode_clip(str(stream), SPEC)
    check_sync(clip, shift=TS_SHIFT, tolerance=0.051)  # the second frame stands for it
    assert clip.status == ('damaged',)


@pytest.mark.parametrize(('start', 'end'), SEGMENTS)
@pytest.mark.parametrize('numbers', [range(8, 9), range(70, 78)], ids=['before', 'inside'])
@pytest.mark.parametrize('seconds', [0.03, 1, 30, 5000, -1])
def test_sound_with_a_wild_time_is_heard_where_it_belongs(seconds, numbers, start, end, stream):
    segment = {'start_seconds': start, 'end_seconds': end}
    intact = decode_clip(str(stream), SPEC, **segment)
    move_packets(stream, AUDIO_PID, numbers, seconds)
    clip = decode_clip(str(stream), SPEC, **segment)
    check_clip(clip)
    check_sync(clip, shift=TS_SHIFT)
    np.testing.assert_allclose(clip.waveform, intact.waveform, atol=2)  # the decoder's dither
    assert (clip.valid_samples, clip.end_us) == (intact.valid_samples, intact.end_us)
    assert clip.status == ('damaged',) or numbers == range(8, 9)  # which is before the segment


@pytest.mark.parametrize('seconds', [3, 30, 5000])
def test_the_first_sound_may_be_the_one_with_a_wild_time(seconds, stream):
    move_packets(stream, AUDIO_PID, range(1), seconds)
    clip = decode_clip(str(stream), SPEC)
    check_sync(clip)  # the picture is now what starts first
    assert clip.end_us == pytest.approx(6e6, abs=1e4)
    assert clip.status == ('damaged',)


def test_sound_that_overlaps_itself_is_damaged(tmp_path):
    """As where the rate changes in a format without timestamps: libav counts on with the first."""
    parts = [tmp_path / 'first.aac', tmp_path / 'second.aac']
    for part, rate in zip(parts, (44_100, 16_000), strict=True):
        write_movie(part, seconds=3, video=None, rate=rate)
    path = tmp_path / 'clip.aac'
    path.write_bytes(b''.join(part.read_bytes() for part in parts))
    spec = SPEC.replace(required=('audio',))
    intact, both = (decode_clip(str(file), spec) for file in (parts[0], path))
    assert (intact.status, both.status) == (('no_video',), ('no_video', 'damaged'))
    segment = decode_clip(str(path), spec, start_seconds=1, end_seconds=2)
    assert segment.status == ('no_video',)
