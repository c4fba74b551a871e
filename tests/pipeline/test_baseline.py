"""A candidate is compared with the last blessed model that is another one."""

import shutil
from pathlib import Path

import pytest
from pipeline.baseline import CANDIDATE, LatestOtherBlessedModel
from tfx.types.standard_artifacts import Model, ModelBlessing

from pipeline import baseline


def model(number: int, folder: Path) -> Model:
    artifact = Model()
    artifact.id, artifact.uri = number, str(folder)
    return artifact


def blessing(number: int, of: Model, blessed: int = 1) -> ModelBlessing:
    artifact = ModelBlessing()
    artifact.id = number
    artifact.set_int_custom_property('current_model_id', of.id)
    artifact.set_int_custom_property('blessed', blessed)
    return artifact


def resolved(models, blessings, candidate) -> dict[str, list]:
    return LatestOtherBlessedModel().resolve_artifacts(
        None, {'model': [*models], 'model_blessing': blessings, CANDIDATE: [candidate]}
    )


@pytest.fixture
def others(exported, monkeypatch, tmp_path):
    """Three classifiers with the description of `exported`, each another one."""
    monkeypatch.setattr(baseline, 'identity', lambda folder: folder)
    models = [model(i + 1, tmp_path / str(i)) for i in range(3)]
    for artifact in models:
        folder = Path(artifact.uri) / 'Format-Serving/assets.extra'
        folder.mkdir(parents=True)
        shutil.copy(f'{exported[1]}/assets.extra/model.json', folder)
    return models


@pytest.mark.parametrize(
    ('blessed', 'candidate', 'expected'),
    [
        ((1, 1, 0), 3, [2]),
        ((1, 1, 1), 3, [2]),
        ((1, 0, 0), 3, [1]),
        ((0, 0, 1), 3, []),
        ((0, 1, 0), 1, [2]),
    ],
)
def test_the_baseline_is_the_last_blessed_model_that_is_not_the_candidate(
    others, blessed, candidate, expected
):
    blessings = [blessing(9 + i, m, blessed[i]) for i, m in enumerate(others)]
    found = resolved(others, blessings, others[candidate - 1])
    assert found.keys() == {'model', 'model_blessing', CANDIDATE}  # what TFX looks up
    assert [artifact.id for artifact in found['model']] == expected


def test_a_model_of_other_classes_is_passed_over(others):
    path = Path(others[1].uri) / 'Format-Serving/assets.extra/model.json'
    path.write_text(path.read_text().replace('"cross+bell"', '"bark"'))
    found = resolved(others, [blessing(8, others[0]), blessing(9, others[1])], others[2])
    assert [artifact.id for artifact in found['model']] == [1]


def test_an_earlier_export_of_the_candidate_is_the_candidate(exported, tmp_path):
    models = [model(i, tmp_path / str(i)) for i in (1, 2)]
    for artifact in models:
        shutil.copytree(exported[1], Path(artifact.uri) / 'Format-Serving')
    assert resolved(models, [blessing(9, models[0])], models[1])['model'] == []
