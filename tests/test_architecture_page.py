"""The architecture page is true: its files are there, each once, and its picture shows them."""

import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / 'docs'
PAGE = (DOCS / 'architecture.md').read_text()
DRAWING = runpy.run_path(str(DOCS / 'draw_architecture.py'))
STAGES = ['clip', 'record', 'batch', 'tokens', 'loss', 'checkpoint', 'MBT', 'SavedModel', 'answer']


def test_the_walk_goes_from_clip_to_answer():
    stages = DRAWING['stages'](PAGE)
    assert list(stages) == STAGES and all(stages.values())


@pytest.mark.parametrize('file', sorted(set(re.findall(r'`([^`]+\.(?:py|svg))`', PAGE))))
def test_every_file_that_the_page_names_is_there(file):
    assert (DOCS.parent / file.removeprefix('python ')).is_file()


def test_a_file_is_listed_once_or_says_why_it_comes_again():
    seen = set()
    for file, text in re.findall(r'^\d+\. `([^`]+)` (.+)', PAGE, re.M):
        assert (file in seen) == text.startswith('again: '), file
        seen.add(file)


def test_the_picture_is_drawn_from_the_page():
    assert (DOCS / 'architecture.svg').read_text() == DRAWING['draw'](PAGE)
