"""ML Metadata on a real MariaDB: by TCP and by its socket, for several pipelines at once."""

import os
import re
import socket
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
from mariadb import MariaDB, Unavailable

from avmae_tf.console import Failed
from pipeline import metadata
from pipeline.config import PipelineConfig

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parent / 'cheap_nodes.py'


def free_port() -> int:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    try:
        with MariaDB(tmp_path_factory.mktemp('db'), free_port()) as server:
            yield server
    except Unavailable as error:
        pytest.skip(f'no MariaDB: {error}')


def start(folder, where, name, *runs, **environment) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, SCRIPT, folder / name, where, name, *runs],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_two_pipelines_at_once_on_one_fresh_database_end_and_find_their_own_cache(server, tmp_path):
    quoted = urllib.parse.quote(server.PASSWORD, safe='')
    by_tcp = f'mysql://{server.USER}:{quoted}@127.0.0.1:{server.port}/fresh'
    by_socket = f'mariadb://{server.USER}@/fresh?socket={server.socket}'
    first = start(tmp_path, by_tcp, 'first', '1', '2')
    second = start(tmp_path, by_socket, 'second', '1b', **{metadata.PASSWORD: server.PASSWORD})
    for process, name, runs in (first, 'first', '12'), (second, 'second', ['1b']):
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err[-3000:]
        assert sorted(out.splitlines()) == sorted(
            f'{name} {run} {node} {"cached" if run == "2" and node != "Value" else "run"}'
            for run in runs
            for node in ('Value', 'LabelSchema', 'Baseline')
        )
        log = (tmp_path / name / 'pipeline.log').read_text()
        assert re.search(r'mysql \{', log) and server.USER in log  # it is told how it is reached,
        for part in (
            server.PASSWORD,
            quoted,
            'zebra',
            metadata.text_encoding.CEscape(server.PASSWORD.encode(), as_utf8=False),
        ):
            assert part not in log + out + err  # but not the password


def test_a_server_that_refuses_is_told_in_one_line_without_the_password(server, tmp_path):
    wrong = f'mysql://{server.USER}:s3cret@127.0.0.1:{server.port}/fresh'
    nobody = f'mysql://{server.USER}:s3cret@127.0.0.1:{free_port()}/fresh'
    for where in wrong, nobody:
        config = PipelineConfig(
            root=str(tmp_path),
            metadata=where,
            data={'videos': 'clips'},
            start='scratch',
            finetune='demo',
        )
        with pytest.raises(Failed, match=r"^metadata: 'fresh' cannot be opened at 127") as failed:
            metadata.make_tables(metadata.connection(config))
        assert 's3cret' not in str(failed.value) and '\n' not in str(failed.value)
