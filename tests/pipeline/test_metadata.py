"""Damaged metadata is refused by name; a run reports itself, whichever is the newest."""

import contextlib
import logging
import os
import re
import sqlite3
import subprocess
import sys

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.proto.orchestration import pipeline_pb2

from pipeline.config import PipelineConfig
from pipeline.local_runner import logged
from pipeline.metadata import SQLITE_FILE, alone, check_sqlite, connection, secrets
from pipeline.nodes import NODE_CONTEXT, RUN_CONTEXT, read_nodes


def metadata_path(config: PipelineConfig) -> str:
    """Its file of SQLite."""
    return os.path.join(config.root, SQLITE_FILE)


@pytest.fixture
def config(tmp_path) -> PipelineConfig:
    """With metadata of some pages."""
    config = PipelineConfig(
        root=str(tmp_path), data={'videos': 'clips'}, start='scratch', finetune='demo'
    )
    with contextlib.closing(sqlite3.connect(metadata_path(config))) as store:
        store.execute('create table a (b)')
        store.executemany('insert into a values (?)', [('x' * 1000,)] * 50)
        store.commit()
    return config


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda content: b'garbage' * 1000, 'is damaged .file is not a database.'),
        (lambda content: content[: len(content) // 2], 'is damaged .*malformed'),
        (lambda content: content[:5000] + b'\xff' * 9000 + content[14000:], 'is damaged '),
    ],
)
def test_damaged_metadata_is_named_with_what_to_do(config, damage, message):
    check_sqlite(metadata_path(config), 'work')
    with open(metadata_path(config), 'rb') as f:
        content = f.read()
    with open(metadata_path(config), 'wb') as f:
        f.write(damage(content))
    with pytest.raises(ValueError, match=f'^{metadata_path(config)}: {message}.*or delete it'):
        check_sqlite(metadata_path(config), 'work')


def test_metadata_in_use_is_not_called_damaged(config, monkeypatch):
    monkeypatch.setattr('sqlite3.connect', lambda path: connect(path, timeout=0.1))
    with contextlib.closing(connect(metadata_path(config))) as other:
        other.execute('begin exclusive')
        with pytest.raises(ValueError, match=r'cannot be opened \(database is locked\)'):
            check_sqlite(metadata_path(config), 'work')


connect = sqlite3.connect


def test_no_metadata_yet_is_fine(config):
    with open(metadata_path(config), 'wb'):
        pass
    check_sqlite(metadata_path(config), 'work')


def configured(tmp_path, where, **settings) -> PipelineConfig:
    return PipelineConfig(
        **{'root': str(tmp_path), 'metadata': where, **settings},
        data={'videos': 'clips'},
        start='scratch',
        finetune='demo',
    )


@pytest.mark.parametrize(
    ('where', 'message'),
    [
        ('postgresql://me:s3cret@host/db', 'PostgreSQL is not supported: .* every text with a'),
        ('postgres://me@host/db', 'PostgreSQL is not supported'),
        ('redis://me:s3cret@host/db', 'must be a file, or mysql://.*, got redis:'),
        ('gs://bucket/metadata.sqlite', 'must be a file, or mysql://.*, got gs:'),
        ('mysql://me:s3cret@host', 'must be mysql://'),
        ('mysql://me:s3cret@host/', 'must be mysql://'),
        ('mysql://host/db', 'must be mysql://'),
        ('mysql://me:s3cret@/db', 'must be mysql://'),
        ('mysql://me:s3cret@host/db?socket=/a/b', 'must be mysql://'),
        ('mysql://me:s3cret@host/db?charset=utf8', 'must be mysql://'),
        ('mysql://me:s3cret@host:port/db', 'must be mysql://'),
        ('mysql://me:s3cret#/@host/db', 'must be .* write %23 for #.* or give it in AVMAE_META'),
        ('mysql://me:[s3cret@host/db', 'must be mysql://'),
    ],
)
def test_metadata_elsewhere_is_refused_with_the_form_and_without_the_password(
    tmp_path, where, message
):
    with pytest.raises(ValueError, match=f'^metadata: {message}') as refused:
        connection(configured(tmp_path, where))
    assert 's3cret' not in str(refused.value)


