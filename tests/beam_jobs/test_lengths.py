"""A file is as long as it is from its start to its end, whatever its header says or does not."""

import pytest
from awkward import PCM
from clock_movies import check_sync, write_movie

from avmae_tf.config import MediaSpec
from beam_jobs.media import _is_cut_out as is_cut_out
from beam_jobs.media import decode_clip

SPEC = MediaSpec(shorter_side_px=64)
CUT_OUT = pytest.mark.parametrize(
    ('length', 'start', 'end', 'cut_out'),
    [(45, 30, 40, False), (10, 30, 40, True), (11, 1, 11, False), (10, 1, 11, True)],
)


@CUT_OUT
def test_without_a_duration_the_packets_say_whether_a_file_is_cut_out(
    length, start, end, cut_out, tmp_path
):
    path = tmp_path / 'clip.mkv'
    write_movie(path, seconds=length, fps=2, size=(32, 32), audio=None, options={'live': '1'})
    assert is_cut_out(str(path), start, end) == cut_out


@CUT_OUT
def test_time_before_the_start_does_not_count_in_matroska(length, start, end, cut_out, tmp_path):
    path = tmp_path / 'clip.mkv'
    late = {'options': {'output_ts_offset': '20'}}
    write_movie(path, seconds=length, fps=2, size=(32, 32), audio=None, **late)
    assert is_cut_out(str(path), start, end) == cut_out


def test_a_file_without_times_is_not_taken_for_a_cut_out_one(tmp_path):
    path = tmp_path / 'clip.h264'
    write_movie(path, seconds=2, video='libx264', audio=None)
    assert not is_cut_out(str(path), 30, 40)


def test_a_whole_matroska_file_that_starts_late_is_not_partial(tmp_path):
    path = tmp_path / 'clip.mkv'
    write_movie(path, **PCM, options={'output_ts_offset': '7'})
    clip = decode_clip(str(path), SPEC)
    check_sync(clip)
    assert clip.end_us == 2_000_000
    assert clip.status == ()
