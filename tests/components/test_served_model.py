"""A candidate is compared with the served model, if that is another one of the same kind."""

import shutil
from pathlib import Path

import pytest
from tfx.types.standard_artifacts import Model

from components.served_model import component
from components.served_model.component import Baseline, served_before


@pytest.fixture
def serving(exported, tmp_path, monkeypatch) -> Path:
    """Three versions with the description of `exported`, each another model, and a candidate."""
    monkeypatch.setattr(component, 'identity', lambda folder: (Path(folder) / 'id').read_text())
    for name in ('serving/1', 'serving/2', 'serving/10', 'candidate'):
        folder = tmp_path / name
        (folder / 'assets.extra').mkdir(parents=True)
        shutil.copy(f'{exported[1]}/assets.extra/model.json', folder / 'assets.extra')
        for file in ('saved_model.pb', 'variables/variables.index'):
            (folder / file).parent.mkdir(exist_ok=True)
            shutil.copy(f'{exported[1]}/{file}', folder / file)
        (folder / 'id').write_text(name)
    return tmp_path / 'serving'


def before(serving: Path) -> str:
    found = served_before(str(serving.parent / 'candidate'), str(serving))
    return found and Path(found).name


def test_the_newest_version_is_compared_with(serving):
    assert before(serving) == '10'


def test_the_candidate_itself_is_not_however_often_it_was_exported(serving):
    (serving / '10/id').write_text('candidate')
    assert before(serving) == '2'


def test_a_model_of_other_classes_is_passed_over(serving):
    path = serving / '10/assets.extra/model.json'
    path.write_text(path.read_text().replace('"cross+bell"', '"bark"'))
    assert before(serving) == '2'


def test_where_nothing_is_served_there_is_none(serving):
    shutil.rmtree(serving)
    assert before(serving) == ''


def test_an_earlier_export_of_the_candidate_is_the_candidate(exported, tmp_path):
    shutil.copytree(exported[1], tmp_path / 'serving/1')
    assert served_before(exported[1], str(tmp_path / 'serving')) == ''


def test_the_baseline_is_a_copy_or_empty(exported, tmp_path):
    model = Model()
    model.uri = str(tmp_path / 'baseline')
    work = Baseline.EXECUTOR_SPEC.executor_class._FUNCTION
    work(version='', model=model)
    assert not (tmp_path / 'baseline').exists()
    work(version=exported[1], model=model)
    assert (tmp_path / 'baseline/Format-Serving/saved_model.pb').is_file()
