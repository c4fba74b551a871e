"""Descriptions of older versions become those of today; those of newer ones are refused."""

import json
import re

import pytest

from avmae_tf.config import MediaSpec, Spec, migrations
from avmae_tf.config.descriptions import Description
from avmae_tf.data.dataset import Dataset
from avmae_tf.storage import read_settings
from avmae_tf.training.checkpoints import ModelDescription, RunFolder, RunState, TrainedDescription
from avmae_tf.training.origin import Origin
from beam_jobs.jobs import JobDescription
from beam_jobs.manifests import ManifestDescription
from beam_jobs.shards import ShardReport
from beam_jobs.summary import Counts
from components.outcome.component import Outcome


def descriptions(pretrain_config, finetune_config) -> list[Description]:
    media = MediaSpec()
    return [
        ModelDescription(pretrain=pretrain_config, media=media),
        ModelDescription(finetune=finetune_config, media=media, heads={'label': ('a', 'b')}),
        RunState(pretrain=pretrain_config, dataset='d', learning_version=1, scalars={'loss': 1.5}),
        RunState(finetune=finetune_config, dataset='d', learning_version=2, finished=True),
        Dataset(media=media, splits={}, fingerprint='f', heads={'verb': ('x',), 'noun': ('y',)}),
        JobDescription(fingerprint='f', shards=('a', 'b'), manifest='m', media=media),
        ManifestDescription(heads={'label': ('a',)}, videos='/v'),
        ShardReport(split='train', path='a', fingerprint='f', noted=({'key': 'k'},)),
        Outcome(
            run='r',
            blessed=False,
            compared=True,
            metrics={'top1': 0.5, 'map': None},
            left_out=1,
            report='/r',
            shortfalls=[{'metric': 'top1', 'value': 0.5, 'bound': 0.6, 'compared': 0}],
        ),
        Counts(clips=1, splits={'train': 1}, notes={}, set_aside={'missing': 2}),
        Origin(version='0.1', image='registry.example/avmae:1', lock='l'),
        Outcome(
            run='r', blessed=True, compared=False, shortfalls=(), metrics={}, left_out=0, report='r'
        ),
    ]


def test_every_description_says_its_version_and_reads_back(pretrain_config, finetune_config):
    held = descriptions(pretrain_config, finetune_config)
    kinds = {*Description.__subclasses__(), *TrainedDescription.__subclasses__()}
    kinds = {kind for kind in kinds if 'FILE' in vars(kind) and kind.__module__ != __name__}
    assert {type(description) for description in held} == kinds
    for description in held:
        content = json.loads(description.to_json())
        assert content['format_version'] == migrations.newest_format() == 2
        assert type(description).from_json(description.to_json()) == description


def test_a_run_of_version_1_had_its_settings_under_one_name_and_a_hash_of_the_code():
    before = {'config': {'decoder': 1}, 'dataset': 'd', 'source': '47f8a3469c7cafbf'}
    kept = json.dumps(before)
    assert migrations.migrated('run.json', before) == {
        'format_version': 2, 'pretrain': {'decoder': 1}, 'dataset': 'd', 'learning_version': 1
    }  # fmt: skip
    assert json.dumps(before) == kept
    after = migrations.migrated('run.json', {'config': {'fusion': 1}, 'finished': True})
    assert after['finetune'] == {'fusion': 1} and after['finished'] and 'pretrain' not in after
    with pytest.raises(ValueError, match='no description of format version 1: KeyError'):
        migrations.migrated('run.json', {'dataset': 'd'})


def test_other_descriptions_of_version_1_lack_the_version_alone(pretrain_config, finetune_config):
    for description in descriptions(pretrain_config, finetune_config):
        if not isinstance(description, RunState):
            content = description.model_dump(mode='json')
            assert content.pop('format_version') == 2
            assert type(description).from_json(json.dumps(content)) == description


@pytest.mark.parametrize('name', ['model.json', 'run.json', 'dataset.json', 'job.json'])
def test_a_newer_version_is_refused_in_a_line_that_says_to_upgrade(tmp_path, name):
    kinds = (ModelDescription, RunState, Dataset, JobDescription)
    (kind,) = (k for k in kinds if name == k.FILE)
    path = tmp_path / name
    path.write_text('{"format_version": 3, "of": "the future"}')
    with pytest.raises(ValueError) as refusal:
        read_settings(str(path), kind, 'delete it')
    assert str(refusal.value) == (
        f'{path}: has format version 3, and this program reads those up to 2; upgrade avmae-tf'
    )


@pytest.mark.parametrize('version', [0, -1, '2', 1.5, True, None])
def test_a_version_that_is_none_is_damage(tmp_path, version):
    path = tmp_path / 'dataset.json'
    path.write_text(json.dumps({'format_version': version}))
    shown = re.escape(f'got {version!r}')
    with pytest.raises(ValueError, match=f'is damaged or of another version .*{shown}'):
        read_settings(str(path), Dataset, 'delete it')


class _Settings(Spec):
    rate: float
    added: int = 7  # since version 2


class _Thing(Description):
    FILE = 'thing.json'
    settings: _Settings


def test_a_setting_that_came_later_has_its_default_and_one_that_was_renamed_its_value(monkeypatch):
    def renamed(thing):
        settings = dict(thing['settings'])
        return {**thing, 'settings': {'rate': settings.pop('speed'), **settings}}

    steps = [{}, {'thing.json': renamed}, {}]
    monkeypatch.setattr(migrations, 'MIGRATIONS', steps)
    for version, content in (
        (1, {'settings': {'speed': 0.5}}),
        (2, {'format_version': 2, 'settings': {'speed': 0.5, 'added': 7}}),
        (3, {'format_version': 3, 'settings': {'rate': 0.5}}),
    ):
        thing = _Thing.from_json(json.dumps(content))
        assert thing == _Thing(settings=_Settings(rate=0.5)), version
        assert json.loads(thing.to_json())['format_version'] == 4
    with pytest.raises(ValueError, match='no such field'):
        _Thing.from_json('{"format_version": 3, "settings": {"speed": 0.5}}')


def test_a_run_is_the_same_run_after_a_setting_was_added_and_one_renamed(
    pretrain_config, tmp_path, monkeypatch
):
    """As if the setting `seed` were new, and `weight_decay` had had another name."""
    state = RunState(pretrain=pretrain_config, dataset='d', learning_version=1)
    content = json.loads(state.to_json())
    del content['pretrain']['seed']
    content['pretrain']['decay'] = content['pretrain'].pop('weight_decay')
    (tmp_path / 'run.json').write_text(json.dumps(content))

    def renamed(run):
        settings = dict(run['pretrain'])
        decay = settings.pop('decay')
        return {**run, 'pretrain': {**settings, 'weight_decay': decay}}

    monkeypatch.setattr(migrations, 'MIGRATIONS', [*migrations.MIGRATIONS, {'run.json': renamed}])
    state, folder = state.replace(format_version=3), RunFolder(str(tmp_path))
    assert folder.holds(state) and folder.open(state) == state
    assert not folder.holds(state.replace(pretrain=pretrain_config.replace(seed=1)))
