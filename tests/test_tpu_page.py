"""The page about TPUs is true: its tables are made of its rows, and name every recipe."""

import sys
from pathlib import Path

import pytest

from avmae_tf.config import FINETUNE_RECIPES, PRETRAIN_RECIPES
from avmae_tf.tpu.chips import CHIPS

DOCS = Path(__file__).parent.parent / 'docs'


@pytest.fixture(scope='module')
def table():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        import tpu_table

        yield tpu_table
    sys.modules.pop('tpu_table'), sys.modules.pop('tpu_rows')


def test_the_tables_are_made_of_the_rows(table):
    text = table.PAGE.read_text()
    assert table.page(text, table.read()) == text


def test_every_recipe_has_a_row_and_every_version_a_column(table):
    header, _, *lines = table.overview(table.read())
    assert all(f' {version} ' in header for version in CHIPS)
    for task, known in (('pretrain', PRETRAIN_RECIPES), ('finetune', FINETUNE_RECIPES)):
        for name in known:
            assert sum(f'`{task}/{name}`' in line for line in lines) == 1, name


def test_a_row_comes_back_as_it_was_written(table, tmp_path, monkeypatch):
    import tpu_rows

    monkeypatch.setattr(tpu_rows, 'ROWS', tmp_path / 'rows.csv')
    row = tpu_rows.Row(
        recipe='finetune/demo', precision='float32', rematerialise=False, version='v4', code='1+',
        outcome='too large', peak_gib=40.5, step='train', topology='v4:2x2x1', clips=8,
    )  # fmt: skip
    tpu_rows.write([row])
    assert tpu_rows.read() == [row]
    _, _, *lines = table.details([row])
    assert ['8: too large' in line for line in lines] == ['float32 |  |' in line for line in lines]
    assert sum('not run' in line for line in lines) == 3
    assert any('none fits' in x for x in table.overview([row]))
