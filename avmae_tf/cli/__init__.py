"""The `avmae` command: one file for each group of verbs, heavy imports only inside of them."""

import os
import sys

import click

import avmae_tf
from avmae_tf import console
from avmae_tf.cli.failures import DEBUG, EXIT_FAILED, explain

VERBS = {  # verb: module of this package that holds it
    'demo': 'demo',
    'clips': 'data',
    'convert': 'data',
    'inspect': 'inspect',
    'pretrain': 'train',
    'finetune': 'train',
    'evaluate': 'train',
    'export': 'train',
    'sweep': 'sweep',
    'pipeline': 'pipelines',
    'predict': 'predict',
    'embed': 'predict',
    'import-scenic': 'interop',
    'parity': 'interop',
}


class _Verbs(click.Group):
    """Imports the module of a verb when it is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module = __import__(f'avmae_tf.cli.{VERBS[name]}', fromlist=[name])
        return getattr(module, name.replace('-', '_'))


@click.group(cls=_Verbs, context_settings={'help_option_names': ['-h', '--help']})
@click.version_option(avmae_tf.__version__, prog_name='avmae')
def cli() -> None:
    """Audiovisual Masked Autoencoders: videos in, a gated and served classifier out.

    \b
    Try it:          avmae demo
    Your own data:   avmae convert --videos DIR --annotations FILE --out RECORDS
                     avmae pretrain --data RECORDS --workdir RUN
                     avmae finetune --data RECORDS --pretrained RUN/model --workdir RUN2
    All in one:      avmae pipeline run --config FILE
    """


def main() -> None:
    """Runs the command; exit codes are 0 done, 1 failed or refused, 2 bad usage or input.

    143 is a run that was to end, or lost a worker, and is to be started again.
    """
    console.quiet()
    console.quick()
    try:
        cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.message = console.escaped(error.message)
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of our output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        text, code = explain(error)
        console.say(f'error: {text}')
        sys.exit(code)
