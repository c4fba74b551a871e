"""Where the local runner keeps ML Metadata: a file of SQLite, or a server of MySQL or MariaDB."""

import contextlib
import os
import random
import re
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator

import ml_metadata as mlmd
from google.protobuf import text_encoding
from ml_metadata import errors
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from avmae_tf.console import Failed
from avmae_tf.data.locks import held
from avmae_tf.storage import is_remote
from pipeline.config import PipelineConfig

SQLITE_FILE = 'metadata.sqlite'
PASSWORD = 'AVMAE_METADATA_PASSWORD'  # environment variable, for an address without one
MYSQL, POSTGRES = ('mysql', 'mariadb'), ('postgres', 'postgresql')
MYSQL_PORT = 3306
ATTEMPTS = 60  # of making tables that others make at the same time
AT_ONCE = re.compile('concurrent connection|already exists|Duplicate entry|[Dd]eadlock')
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
        os.makedirs(os.path.dirname(os.path.abspath(where)), exist_ok=True)
        check_sqlite(where, config.work_dir)
        return metadata.sqlite_metadata_connection_config(where)
    scheme = where.partition(':')[0]
    if scheme in POSTGRES:
        raise ValueError(
            'metadata: PostgreSQL is not supported: ml-metadata fails there on every text with a '
            'backslash, and settings have them; use MySQL, MariaDB or a file'
        )
    if scheme not in MYSQL:
        raise ValueError(f'metadata: must be a file, or {FORM}, got {scheme}:...')
    return _mysql(where)


def make_tables(store: metadata_store_pb2.ConnectionConfig) -> None:
    """Finds the tables on a server, or makes them, maybe while others do so.

    Raises:
        Failed: the server cannot be reached, or does not let us.
    """
    if not store.HasField('mysql'):
        return
    for attempt in range(ATTEMPTS):
        try:
            mlmd.MetadataStore(store)
            return
        except (RuntimeError, errors.StatusError) as error:
            what = str(error).partition('\n')[0]
            if not AT_ONCE.search(what) or attempt == ATTEMPTS - 1:
                raise Failed(
                    f'metadata: {store.mysql.database!r} cannot be opened at '
                    f'{store.mysql.socket or store.mysql.host} ({what}); see that the server runs, '
                    f'and that {store.mysql.user!r} may make tables there and, of MySQL 8, '
                    f'logs in by mysql_native_password; {PASSWORD} is its password where '
                    'the address has none'
                ) from None
        time.sleep(random.uniform(0.5, 1.5))


@contextlib.contextmanager
def alone(config: PipelineConfig) -> Iterator[None]:
    """Keeps other runs out of the root, and of a file of metadata elsewhere: a server takes many.

    Raises:
        Held: another process has it.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(held(config.root))
        if config.metadata is not None:
            stack.enter_context(held(config.metadata, beside=True))
        yield


def secrets(store: metadata_store_pb2.ConnectionConfig) -> set[str]:
    """The password, also as a protocol buffer shows it: what no log may hold."""
    password = store.mysql.password.encode()
    shown = (text_encoding.CEscape(password, as_utf8=as_utf8) for as_utf8 in (True, False))
    return {store.mysql.password, *shown} - {''}


def _mysql(where: str) -> metadata_store_pb2.ConnectionConfig:
    config = metadata_store_pb2.ConnectionConfig()
    try:
        url = urllib.parse.urlsplit(where)
        options = dict(urllib.parse.parse_qsl(url.query, strict_parsing=bool(url.query)))
        socket = options.pop('socket', '')
        if options or url.fragment or bool(url.hostname) == bool(socket):
            raise ValueError
        config.mysql.user = urllib.parse.unquote(url.username or '')
        config.mysql.password = (
            urllib.parse.unquote(url.password) if url.password else os.environ.get(PASSWORD, '')
        )
        config.mysql.database = urllib.parse.unquote(url.path).strip('/')
        if not (config.mysql.user and config.mysql.database):
            raise ValueError
        if socket:
            config.mysql.socket = socket
        else:
            config.mysql.host, config.mysql.port = url.hostname or '', url.port or MYSQL_PORT
    except ValueError:  # its message may show part of a password
        raise ValueError(
            f'metadata: must be {FORM}; in a password write %23 for #, %2F for /, %3F for ?, %40 '
            f'for @, %25 for %, or give it in {PASSWORD}'
        ) from None
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
