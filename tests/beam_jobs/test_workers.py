"""A file that crashes, hangs or wants too much costs its own clip, wherever it is decoded."""

import functools
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import mischief
import psutil
import pytest
from clock_movies import same, write_movie
from fuzz_media import fuzz

from avmae_tf.config import ClipLimits, MediaSpec
from beam_jobs import media, workers
from beam_jobs.convert import convert
from beam_jobs.datasets import build_manifest
from beam_jobs.media import Clip, Reason, UnusableClip, Wanted
from beam_jobs.workers import decode_clip, decode_clips

SPEC = MediaSpec(shorter_side_px=64, required=())
LIMITS = ClipLimits(seconds=60, cpu_seconds=20)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp('video') / 'clip.mp4'
    write_movie(path, seconds=6)
    return str(path)


@pytest.fixture
def worker_runs(monkeypatch):
    """Lets workers run something else than the decoder."""
    return lambda decode: monkeypatch.setattr(
        workers, '_next_clip', functools.partial(mischief.next_clip_by, decode)
    )


@pytest.mark.parametrize(
    ('decode', 'limits', 'reason', 'detail'),
    [
        (mischief.crash, {}, Reason.CRASHED, 'Aborted'),
        (mischief.exit_quietly, {}, Reason.CRASHED, 'exit code 3'),
        (mischief.hang, {'seconds': 0.5}, Reason.TIMED_OUT, 'within 0.5 s'),
        (mischief.spin, {'cpu_seconds': 0.5}, Reason.TIMED_OUT, '0.5 s of CPU time'),
        (mischief.take, {}, Reason.OUT_OF_MEMORY, 'more than 1024 MB'),
    ],
)
def test_whatever_ends_a_worker_is_a_reason_and_the_next_clip_is_decoded(
    decode, limits, reason, detail, worker_runs, video, capfd
):
    worker_runs(decode)
    with pytest.raises(UnusableClip, match=detail) as caught:
        decode_clip(video, SPEC, LIMITS.replace(**limits))
    assert caught.value.reason is reason and caught.value.detail.startswith(f'{video}: ')
    worker_runs(media.decode_wanted)
    assert isinstance(decode_clip(video, SPEC, LIMITS), Clip)
    assert capfd.readouterr() == ('', '')


def test_only_the_segment_that_ends_its_worker_is_lost(worker_runs, video):
    worker_runs(mischief.crash_at_two_seconds)
    wanted = [Wanted(start, start + 1) for start in range(5)]
    outcomes = list(decode_clips(video, wanted, SPEC, LIMITS))
    whole = list(media.decode_wanted(video, wanted, SPEC))
    assert outcomes[2].reason is Reason.CRASHED
    assert all(same(outcomes[i], whole[i]) for i in (0, 1, 3, 4))


def test_a_clip_whose_worker_was_killed_by_others_is_not_lost(worker_runs, video):
    worker_runs(mischief.killed_once)
    assert isinstance(decode_clip(video, SPEC, LIMITS), Clip)
    assert os.path.exists(f'{video}.killed')


def test_a_file_with_many_clips_ends_few_workers(worker_runs, video):
    worker_runs(mischief.hang)
    wanted = [Wanted(start, start + 1) for start in range(100)]
    before = time.monotonic()
    outcomes = list(decode_clips(video, wanted, SPEC, LIMITS.replace(seconds=0.2)))
    assert [outcome.reason for outcome in outcomes] == [Reason.TIMED_OUT] * 100
    assert time.monotonic() - before < 30


def test_a_worker_that_was_ended_between_clips_is_replaced(worker_runs, video):
    worker_runs(mischief.pid)
    first, second = decode_clips(video, [Wanted()] * 2, SPEC, LIMITS)
    assert first == second != os.getpid()
    os.kill(first, signal.SIGKILL)
    time.sleep(0.5)
    (third,) = decode_clips(video, [Wanted()], SPEC, LIMITS)
    assert third not in (first, os.getpid())


def test_a_relative_path_is_one_of_today_also_for_a_worker_that_began_elsewhere(video, monkeypatch):
    whole = decode_clip(video, SPEC)  # by a worker that is there from now on
    monkeypatch.chdir(Path(video).parent)
    assert same(decode_clip(Path(video).name, SPEC), whole)


def test_an_address_that_is_none_is_unreadable_to_any_worker(worker_runs, video):
    path = 'http://example.org/clip.mp4'
    (outcome,) = decode_clips(path, [Wanted()], SPEC, LIMITS)
    assert outcome.reason is Reason.UNREADABLE
    assert outcome.detail == f'{path}: must be a path of this machine, gs:// or s3://'
    assert same(decode_clip(video, SPEC, LIMITS), decode_clip(video, SPEC))


def test_a_reader_that_stops_early_leaves_no_clip_for_the_next(video):
    clips = decode_clips(video, [Wanted(0, 1), Wanted(2, 3)], SPEC, LIMITS)
    next(clips)
    clips.close()
    (clip,) = decode_clips(video, [Wanted(4, 5)], SPEC, LIMITS)
    assert clip.start_us == 4_000_000


