#!/usr/bin/env python3
"""Executes every step of the Dockerfile without a container engine, and runs a component in it.

usage: sudo .ci/image.py FOLDER [DEVICE]

It needs root, debootstrap, Debian's mirror, PyPI and 6 GB in FOLDER, which must not exist. A stage
is a folder with a Debian of its own, and steps run in it by chroot. Two things are not as in an
image: `python:3.10-slim-bookworm` is Debian from debootstrap with a copy of the Python that .venv
was made with, and the stage `beam`, which nothing else needs, is left out, as it copies from an
image. FOLDER is left for you to look into.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

CONTEXT = Path(__file__).resolve().parent.parent
TARGET = 'step'
# What the official image has beside Debian's minimum and Python, and what a Python needs.
PACKAGES = 'ca-certificates,netbase,tzdata,libbz2-1.0,libexpat1,libffi8,liblzma5,libncursesw6,'
PACKAGES += 'libreadline8,libsqlite3-0,libssl3,libuuid1,zlib1g'
PASSED_ON = re.compile(r'(PIP|UV|SSL)_|(https?|no)_proxy$', re.IGNORECASE)
CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt'
COMPONENT = """
import json, sys, yaml
from pipeline.compiler import compile_text
from pipeline.config import PipelineConfig
config = PipelineConfig.model_validate(dict(
    name='image', root='s3://bucket/image', data=dict(videos='s3://bucket/clips'), start='scratch',
    finetune='demo', targets=dict(kubeflow=dict(image='image'))))
spec = next(yaml.safe_load_all(compile_text(config, 'kubeflow')))
container = spec['deploymentSpec']['executors']['LabelSchema_executor']['container']
text = spec['root']['dag']['tasks']['LabelSchema']['inputs']['parameters']['text']
output = dict(name='1', uri=sys.argv[1] + '/schema', type=dict(schemaTitle='tfx.Schema'))
invocation = json.dumps(dict(
    inputs=dict(parameterValues=dict(text=text['runtimeValue']['constant'])),
    outputs=dict(artifacts=dict(schema=dict(artifacts=[output])),
                 outputFile=sys.argv[1] + '/output.json')))
