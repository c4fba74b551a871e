"""The `avmae` command: one file for each group of verbs, heavy imports only inside of them."""

import os
import sys

import click

import avmae_tf
from avmae_tf import console

EXIT_FAILED, EXIT_BAD_INPUT = 1, 2
BAD_PATHS = (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
DEBUG = 'AVMAE_DEBUG'  # environment variable: show tracebacks

VERBS = {  # verb: module of this package that holds it
    'demo': 'demo',
    'clips': 'data',
    'convert': 'data',
    'inspect': 'inspect',
    'pretrain': 'train',
    'finetune': 'train',
    'evaluate': 'train',
    'export': 'train',
    'pipeline': 'pipelines',
    'predict': 'predict',
    'embed': 'predict',
    'import-scenic': 'interop',
    'parity': 'interop',
}


class _Verbs(click.Group):
    """Imports the module of a verb when it is asked for."""

    def list_commands(self, context):
        return list(VERBS)

    def get_command(self, context, name):
        if name not in VERBS:
            return None
        module = __import__(f'avmae_tf.cli.{VERBS[name]}', fromlist=[name])
        return getattr(module, name.replace('-', '_'))


class Failed(Exception):
    """A run failed or a gate refused: its message is the last line, the exit code is 1."""


@click.group(cls=_Verbs, context_settings={'help_option_names': ['-h', '--help']})
@click.version_option(avmae_tf.__version__, prog_name='avmae')
def cli():
    """Audiovisual Masked Autoencoders: videos in, a gated and served classifier out.

    \b
    Try it:          avmae demo
    Your own data:   avmae convert --videos DIR --annotations FILE --out RECORDS
                     avmae pretrain --data RECORDS --workdir RUN
                     avmae finetune --data RECORDS --pretrained RUN/model --workdir RUN2
    All in one:      avmae pipeline run --config FILE
    """


def describe(error: ValueError) -> str:
    """One line: the message, or the first field that a configuration got wrong."""
    if hasattr(error, 'errors'):  # pydantic's
        first = error.errors()[0]
        field = '.'.join(map(str, first['loc']))
        message = first['msg'].removeprefix('Value error, ')
        return f'{field}: {message}' if field else message
    return str(error)


def main():
    """Runs the command; exit codes are 0 done, 1 failed or refused, 2 bad usage or input."""
    console.quiet()
    try:
        cli.main(standalone_mode=False)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        if isinstance(error, ValueError):
            text, code = describe(error), EXIT_BAD_INPUT
        elif isinstance(error, BAD_PATHS):
            text, code = f'{error.filename}: {error.strerror}; give another path', EXIT_BAD_INPUT
        elif isinstance(error, Failed):
            text, code = str(error), EXIT_FAILED
        else:
            first = str(error).strip().partition('\n')[0]
            text, code = f'{type(error).__name__}: {first}', EXIT_FAILED
        print(f'error: {text}', file=sys.stderr)
        sys.exit(code)
