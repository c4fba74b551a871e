"""The same records whatever runs the job, and however often it is killed."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf

from avmae_tf.config import MediaSpec
from avmae_tf.data.dataset import load_dataset
from avmae_tf.data.records import KEY
from beam_jobs.convert import convert
from beam_jobs.datasets import build_manifest
from beam_jobs.runners import local_pipeline, pipeline_maker
from beam_jobs.shards import REPORTS, WORK

MEDIA = MediaSpec(shorter_side_px=32)
ROOT = Path(__file__).parents[2]


def shards(out) -> dict[str, list[bytes]]:
    """Records by shard."""
    return {
        str(path.relative_to(out)): [x.numpy() for x in tf.data.TFRecordDataset(str(path))]
        for path in sorted(Path(out).glob('Split-*/*'))
    }


def test_options_go_to_beam_and_its_last_word_counts():
    def options(pipeline):
        return pipeline.options.get_all_options(drop_default=True)

    assert options(local_pipeline())['direct_running_mode'] == 'multi_threading'
    ours = pipeline_maker(None, ['--direct_num_workers=7'])()
    assert options(ours)['direct_num_workers'] == 7
    assert options(ours)['direct_running_mode'] == 'multi_threading'
    theirs = pipeline_maker('FlinkRunner', ['--flink_master=host:8081'])()
    assert options(theirs).items() >= {'runner': 'FlinkRunner', 'flink_master': 'host:8081'}.items()


def test_an_option_that_beam_does_not_know_is_an_error():
    with pytest.raises(ValueError, match='--direct_workers=2: no option of Apache Beam'):
        pipeline_maker(None, ['--direct_num_workers=2', '--direct_workers=2'])


def test_another_runner_makes_the_same_shards(clips, records, tmp_path):
    make = pipeline_maker('DirectRunner', ['--direct_running_mode=in_memory'])
    manifest = build_manifest(str(clips.parent), str(clips))
    convert(manifest, str(tmp_path / 'out'), MEDIA, make_pipeline=make)
    assert shards(tmp_path / 'out') == shards(records)
    assert load_dataset(str(tmp_path / 'out')) == load_dataset(records)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(('localhost', 0))
        return listening.getsockname()[1]


def workers_of(pool: int) -> list[int]:
    """Processes that a pool of workers has started."""
    children = Path(f'/proc/{pool}/task').glob('*/children')  # by the thread that started them
    return [int(pid) for path in children for pid in path.read_text().split()]


@contextlib.contextmanager
def service(*command, ready: str):
    """A server that is up and running; it is ended with all that it started."""
    environment = {
        **os.environ,
        'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}',
        'PYTHONPATH': str(ROOT),
    }
    server = subprocess.Popen(
        [sys.executable, '-m', *command], env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not answers(int(ready)):
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        yield server.pid
    finally:
        for pid in (*workers_of(server.pid), server.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        server.wait()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(('localhost', port), 1):
        return True
    return False


@pytest.mark.slow
def test_a_portable_runner_with_a_killed_worker_fails_by_name_and_goes_on(clips, records, tmp_path):
    """Beam's own job service and pool of workers, which runs each in a process of its own."""
    jobs, workers, out = free_port(), free_port(), tmp_path / 'out'
    with (
        service('beam_jobs.portable', f'--port={jobs}', ready=str(jobs)),
        service(
            'apache_beam.runners.worker.worker_pool_main', f'--service_port={workers}',
            ready=str(workers),
        ) as pool,
    ):  # fmt: skip
        make = pipeline_maker(
            'PortableRunner',
            [
                f'--job_endpoint=localhost:{jobs}', '--environment_type=EXTERNAL',
                f'--environment_config=localhost:{workers}',
            ],
        )  # fmt: skip
        manifest = build_manifest(str(clips.parent), str(clips))
        killed = []

        def kill(done: int, total: int) -> None:
            if not killed and 0 < done < total:
                killed.extend(workers_of(pool))
                os.kill(killed[0], signal.SIGKILL)

        with pytest.raises(RuntimeError, match='WorkerLostError: a worker process ended'):
            convert(manifest, str(out), MEDIA, make_pipeline=make, progress=kill)
        done = {path: path.stat().st_mtime_ns for path in out.glob('Split-*/*')}
        assert killed and 0 < len(done) < len(shards(records))
        convert(manifest, str(out), MEDIA, make_pipeline=make)
        assert {path: path.stat().st_mtime_ns for path in done} == done
    assert shards(out) == shards(records)
    assert load_dataset(str(out)) == load_dataset(records)


@pytest.mark.slow
def test_a_job_killed_five_times_converts_every_clip_once(clips, tmp_path):
    whole, out, num_shards = tmp_path / 'whole', tmp_path / 'out', 24
    convert(build_manifest(str(clips.parent), str(clips)), str(whole), MEDIA, num_shards=num_shards)
    command = [
        *(sys.executable, '-c', 'from avmae_tf.cli import main; main()', 'convert'),
        *('--videos', clips.parent, '--annotations', clips, '--out', out, '--side', '32'),
        *('--shards', str(num_shards)),
    ]
    generator, done = random.Random(0), 0
    for _ in range(5):
        left = {*(out / WORK).glob('.clips-*')}  # by those killed before
        goal = done + generator.randrange(1, 5)
        job = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        while len([*(out / REPORTS).glob('*.json')]) < goal:
            assert job.poll() is None
            time.sleep(0.001)
        while job.poll() is None and not {*(out / WORK).glob('.clips-*')} - left:
            time.sleep(0.001)
        time.sleep(generator.uniform(0, 0.01))
        os.killpg(job.pid, signal.SIGKILL)
        assert job.wait() == -signal.SIGKILL
        done = len([*(out / REPORTS).glob('*.json')])
    assert 5 <= done < len(shards(whole))
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert shards(out) == shards(whole)
    keys = [
        tf.train.Example.FromString(record).features.feature[KEY].bytes_list.value[0]
        for found in shards(out).values()
        for record in found
    ]
    assert len(keys) == len(set(keys)) == 64
    assert sorted(os.listdir(out)) == sorted(os.listdir(whole))
    assert load_dataset(str(out)) == load_dataset(str(whole))
