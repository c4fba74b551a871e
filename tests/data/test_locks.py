"""A folder that one process works in is refused to a second, by the name of the first."""

import os
import signal
import subprocess
import sys

import pytest

from avmae_tf.console import Failed
from avmae_tf.data.locks import Held, held, holds

HOLD = """
import sys, time
from avmae_tf.data.locks import held
with held(sys.argv[1], beside=sys.argv[2] == 'beside'):
    print('held', flush=True)
    time.sleep(60)
"""


class Holder:
    """A process that holds a folder until it is killed."""

    def __init__(self, folder, where='inside'):
        command = [sys.executable, '-c', HOLD, str(folder), where]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == 'held\n'

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.mark.parametrize('where', ['inside', 'beside'])
def test_a_held_folder_is_refused_by_name_and_a_dead_holder_frees_it(tmp_path, where):
    folder = tmp_path / 'runs' / 'a'
    holder = Holder(folder, where)
    try:
        with pytest.raises(Held) as refused, held(str(folder), beside=where == 'beside'):
            pass
    finally:
        holder.kill()
    for part in (str(folder), f'process {holder.process.pid} on ', ' since 20', '-c', 'delete '):
        assert part in str(refused.value)
    assert isinstance(refused.value, Failed)  # exit code 1
    with held(str(folder), beside=where == 'beside'):
        pass
    assert not [*tmp_path.rglob('*lock*')]


def test_whoever_may_wait_gets_it_when_it_is_free(tmp_path):
    holder = Holder(tmp_path)
    with pytest.raises(Held), held(str(tmp_path), seconds=0.2):
        pass
    holder.kill()
    with held(str(tmp_path), seconds=5):
        assert (tmp_path / '.lock.json').exists()


def test_one_process_may_hold_a_folder_twice(tmp_path):
    with held(str(tmp_path)):
        with held(f'{tmp_path}/../{tmp_path.name}'):
            pass
        assert (tmp_path / '.lock.json').exists()
    assert os.listdir(tmp_path) == []


def test_a_refusal_leaves_no_folder_and_a_file_in_the_way_is_named(tmp_path):
    with pytest.raises(KeyError), held(f'{tmp_path}/new/folder'):
        raise KeyError
    assert os.listdir(tmp_path) == []
    (tmp_path / 'a').write_text('mine')
    with pytest.raises(ValueError, match='a: must be a folder to write to'), held(f'{tmp_path}/a'):
        pass


def test_a_function_holds_the_folder_that_it_is_given(tmp_path):
    @holds('out')
    def work(number, out):
        return number, sorted(os.listdir(out))

    assert work(3, out=str(tmp_path)) == (3, ['.lock', '.lock.json'])
