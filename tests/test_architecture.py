"""The import rule of the house, read from the imports themselves."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A room may import itself and these; `console` and `config` are open to all.
ALLOWED = {
    'avmae_tf.console': set(),
    'avmae_tf.config': set(),
    'avmae_tf.data': set(),
    'avmae_tf.models': set(),
    'avmae_tf.losses': {'avmae_tf.models'},
    'avmae_tf.training': {'avmae_tf.data', 'avmae_tf.models', 'avmae_tf.losses'},
    'avmae_tf.interop': {
        'avmae_tf.data',
        'avmae_tf.models',
        'avmae_tf.losses',
        'avmae_tf.training',
    },
    'avmae_tf.sweeps': {'avmae_tf.api', 'avmae_tf.data', 'avmae_tf.models'},
    'avmae_tf.tpu': {'avmae_tf.data', 'avmae_tf.models', 'avmae_tf.training'},
    'beam_jobs': {'avmae_tf.data'},
    'components': {'avmae_tf.data', 'avmae_tf.training', 'beam_jobs'},
    'pipeline': {'avmae_tf.data', 'avmae_tf.training', 'beam_jobs', 'components'},
    'avmae_tf.predictor': {'avmae_tf.data', 'avmae_tf.training', 'beam_jobs'},
    'avmae_tf.api': {
        'avmae_tf.models',
        'avmae_tf.training',
        'avmae_tf.predictor',
        'beam_jobs',
        'components',
    },
}
OPEN = {'avmae_tf', 'avmae_tf.console', 'avmae_tf.config'}
LIBRARIES = {  # who may use what
    'tfx': {'components', 'pipeline'},
    'apache_beam': {'beam_jobs', 'components'},
    'av': {'beam_jobs', 'avmae_tf.data'},
    'jax': {'avmae_tf.tpu'},
}
MAX_LINES = 250
HOMES = {  # what is decided once: the file that decides it
    'hexdigest()[': 'avmae_tf/storage.py',  # how long a short hash is
    "'://'": 'avmae_tf/storage.py',  # what is an address in a bucket
    'tf.io.gfile': 'avmae_tf/storage.py',  # what knows the file system of an address
    'os.replace(': 'avmae_tf/storage.py',  # a file is written aside, then renamed
    'os.rename(': 'avmae_tf/training/publish.py',  # so is a SavedModel
}


def sources():
    for top in ('avmae_tf', 'beam_jobs', 'components', 'pipeline'):
        yield from sorted((ROOT / top).rglob('*.py'))


def module_name(path: Path) -> str:
    return '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')


def room(module: str) -> str:
    parts = module.split('.')
    return '.'.join(parts[: 2 if parts[0] == 'avmae_tf' else 1])


def imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: imports are absolute'
            if node.module == 'avmae_tf':
                yield from (f'avmae_tf.{alias.name}' for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize('path', sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_from_left_to_right(path):
    here = room(module_name(path))
    for module in imports(path):
        there = room(module)
        if there in ALLOWED and here in ALLOWED:
            legal = {here, *OPEN, *ALLOWED[here]}
            assert there in legal, f'{here} may not import {there}'
        library = module.split('.')[0]
        if library in LIBRARIES and here != 'avmae_tf.cli':
            assert here in LIBRARIES[library], f'{here} may not import {library}'


@pytest.mark.parametrize('path', sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short_and_say_what_they_are_for(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize('text', HOMES)
def test_a_rule_is_in_one_file(text):
    found = [str(path.relative_to(ROOT)) for path in sources() if text in path.read_text()]
    assert found == [HOMES[text]]


@pytest.mark.parametrize('path', sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_names_of_splits_are_spelled_once(path):
    if path == ROOT / 'avmae_tf/config/splits.py' or room(module_name(path)) == 'avmae_tf.cli':
        return
    constants = {
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
    }
    assert not constants & {'train', 'eval', 'test'}


def public_functions(node: ast.AST):
    for child in getattr(node, 'body', ()):
        if isinstance(child, ast.FunctionDef) and not child.name.startswith('_'):
            yield child
        if isinstance(child, ast.ClassDef) and not child.name.startswith('_'):
            yield from public_functions(child)


@pytest.mark.parametrize('path', sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_public_functions_have_type_hints(path):
    for function in public_functions(ast.parse(path.read_text())):
        given = function.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        bare = [a.arg for a in every if a and not a.annotation and a.arg not in ('self', 'cls')]
        assert not bare and function.returns, f'{function.name}: {bare or "what it returns"}'


def test_tests_are_not_packaged():
    assert not (ROOT / 'tests/__init__.py').exists()
