"""The Dockerfile fits the project: its versions, its files, its command, and who runs it."""

import fnmatch
import importlib.metadata
import json
import re
import runpy
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeline.engine_spec import COMMAND

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / 'Dockerfile').read_text()
LOCK = dict(line.split('==') for line in (ROOT / 'requirements.lock').read_text().split())
IGNORED = (ROOT / '.dockerignore').read_text().split('\n')


def instructions(word: str) -> list[str]:
    return re.findall(rf'^{word} (.+)', DOCKERFILE, re.MULTILINE)


def test_it_runs_steps_as_a_numeric_user():
    assert json.loads(instructions('ENTRYPOINT')[-1]) == list(COMMAND)
    assert instructions('USER')[-1].isdigit() and int(instructions('USER')[-1]) > 0
    assert DOCKERFILE.rindex('FROM ') < DOCKERFILE.rindex('USER ')  # of the stage built by default


def test_its_versions_are_those_of_the_project():
    python = (ROOT / '.python-version').read_text().strip()
    assert set(re.findall(r'python:([\d.]+)-slim', DOCKERFILE)) == {python}
    assert set(re.findall(r'lib/python([\d.]+)/', DOCKERFILE)) == {python}
    beam = re.search(r'apache/beam_python([\d.]+)_sdk:([\d.]+)', DOCKERFILE)
    assert beam.groups() == (python, LOCK['apache-beam'])


def test_it_copies_what_is_packaged_and_nothing_that_is_ignored():
    copied = [
        name
        for line in instructions('COPY')
        if not line.startswith('--from')
        for name in line.split()[:-1]
    ]
    setup = (ROOT / 'setup.py').read_text()
    packages = re.search(r'for top in \((.*)\)', setup)[1].replace("'", '').split(', ')
    assert set(packages) < set(copied)
    kept = {line[1:] for line in IGNORED if line.startswith('!')}
    assert set(copied) == kept and all((ROOT / name).exists() for name in copied)
    assert '*' in IGNORED and any(fnmatch.fnmatch('a/__pycache__', line) for line in IGNORED)


def needed(wanted: list[Requirement]) -> set[str]:
    """Names of all that these requirements need, by what is installed."""
    found, waiting = set(), [(canonicalize_name(r.name), frozenset(r.extras)) for r in wanted]
    while waiting:
        package = waiting.pop()
        if package in found:
            continue
        found.add(package)
        name, extras = package
        for requirement in map(Requirement, importlib.metadata.requires(name) or []):
            marker = requirement.marker
            if not marker or any(marker.evaluate({'extra': e}) for e in ('', *extras)):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return {name for name, _ in found}


def test_what_the_project_uses_needs_all_of_the_lock_but_the_developers_packages(monkeypatch):
    text = re.sub('#.*', '', (ROOT / 'requirements.in').read_text())
    wanted = [Requirement(line) for line in text.split('\n') if line.strip()]
    monkeypatch.setattr('setuptools.setup', lambda **settings: None)
    developers = runpy.run_path(str(ROOT / 'setup.py'))['DEVELOPERS']
    assert set(LOCK) - needed(wanted) == set(developers)


def test_other_devices_have_locks_that_fit_the_lock():
    gpu = (ROOT / 'requirements-gpu.lock').read_text().split()
    of_tensorflow = [
        f'{requirement.name}{requirement.specifier}'
        for requirement in map(Requirement, importlib.metadata.requires('tensorflow'))
        if requirement.marker and requirement.marker.evaluate({'extra': 'and-cuda'})
        and not requirement.marker.evaluate({'extra': ''})
    ]  # fmt: skip
    assert gpu == of_tensorflow  # what `tensorflow[and-cuda]` names, in its versions
    _, _, *tpu = (ROOT / 'requirements-tpu.lock').read_text().split()
    assert f'tensorflow-tpu=={LOCK["tensorflow"]}' in tpu
    assert not set(LOCK) & {line.split('==')[0] for line in (*gpu, *tpu)}


def test_an_extra_adds_what_a_gpu_needs(monkeypatch):
    found = {}
    monkeypatch.setattr('setuptools.setup', lambda **settings: found.update(settings))
    runpy.run_path(str(ROOT / 'setup.py'))
    assert found['extras_require']['gpu'] == (ROOT / 'requirements-gpu.lock').read_text().split()
