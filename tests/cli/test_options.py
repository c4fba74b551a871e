"""Messages, help and docs name only options, verbs and settings that there are."""

import ast
import re
from pathlib import Path

import click
import pytest

from avmae_tf.cli import cli
from avmae_tf.config import FinetuneConfig, PretrainConfig
from pipeline.config import PipelineConfig

ROOT = Path(__file__).parents[2]
SOURCES = [
    *(path for top in ('avmae_tf', 'beam_jobs', 'components', 'pipeline', 'benchmarks')
      for path in sorted((ROOT / top).rglob('*.py'))),
    *sorted(ROOT.glob('docs/**/*.md')), ROOT / 'README.md',
]  # fmt: skip
OPTION = re.compile(r'(?<![\w-])--[a-z][\w-]*')  # those of Beam and TensorFlow have a `_`
VERB = re.compile(r'(?:`|^[\s$]*|: )avmae ([a-z][a-z-]*)(?: (?=run\b)(run))?', re.MULTILINE)
SET = re.compile(r'--set ([a-z_]+(?:\.[a-z_]+)*)=')
SETTING = re.compile(r'(?<![\w./])((?:data|start|finetune|gate|run)(?:\.[a-z][a-z_0-9]*)+)')
FILE_SUFFIXES = ('.py', '.json', '.md', '.sh', '.yaml', '.csv')
OTHER_PROGRAMS = re.compile(
    r'\b(saved_model_cli|tensorboard|python|docker|pip|uv|curl|git|ruff|tensorflow_model_server|'
    r'gcloud|kubectl|helm|rclone|aws|tb-gcp-uploader)\b'
)


def commands(group, name: str):
    """(words, command) of every verb."""
    context = click.Context(group)
    for verb in group.list_commands(context):
        command = group.get_command(context, verb)
        yield f'{name} {verb}', command
        if isinstance(command, click.Group):
            yield from commands(command, f'{name} {verb}')


COMMANDS = dict(commands(cli, 'avmae'))
OPTIONS = {
    option
    for command in (*COMMANDS.values(), cli)
    for parameter in command.params
    for option in (*parameter.opts, *parameter.secondary_opts)
} | {'--help', '--region'}  # the latter one of Beam, of a runner that needs it
OPTIONS |= {'--always', '--dirty', '--abbrev', '--logdir'}  # of git, of TensorBoard
OPTIONS |= {'--node', '--run', '--hours', '--notify'}  # of the entry point of containers
OPTIONS |= {'--type', '--payload', '--project', '--location'}  # of the launcher of CustomJobs
OPTIONS |= {'--quick', '--clips', '--step'}  # of the TPU table


def strings(path: Path):
    """The texts in a Python file; what is formatted into one is left blank."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            parts.update(map(id, node.values))
            yield ''.join(getattr(part, 'value', ' ') if isinstance(part, ast.Constant) else ' '
                          for part in node.values)  # fmt: skip
        elif isinstance(getattr(node, 'value', None), str) and id(node) not in parts:
            yield node.value


def lines(path: Path):
    """Lines that may name something of ours; what follows `--` goes to Beam."""
    whole = '\n'.join(strings(path)) if path.suffix == '.py' else path.read_text()
    for line in whole.replace('\\\n', ' ').splitlines():
        yield OTHER_PROGRAMS.split(re.split(r'\s--\s', line)[0])[0]


def has_field(config, path: str) -> bool:
    """Whether a.b.c is a field of a field of settings, whatever kinds of settings it may be."""
    kinds = [config]
    for name in path.split('.'):
        kinds = [
            kind
            for config in kinds
            if name in getattr(config, 'model_fields', {})
            for annotation in [config.model_fields[name].annotation]
            for kind in (annotation, *getattr(annotation, '__args__', ()))
        ]
    return bool(kinds)


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_named_is_there(path):
    for line in lines(path):
        for option in OPTION.findall(line):
            assert option in OPTIONS or '_' in option, f'no option {option} in: {line}'
        for words in VERB.findall(line):
            name = ' '.join(filter(None, ('avmae', *words)))
            assert name in COMMANDS, f'no verb {name!r} in: {line}'
        for setting in SET.findall(line):
            known = setting == 'field' or any(
                has_field(config, setting)
                for config in (FinetuneConfig, PretrainConfig, PipelineConfig)
            )
            assert known, f'no setting {setting!r} in: {line}'
        for setting in SETTING.findall(line):
            known = setting.endswith(FILE_SUFFIXES) or has_field(PipelineConfig, setting)
            assert known, f'no setting {setting!r} of a pipeline in: {line}'


@pytest.mark.parametrize(
    'line',
    [
        'use --sides 64',
        'run `avmae train` first',
        'records have clips with several labels; --set los=sigmoid',
        'set finetune.lose to sigmoid',
        'avmae pretrain --data RECORDS --steps 3 -- --direct_num_workers=2',
    ],
)
def test_what_is_not_there_is_found(line, tmp_path):
    path = tmp_path / 'page.md'
    path.write_text(line)
    with pytest.raises(AssertionError, match=r'no (option|verb|setting)'):
        test_what_is_named_is_there(path)
