"""A run that is told to end saves its last step, says so by its exit code, and loses nothing."""

import contextlib
import http.server
import os
import signal
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.cli.failures import explain
from avmae_tf.config import RunSpec
from avmae_tf.training import interruption, loop, pieces
from avmae_tf.training.checkpoints import RunFolder, load_model
from avmae_tf.training.interruption import EXIT_AGAIN, Interrupted, Watch, watched
from avmae_tf.training.pieces import Pieces, Stopped
from avmae_tf.training.saving import checkpoints_in
from avmae_tf.training.tasks import PretrainTask

pytestmark = pytest.mark.usefixtures('unwatched')
RUN = RunSpec(steps_per_loop=4, checkpoint_every_loops=100, test_every_loops=2)


@pytest.fixture(scope='module')
def task(pretrain_config, dataset):
    """One block of one modality: what is learned is no part of the claim."""
    return PretrainTask(
        pretrain_config.replace(
            modalities=('audio',),
            encoder='shared',
            backbone=pretrain_config.backbone.replace(num_layers=1),
            decoder=pretrain_config.decoder.replace(num_layers=1),
        ),
        dataset,
    )


def weights(folder: RunFolder) -> list[np.ndarray]:
    return [v.numpy() for v in load_model(folder.model).variables]


def in_pieces_of_one(monkeypatch, after_piece):
    """Steps come one by one; `after_piece(watch, step)` is called after each."""
    monkeypatch.setattr(pieces, 'PIECE_SECONDS', 0.0)
    look = Pieces._look

    def looked(self, seconds):
        after_piece(self.watch, int(self.step.numpy()))
        return look(self, seconds)

    monkeypatch.setattr(Pieces, '_look', looked)


@pytest.mark.slow
def test_sigterm_saves_the_step_it_came_in_and_no_step_is_lost(
    task, records, tmp_path, one_device, monkeypatch
):
    alone, ended = (RunFolder(str(tmp_path / name)) for name in ('alone', 'ended'))
    loop.train(task, records, alone, run=RUN)

    def tell(watch, step):
        if step == 6:
            os.kill(os.getpid(), signal.SIGTERM)
            while not watch.reason:
                time.sleep(0.01)

    with monkeypatch.context() as patched:
        in_pieces_of_one(patched, tell)
        with pytest.raises(Interrupted) as stopped:
            loop.train(task, records, ended, run=RUN)
    text, code = explain(stopped.value)
    assert text == 'pretrain: SIGTERM; saved at step 6 of 12, start it again to go on'
    assert code == EXIT_AGAIN == 143
    assert checkpoints_in(ended.checkpoints)[-1].endswith('ckpt-6')
    seen, said = [], []
    loop.train(
        task, records, ended,
        run=RUN, say=said.append, progress=lambda step, *_, **__: seen.append(step),
    )  # fmt: skip
    assert seen == [8, 12]  # looks are where they would have been
    assert 'pretrain: resumed from step 6 of 12' in said
    for a, b in zip(weights(alone), weights(ended), strict=True):
        np.testing.assert_array_equal(a, b)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # ours is gone


@pytest.mark.slow
def test_a_run_is_ended_in_a_test_too_and_announced_maintenance_is_a_checkpoint(
    task, records, tmp_path, one_device, monkeypatch
):
    folder, steps = RunFolder(str(tmp_path)), []

    def tell(watch, step):
        steps.append(step)
        if step == 6:
            watch.wants_checkpoint = True
        if steps.count(12) == 2:  # the last step, then a piece of the test
            watch.notice('the machine is taken back')

    with monkeypatch.context() as patched:
        in_pieces_of_one(patched, tell)
        with pytest.raises(Interrupted, match='the machine is taken back; saved at step 12 of 12'):
            loop.train(task, records, folder, run=RUN)
    assert steps == [*range(1, 9), 8, 8, *range(9, 13), 12]
    names = [os.path.basename(prefix) for prefix in checkpoints_in(folder.checkpoints)]
    assert names == ['ckpt-8', 'ckpt-12']  # not that of the first look, which is two before
    assert loop.train(task, records, folder, run=RUN)['loss'] > 0  # the test alone was missing


