"""Where the local runner keeps ML Metadata: a file of SQLite, or a server of MySQL or MariaDB."""

import contextlib
import os
import sqlite3
import urllib.parse

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from avmae_tf.storage import is_remote
from pipeline.config import PipelineConfig

SQLITE_FILE = 'metadata.sqlite'
PASSWORD = 'AVMAE_METADATA_PASSWORD'  # environment variable, for an address without one
MYSQL, POSTGRES = ('mysql', 'mariadb'), ('postgres', 'postgresql')
MYSQL_PORT = 3306
FORM = 'mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE, or mysql://USER@/DATABASE?socket=PATH'


def connection(config: PipelineConfig) -> metadata_store_pb2.ConnectionConfig:
    """How ML Metadata of this pipeline is reached.

    Raises:
        ValueError: `metadata` is no such place, or its file is damaged.
    """
    where = config.metadata
    if where is None:
        if is_remote(config.root):
            raise ValueError(
                f'metadata: is missing, and ML Metadata cannot be in a bucket ({config.root}); '
                f'give a file of this machine, or {FORM}'
            )
        where = os.path.join(config.root, SQLITE_FILE)
    if not is_remote(where):
        check_sqlite(where, config.work_dir)
        return metadata.sqlite_metadata_connection_config(where)
    url = urllib.parse.urlsplit(where)
    if url.scheme in POSTGRES:
        raise ValueError(
            'metadata: PostgreSQL is not supported: ml-metadata fails there on every text with a '
            'backslash, and settings have them; use MySQL, MariaDB or a file'
        )
    if url.scheme not in MYSQL:
        raise ValueError(f'metadata: must be a file, or {FORM}, got {url.scheme}://')
    return _mysql(url)


def _mysql(url: urllib.parse.SplitResult) -> metadata_store_pb2.ConnectionConfig:
    database = url.path.strip('/')
    socket = dict(urllib.parse.parse_qsl(url.query)).get('socket', '')
    if not (database and url.username and (url.hostname or socket)):
        raise ValueError(f'metadata: must be {FORM}')
    config = metadata_store_pb2.ConnectionConfig()
    config.mysql.user = urllib.parse.unquote(url.username)
    config.mysql.password = (
        urllib.parse.unquote(url.password) if url.password else os.environ.get(PASSWORD, '')
    )
    config.mysql.database = database
    if socket:
        config.mysql.socket = socket
    else:
        config.mysql.host = url.hostname or ''
        config.mysql.port = url.port or MYSQL_PORT
    return config


def check_sqlite(path: str, work_dir: str) -> None:
    """Raises ValueError where the file of the metadata is damaged."""
    if not os.path.exists(path):
        return
    try:
        with contextlib.closing(sqlite3.connect(path)) as store:
            (found,) = store.execute('PRAGMA quick_check(1)').fetchone()
    except sqlite3.OperationalError as error:  # locked, or no file
        raise ValueError(f'{path}: cannot be opened ({error}); see who else uses it') from None
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != 'ok':
        raise ValueError(
            f'{path}: is damaged ({" ".join(found.split())}); put a copy of it back, or delete it: '
            f'every component then runs again, but conversion and training go on in {work_dir}'
        )