def test_workers_hold_neither_tensorflow_nor_beam_nor_the_program(worker_runs, video):
    worker_runs(mischief.modules)
    (modules,) = decode_clips(video, [Wanted()], SPEC, LIMITS)
    assert modules & {'tensorflow', 'apache_beam', 'pytest'} == set()
    assert modules >= {'av', 'cv2'}


def test_a_file_whose_read_blocks_is_set_aside_and_the_job_goes_on(worker_runs, clips, tmp_path):
    worker_runs(mischief.hang_at_log)
    good = next((clips.parent / 'train').glob('*.mp4'))
    for name in ('good.mp4', 'log.mp4'):
        (tmp_path / name).write_bytes(good.read_bytes())
    out, limits = str(tmp_path / 'out'), LIMITS.replace(seconds=3)
    summary = convert(build_manifest(str(tmp_path)), out, SPEC, limits=limits)
    assert summary.clips == 1 and summary.reasons == {'timed_out': 1}


def test_limits_do_not_change_the_job(clips):
    from beam_jobs.shards import plan_job

    manifest = build_manifest(str(clips.parent), str(clips))
    jobs = [plan_job(manifest, SPEC, limits=limits).job for limits in (LIMITS, ClipLimits())]
    assert jobs[0].fingerprint == jobs[1].fingerprint and jobs[0].limits != jobs[1].limits


def test_workers_end_with_their_parent(video, tmp_path):
    code = (
        'import sys; sys.path.append(sys.argv[1]); import mischief, functools\n'
        'from beam_jobs import workers; from avmae_tf.config import MediaSpec\n'
        'workers._next_clip = functools.partial(mischief.next_clip_by, mischief.spin)\n'
        'workers.decode_clip(sys.argv[2], MediaSpec())\n'
    )
    script = tmp_path / 'script.py'  # without a guard: a worker that imports it would not start
    script.write_text(code)
    job = subprocess.Popen(
        [sys.executable, script, os.path.dirname(__file__), video], cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )  # fmt: skip
    family = []
    while len(family) < 3 or family[-1].cpu_times().user < 0.2:  # tracker, server, worker
        time.sleep(0.05)
        family = psutil.Process(job.pid).children(recursive=True)
        assert job.poll() is None
    job.kill()
    job.wait()
    assert psutil.wait_procs(family, timeout=10)[1] == []


def gif(width: int, height: int, num_frames: int) -> bytes:
    """An animation whose every frame draws one pixel of a large canvas."""
    frame = (
        b'\x21\xf9\x04\x08\x0a\x00\x00\x00\x2c' + struct.pack('<HHHH', 0, 0, 1, 1)
        + b'\x00\x02\x02\x44\x01\x00'
    )  # fmt: skip
    head = b'GIF89a' + struct.pack('<HH', width, height) + b'\x80\x00\x00\0\0\0\xff\xff\xff'
    return head + frame * num_frames + b'\x3b'


def test_a_small_file_with_a_large_canvas_is_set_aside(tmp_path):
    path = tmp_path / 'canvas.gif'
    path.write_bytes(gif(8192, 4608, 30))
    assert len(path.read_bytes()) < 800
    with pytest.raises(UnusableClip) as caught:
        decode_clip(str(path), SPEC, LIMITS.replace(memory_mb=256))
    assert caught.value.reason is Reason.OUT_OF_MEMORY


def test_a_header_that_claims_more_frames_than_bytes_is_unreadable(video, tmp_path):
    data, path = Path(video).read_bytes(), tmp_path / 'claims.mp4'
    at = data.index(b'stts') + 12  # of the picture: so many samples of one duration
    path.write_bytes(data[:at] + struct.pack('>I', 10**6) + data[at + 4 :])
    with pytest.raises(UnusableClip, match='claims 1000000 frames in') as caught:
        decode_clip(str(path), SPEC, LIMITS)
    assert caught.value.reason is Reason.UNREADABLE


@pytest.mark.slow
def test_mutated_files_are_clips_or_reasons_within_the_limits(tmp_path):
    counts = fuzz(tmp_path, 60)
    assert counts['clip'] > 10 and counts['unreadable'] > 5


@pytest.mark.slow
def test_half_a_minute_of_4k_takes_less_than_300_mb(worker_runs, tmp_path, monkeypatch):
    path = tmp_path / 'clip.mp4'
    write_movie(path, seconds=30, fps=4, size=(3840, 2160), video_options={'g': '60'})
    monkeypatch.setattr(workers, '_idle', [])  # what other clips took is not counted
    worker_runs(mischief.peak)
    ((clip, peak_mb),) = decode_clips(str(path), [Wanted()], SPEC, ClipLimits())
    assert len(clip.frames) == 240 and peak_mb < 300
