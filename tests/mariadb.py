"""MariaDB on this machine, from Debian's packages but not installed: nobody needs to be root.

The packages are fetched once, into `.mariadb` of this tree.
"""

import getpass
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

CACHE = Path(__file__).parent.parent / '.mariadb'
SERVER = 'mariadb-server-core'
START_SECONDS = 60
TABLES = ('mysql_system_tables.sql', 'mysql_system_tables_data.sql')


class Unavailable(Exception):
    """This system has no such packages, or does not reach them."""


def _run(*command, **options) -> str:
    command = [*map(str, command)]
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise Unavailable(f'{" ".join(command[:6])}: {done.stderr.strip()[-500:]}')
    return done.stdout


class _Apt:
    """Debian's packages, by the lists of the system, or by its own where those do not do."""

    def __init__(self, folder: Path):
        self.folder, self.options = folder, []

    def __call__(self, command: str, *arguments) -> str:
        options = ('APT::Sandbox::User=', f'Dir::Cache={self.folder}', *self.options)
        return _run(command, *(x for o in options for x in ('-o', o)), *arguments, cwd=self.folder)

    def unpack(self, *packages: str):
        try:
            self('apt-get', 'download', '-qq', *packages)
        except Unavailable:
            if self.options:
                raise
            (self.folder / 'lists/partial').mkdir(parents=True)
            self.options = [f'Dir::State::Lists={self.folder}/lists']
            self('apt-get', 'update', '-qq')
            self('apt-get', 'download', '-qq', *packages)
        for archive in self.folder.glob('*.deb'):
            _run('dpkg', '-x', archive, self.folder)
            archive.unlink()


def _missing(server: Path, folder: Path) -> set[str]:
    """Libraries that the server wants and nobody has."""
    said = _run('ldd', server, env=_environment(folder))
    return set(re.findall(r'(\S+) => not found', said))


def _environment(folder: Path) -> dict[str, str]:
    libraries = {str(path.parent) for path in folder.rglob('*.so*')}
    return {**os.environ, 'LD_LIBRARY_PATH': ':'.join(sorted(libraries))}


def fetch() -> Path:
    """The folder of the unpacked server and of what this system lacks of its libraries."""
    if (CACHE / 'ready').exists():
        return CACHE
    if not shutil.which('apt-get'):
        raise Unavailable('no apt-get')
    shutil.rmtree(CACHE, ignore_errors=True)
    CACHE.mkdir()
    apt = _Apt(CACHE)
    apt.unpack(SERVER)
    server = CACHE / 'usr/sbin/mariadbd'
    if _missing(server, CACHE):
        said = apt('apt-cache', 'depends', '--important', SERVER)
        apt.unpack(*re.findall(r'Depends: (lib\S+)', said))
    if missing := _missing(server, CACHE):
        raise Unavailable(f'{server}: no {", ".join(sorted(missing))}')
    (CACHE / 'ready').touch()
    return CACHE


class MariaDB:
    """A server with a user and no database, as long as the `with` block lasts."""

    USER, PASSWORD = 'avmae', 'p#s/"\\zebra é'

    def __init__(self, folder: Path, port: int):
        self.folder, self.port = folder, port
        self.socket = folder / 's'  # a name of a socket is short
        self.process = None

    def __enter__(self):
        files = fetch()
        data = self.folder / 'data'
        data.mkdir()
        share = files / 'usr/share/mysql'
        command = [
            files / 'usr/sbin/mariadbd',
            '--no-defaults',
            f'--user={getpass.getuser()}',
            f'--datadir={data}',
            f'--lc-messages-dir={share}',
            f'--character-sets-dir={share}/charsets',
            f'--plugin-dir={self.folder}',
            '--innodb-buffer-pool-size=32M',
            '--innodb-log-file-size=8M',
            '--innodb-fast-shutdown=0',
        ]
        script = ''.join((share / name).read_text() for name in TABLES)
        options = {'env': _environment(files), 'cwd': self.folder}
        _run(
            *command,
            '--bootstrap',
            input=f'create database mysql;\nuse mysql;\n{script}',
            **options,
        )
        quoted = self.PASSWORD.replace('\\', '\\\\').replace('"', '\\"')
        users = ''.join(
            f'create user "{self.USER}"@"{host}" identified by "{quoted}";\n'
            f'grant all on *.* to "{self.USER}"@"{host}";\n'
            for host in ('localhost', '127.0.0.1')
        )
        (self.folder / 'users.sql').write_text(users)
        self.log = open(self.folder / 'server.log', 'w')
        self.process = subprocess.Popen(
            [
                *map(str, command),
                *(f'--socket={self.socket}', '--bind-address=127.0.0.1', f'--port={self.port}'),
                *(f'--pid-file={self.folder}/pid', f'--init-file={self.folder}/users.sql'),
                '--skip-name-resolve',
            ],
            stdout=self.log,
            stderr=self.log,
            **options,
        )
        deadline = time.monotonic() + START_SECONDS
        while 'ready for connections' not in (self.folder / 'server.log').read_text():
            assert self.process.poll() is None, (self.folder / 'server.log').read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        self.log.close()
