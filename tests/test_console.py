"""What reaches the terminal is shown, not obeyed."""

import ast
from pathlib import Path

import pytest
from rich.table import Table

from avmae_tf import console

ROOT = Path(__file__).parent.parent
HOSTILE = 'a\x1b]0;owned\x07\x9b31m\rb\nc\u202egnp.mp4\u2028\x7f\udcff'
SHOWN = r'a\x1b]0;owned\x07\x9b31m\rb\nc\u202egnp.mp4\u2028\x7f\udcff'


def test_every_line_and_cell_is_escaped(capsys):
    console.echo(HOSTILE, 'second')
    console.say(HOSTILE)
    table = Table(HOSTILE, 'names')
    table.add_row('[bold]x[/bold]', HOSTILE)
    console.screen(width=200).print(console.safe(table))
    out, err = capsys.readouterr()
    assert out.splitlines()[:2] == [SHOWN, 'second'] and err == SHOWN + '\n'
    assert out.count(SHOWN) == 3 and '[bold]x[/bold]' in out
    assert not {'\x1b', '\x07', '\x9b', '\r', '\u202e'} & {*out, *err}


@pytest.mark.parametrize(
    'name', ['één', 'نمی‌خواهم', '日本　語', '👩‍🚀', 'a\\x1b', 'naïve file.mp4']
)
def test_names_of_people_stay_as_they_are(name):
    assert console.escaped(name) == name


def test_only_the_console_writes_to_the_terminal():
    for top in ('avmae_tf', 'beam_jobs', 'components', 'pipeline'):
        for path in (ROOT / top).rglob('*.py'):
            if path.name == 'console.py':
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    called = ast.unparse(node.func)
                    assert called not in ('print', 'click.echo', 'click.secho', 'Console'), path
