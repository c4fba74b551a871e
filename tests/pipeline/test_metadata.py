"""Damaged metadata is refused by name; a run reports itself, whichever is the newest."""

import contextlib
import os
import sqlite3

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from pipeline.config import PipelineConfig
from pipeline.metadata import SQLITE_FILE, check_sqlite
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
