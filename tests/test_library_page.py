"""The page about the library is true: its blocks run in order, from clips to predictions."""

import re
from pathlib import Path

import pytest

from avmae_tf import config

PAGE = Path(__file__).parent.parent / 'docs/library.md'


@pytest.mark.slow
@pytest.mark.usefixtures('one_device')
def test_the_blocks_of_the_page_run_in_order(
    tmp_path, monkeypatch, capsys, pretrain_config, finetune_config
):
    monkeypatch.chdir(tmp_path)
    backbone = pretrain_config.backbone.replace(num_layers=2)
    tiny = {'backbone': backbone}
    monkeypatch.setitem(config.PRETRAIN_RECIPES, 'mini', pretrain_config.replace(**tiny))
    monkeypatch.setitem(config.FINETUNE_RECIPES, 'mini', finetune_config.replace(**tiny))
    names = {}
    for block in re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.DOTALL):
        exec(compile(block, str(PAGE), 'exec'), names)
    assert names['summary'].splits == {'train': 64, 'eval': 32}
    assert 0 <= names['metrics']['top1'] <= 1 and names['left_out'] == 0
    assert len(names['answer']['scores']) == 3
    assert 'nowhere: no such folder; give the folder of a model' in capsys.readouterr().out
