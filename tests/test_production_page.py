"""The page about production is true: file and commands, its picture, the texts it explains."""

import ast
import re
import runpy
from pathlib import Path

import pytest
import yaml

from pipeline import metadata
from pipeline.compiler import compile_remote, compile_text
from pipeline.config import PipelineConfig, load_config
from pipeline.targets import KUBEFLOW, TARGETS, VERTEX, KubeflowTarget, VertexTarget

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / 'docs/production.md').read_text()
DRAWING = runpy.run_path(str(ROOT / 'docs/draw_pipeline.py'))


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> PipelineConfig:
    path = tmp_path_factory.mktemp('page') / 'pipeline.yaml'
    path.write_text(DRAWING['example'](PAGE))
    return load_config(str(path))


@pytest.mark.parametrize('target', TARGETS)
def test_its_file_compiles_for_every_target(config, target):
    assert compile_text(config, target)


def test_its_file_says_where_the_local_runner_keeps_its_metadata(config):
    assert metadata.connection(config).mysql.host == 'db.example'


def test_its_file_shows_every_setting_of_an_engine(config):
    shown = yaml.safe_load(DRAWING['example'](PAGE))['targets']
    assert set(shown[VERTEX]) == set(VertexTarget.model_fields)
    assert set(shown[KUBEFLOW]) == set(KubeflowTarget.model_fields)


def test_its_picture_is_of_its_file(config):
    spec = compile_remote(config, VERTEX)['pipelineSpec']
    assert DRAWING['draw'](spec) == (ROOT / 'docs/production.svg').read_text()


def literals() -> str:
    """All texts in the code, f-strings with a gap where a value goes."""
    found = []
    for top in ('avmae_tf', 'beam_jobs', 'components', 'pipeline'):
        for path in (ROOT / top).rglob('*.py'):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    parts = [getattr(part, 'value', '') for part in node.values]
                    found.append(''.join(p if isinstance(p, str) else '\0' for p in parts))
    return '\n'.join(found)


def test_the_errors_it_explains_are_said_by_the_code():
    ours = PAGE.split('What we say:')[1].split('What others say:')[0]
    texts = [
        text for row in re.findall(r'^\| (`.*?) \|', ours, re.M) for text in row.split('`')[1::2]
    ]
    code = literals()
    assert len(texts) > 10
    assert [text for text in texts if text not in code] == []


def test_the_commands_it_names_are_there():
    from avmae_tf.cli.pipelines import pipeline

    blocks = ' '.join(re.findall(r'```sh\n(.*?)```', PAGE, re.DOTALL))
    used = set(re.findall(r'avmae pipeline (\w+)', blocks))
    assert used and used <= set(pipeline.commands)
    targets = re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.M)
    assert set(re.findall(r'make (image[a-z-]*)', PAGE)) <= set(' '.join(targets).split())