@pytest.mark.slow
def test_a_lost_worker_is_one_line_and_an_exit_code(task, records, tmp_path, one_device):
    def lose(*_, **__):
        raise tf.errors.UnavailableError(
            None, None, '{{function_node f}} worker 1 is unreachable\nmore'
        )

    with pytest.raises(Interrupted) as lost:
        loop.train(task, records, RunFolder(str(tmp_path)), run=RUN, progress=lose)
    text, code = explain(lost.value)
    assert text.startswith('pretrain: a worker or a connection is lost (worker 1 is unreachable);')
    assert code == EXIT_AGAIN


@pytest.mark.parametrize(('seconds', 'lengths'), [(0.0, [1, 4, 16, 29]), (10.0, [1, 1, 1])])
def test_pieces_grow_until_they_last_some_seconds(seconds, lengths):
    done, watch = [], Watch()
    cut = Pieces(tf.Variable(0), watch, lambda values: [*values[:2], seconds]).cut(
        lambda _, number: done.append(int(number))
    )
    cut(None, sum(lengths))
    assert done == lengths


def test_a_test_in_pieces_keeps_what_it_has_found():
    def loop(_, number, state, reduce_fn):
        return reduce_fn(state, int(number))

    cut = Pieces(tf.Variable(0), Watch(), list).cut(loop)
    found = cut(None, 7, state=[], reduce_fn=lambda state, number: [*state, number])
    assert sum(found) == 7 and len(found) > 1


def test_what_any_worker_has_noticed_holds_for_all():
    """The other of two has been told to end, and this one to save."""
    watch, asked = Watch(), []

    def agree(values):
        asked.append(values[:2])
        return [0.5, 0.5, 0.0]

    together = Pieces(tf.Variable(0), watch, agree)
    watch.wants_checkpoint = True
    with pytest.raises(Stopped):
        together.cut(lambda *_: None)(None, 3)
    assert asked == [[0.0, 1.0]]
    assert together.asked_to_save() and not together.asked_to_save()


def test_a_process_that_does_not_end_itself_is_ended(monkeypatch):
    said = []
    monkeypatch.setattr(interruption, 'end', said.append)
    watch = Watch(standstill_minutes=0.001)
    watch.look()
    assert not said  # nothing has begun
    watch.alive()
    time.sleep(0.1)
    watch.look()
    assert said.pop().startswith('no step in 0.001 minutes: another worker')
    monkeypatch.setattr(interruption, 'GRACE_SECONDS', 0.0)
    watch = Watch()
    watch.notice('SIGTERM')
    watch.look()
    assert said == ['SIGTERM, and no step has ended in 0 seconds since']


@contextlib.contextmanager
def metadata_server(answers: dict[str, str]):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.headers['Metadata-Flavor'] == 'Google'
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers[self.path.rpartition('/')[2]].encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'127.0.0.1:{server.server_port}'
    server.shutdown()


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_notices_of_google_cloud_are_heard(monkeypatch):
    monkeypatch.setattr(interruption, 'POLL_SECONDS', 0.02)
    answers = {'preempted': 'FALSE', 'maintenance-event': 'NONE'}
    with metadata_server(answers) as address:
        monkeypatch.setenv('GCE_METADATA_HOST', address)
        with watched() as watch:
            time.sleep(0.1)
            assert not watch.reason and not watch.wants_checkpoint
            answers['maintenance-event'] = 'TERMINATE_ON_HOST_MAINTENANCE'
            until(lambda: watch.wants_checkpoint)
            watch.wants_checkpoint = False  # it was saved; the notice stands, and is not new
            time.sleep(0.1)
            assert not watch.reason and not watch.wants_checkpoint
            answers['preempted'] = 'TRUE'
            until(lambda: watch.reason == 'the machine is taken back')