def test_a_root_in_a_bucket_needs_metadata_elsewhere(tmp_path):
    with pytest.raises(ValueError, match=r'metadata: is missing, and .* cannot be in a bucket'):
        connection(configured(tmp_path, None, root='s3://bucket/root'))
    file = str(tmp_path / 'new/m.sqlite')
    assert connection(configured(tmp_path, file, root='s3://bucket/root')).sqlite.filename_uri


@pytest.mark.parametrize(
    ('where', 'expected'),
    [
        ('mysql://me:a%23b@host:33/db', ('me', 'a#b', 'host', 33, '', 'db')),
        ('mariadb://me@host/db', ('me', 'of the environment', 'host', 3306, '', 'db')),
        ('mysql://me@/db?socket=/a/b.sock', ('me', 'of the environment', '', 0, '/a/b.sock', 'db')),
    ],
)
def test_an_address_of_a_server_is_taken_apart(tmp_path, monkeypatch, where, expected):
    monkeypatch.setenv('AVMAE_METADATA_PASSWORD', 'of the environment')
    got = connection(configured(tmp_path, where)).mysql
    assert (got.user, got.password, got.host, got.port, got.socket, got.database) == expected


def test_two_runs_on_one_file_of_metadata_are_kept_apart(tmp_path):
    one, other = (configured(tmp_path / n, str(tmp_path / 'm.sqlite')) for n in ('a', 'b'))
    code = (
        'import sys; from avmae_tf.data.locks import held\nwith held(sys.argv[1], beside=True): 0'
    )
    with alone(one):
        done = subprocess.run([sys.executable, '-c', code, other.metadata], capture_output=True)
    assert b'm.sqlite: in use by process' in done.stderr


@pytest.mark.parametrize('password', ['s3cret', 'a"b\\c', "é'\n"])
def test_a_log_tells_how_metadata_is_reached_without_the_password(tmp_path, password):
    store = metadata_store_pb2.ConnectionConfig()
    store.mysql.user, store.mysql.password = 'me', password
    deployment = pipeline_pb2.IntermediateDeploymentConfig()
    deployment.metadata_connection_config.Pack(store)
    with logged(str(tmp_path / 'log'), lambda *_, **__: None, secrets(store)):
        logging.info('Using deployment config:\n %s', deployment)
        logging.info('Using connection config:\n %s', store)
    log = (tmp_path / 'log').read_text()
    assert 'user: "me"' in log and log.count('***') >= 2
    assert password not in log
    assert not re.search('password: "[^*]', log)


def test_a_run_reports_its_own_outcome_and_no_node_fails_in_silence(tmp_path):
    connection = metadata.sqlite_metadata_connection_config(str(tmp_path / 'm.sqlite'))
    store = mlmd.MetadataStore(connection)
    proto = metadata_store_pb2
    kinds = {
        n: store.put_context_type(proto.ContextType(name=n)) for n in (RUN_CONTEXT, NODE_CONTEXT)
    }
    kind = store.put_execution_type(proto.ExecutionType(name='work'))
    states = proto.Execution
    for run, node, state in (
        ('first', 'p.Pretrainer', states.COMPLETE),
        ('second', 'p.Finetuner', states.CACHED),
        ('failed', 'p.Baseline', states.FAILED),  # a resolver's failure does not stop TFX's runner
    ):
        contexts = [
            proto.Context(type_id=kinds[t], name=n)
            for t, n in ((RUN_CONTEXT, run), (NODE_CONTEXT, node))
        ]
        execution = proto.Execution(type_id=kind, last_known_state=state)
        store.put_execution(execution, [], contexts)
    assert [node.name for node in read_nodes(connection, 'first')] == ['Pretrainer']
    assert [node.name for node in read_nodes(connection, 'second')] == ['Finetuner']
    with pytest.raises(RuntimeError, match='Baseline failed'):
        read_nodes(connection, 'failed')
    with pytest.raises(ValueError, match="no run 'third' is recorded"):
        read_nodes(connection, 'third')