print(json.dumps([invocation if x == '{{$}}' else x for x in container['args']]))
"""


def sh(*words: str, **settings) -> str:
    done = subprocess.run(words, capture_output=True, text=True, **settings)
    if done.returncode:
        sys.exit(f'error: {shlex.join(words)[:300]}\n{done.stdout[-2000:]}{done.stderr[-4000:]}')
    return done.stdout


class Stage:
    """A stage of the Dockerfile: a root folder, and what its steps have set."""

    def __init__(self, root: Path, variables: dict[str, str]):
        self.root, self.variables, self.folder, self.user = root, variables, '/', '0'
        self.entrypoint: list[str] = []

    def inside(self, path: str) -> Path:
        return self.root / os.path.normpath(os.path.join(self.folder, path)).lstrip('/')

    def run(self, *words: str, home: str = '/root') -> str:
        given = {k: v for k, v in os.environ.items() if PASSED_ON.search(k)}
        command = f'cd {shlex.quote(self.folder)} && exec "$@"'
        who = [f'--userspec={self.user}:{self.user}', str(self.root)]
        environment = {**given, **self.variables, 'HOME': home}
        sh('mount', '-t', 'proc', 'proc', str(self.root / 'proc'))
        try:
            return sh('chroot', *who, '/bin/sh', '-c', command, 'sh', *words, env=environment)
        finally:
            sh('umount', str(self.root / 'proc'))


class Build:
    """All stages that the target needs, built in their order."""

    def __init__(self, folder: Path, arguments: dict[str, str]):
        self.folder, self.arguments, self.stages = folder, arguments, {}

    def instructions(self):
        text = re.sub(r'^\s*#.*\n', '', (CONTEXT / 'Dockerfile').read_text(), flags=re.M)
        for line in re.sub(r'\\\n', ' ', text).splitlines():
            if line.strip():
                yield line.strip().partition(' ')[::2]

    def needed(self) -> set[str]:
        """The target and what it is built from."""
        sources, stage = {}, ''
        for word, rest in self.instructions():
            if word == 'FROM':
                source, _, stage = rest.split()
                sources[stage] = {self.filled(source, {})}
            elif word == 'COPY' and (found := re.match(r'--from=(\S+)', rest)):
                sources[stage].add(found[1])
        needed, waiting = set(), [TARGET]
        while waiting:
            needed.add(stage := waiting.pop())
            waiting += sources[stage] & set(sources)
        return needed

    def filled(self, text: str, variables: dict[str, str]) -> str:
        known = {**self.arguments, **variables}
        return re.sub(r'\$\{?(\w+)\}?', lambda found: known.get(found[1], ''), text)

    def build(self) -> Stage:
        needed, stage = self.needed(), None
        for word, rest in self.instructions():
            if word == 'FROM':
                source, _, name = rest.split()
                stage = None
                if name in needed:
                    stage = self.stages[name] = self.begin(self.filled(source, {}), name)
            elif word == 'ARG' and not self.stages:
                name, _, value = rest.partition('=')
                self.arguments.setdefault(name, value)
            elif stage:
                started = time.monotonic()
                getattr(self, word.lower())(stage, rest)
                print(f'{time.monotonic() - started:7.1f} s  {word} {rest[:80]}', flush=True)
        return self.stages[TARGET]

    def begin(self, source: str, name: str) -> Stage:
        print(f'FROM {source} AS {name}', flush=True)
        if before := self.stages.get(source):
            return Stage(before.root, dict(before.variables))  # one goes on from each, at most
        root = self.folder / name
        python, suite = re.fullmatch(r'python:([\d.]+)-slim-(\w+)', source).groups()
        base = self.folder / 'base'
        if not base.exists():
            sh('debootstrap', '--variant=minbase', f'--include={PACKAGES}', suite, str(base))
            copy_python(python, base)
            for file in ('/etc/resolv.conf', CERTIFICATES):
                shutil.copy(file, base / file.lstrip('/'))
        sh('cp', '-ax', str(base), str(root))
        return Stage(root, {'PATH': '/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin'})

    def arg(self, stage: Stage, rest: str):
        name, _, value = rest.partition('=')
        stage.variables[name] = self.arguments.get(name, value)

    def env(self, stage: Stage, rest: str):
        for word in shlex.split(rest):
            name, _, value = word.partition('=')
            stage.variables[name] = self.filled(value, stage.variables)

    def workdir(self, stage: Stage, rest: str):
        stage.folder = rest
        stage.inside('').mkdir(parents=True, exist_ok=True)

    def user(self, stage: Stage, rest: str):
        stage.user = rest

    def entrypoint(self, stage: Stage, rest: str):
        stage.entrypoint = json.loads(rest)

    def copy(self, stage: Stage, rest: str):
        *options, place = rest.split()
        source = CONTEXT
        if options[0].startswith('--from='):
            source = self.stages[options.pop(0).partition('=')[2]].root
        for name in options:
            path = source / name.lstrip('/')
            target = stage.inside(place) / (path.name if place.endswith('/') else '')
            target.parent.mkdir(parents=True, exist_ok=True)
            sh('cp', '-a' if source == CONTEXT else '-al', '-T', str(path), str(target))

    def run(self, stage: Stage, rest: str):
        stage.run('/bin/sh', '-c', rest)


def copy_python(version: str, root: Path):
    """The Python of .venv to /usr/local, where the official image has it."""
    ours = 'import sys; print("%d.%d" % sys.version_info[:2], sys.base_prefix)'
    found, prefix = sh(str(CONTEXT / '.venv/bin/python'), '-c', ours).split()
    if found != version:
        sys.exit(f'error: .venv has Python {found}, the Dockerfile {version}')
    kept = shutil.ignore_patterns('site-packages', '__pycache__', 'test', 'share')
    shutil.copytree(prefix, root / 'usr/local', symlinks=True, dirs_exist_ok=True, ignore=kept)
    sh('chroot', str(root), 'ldconfig')
    sh('chroot', str(root), '/usr/local/bin/python3', '-m', 'ensurepip')


def main():
    if len(sys.argv) not in (2, 3) or Path(sys.argv[1]).exists():
        sys.exit(__doc__)
    if os.geteuid() or not shutil.which('debootstrap'):
        sys.exit('error: this needs root and debootstrap (apt install debootstrap)')
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True)
    started = time.monotonic()
    stage = Build(folder, {'DEVICE': (sys.argv[2:] or ['cpu'])[0], 'AVMAE_COMMIT': 'check'}).build()
    print(f'built in {time.monotonic() - started:.0f} s')
    print(sh('du', '-shx', str(stage.root)).split()[0], 'in', stage.root)
    home = stage.folder
    assert stage.user.isdigit() and stage.entrypoint
    assert stage.run('id', '-u').strip() == stage.user
    assert '--node' in stage.run(*stage.entrypoint, '--help', home=home)
    out = f'{home}/out'
    arguments = json.loads(stage.run('python', '-c', COMPONENT, out, home=home))
    stage.run(*stage.entrypoint, *arguments, home=home)
    schema = stage.inside('out/schema/schema.pbtxt').read_text()
    assert 'feature' in schema and stage.inside('out/output.json').exists()
    print(f'{shlex.join(stage.entrypoint)} ran LabelSchema as user {stage.user}')


if __name__ == '__main__':
    main()
