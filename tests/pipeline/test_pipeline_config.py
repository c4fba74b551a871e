"""A pipeline's YAML file: what it may hold, and what its errors say."""

import re

import pytest

from avmae_tf.config import PRETRAIN_RECIPES
from pipeline.config import PipelineConfig, load_config

GOOD = """
name: demo
root: out
data: {videos: clips, annotations: /list.csv, media: {shorter_side_px: 64}}
start: {pretrain: {recipe: demo, schedule: {epochs: 3}}}
finetune: demo
"""


def write(tmp_path, text):
    path = tmp_path / 'p.yaml'
    path.write_text(text)
    return str(path)


def test_recipes_by_name_and_with_changes(tmp_path):
    config = load_config(write(tmp_path, GOOD))
    assert config.start.pretrain.schedule.epochs == 3
    assert config.start.pretrain.backbone == PRETRAIN_RECIPES['demo'].backbone


OLD = GOOD.replace('start: {pretrain: {', 'pretrain: {').replace('}}}', '}}')


def test_pretrain_is_the_older_word_for_a_start(tmp_path):
    assert OLD != GOOD
    assert load_config(write(tmp_path, OLD)) == load_config(write(tmp_path, GOOD))
    with pytest.raises(ValueError, match=r'p.yaml: start and pretrain say the same, and both are'):
        load_config(write(tmp_path, OLD + 'start: scratch'))


START = re.search('start:.*\n', GOOD)[0]


@pytest.mark.parametrize(
    ('start', 'models'),
    [
        ('scratch', ()),
        ('./scratch', ('{}/scratch',)),
        ('runs/a/model', ('{}/runs/a/model',)),
        ('/a/model', ('/a/model',)),
        ('[gs://b/audio, ../vit.npz]', ('gs://b/audio', '{.parent}/vit.npz')),
    ],
)
def test_a_start_is_models_below_the_file_or_scratch(tmp_path, start, models):
    config = load_config(write(tmp_path, GOOD.replace(START, f'start: {start}\n')))
    assert config.start.models == tuple(model.format(tmp_path) for model in models)
    assert config.start.pretrain is None
    assert PipelineConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ('start', 'message'),
    [
        ('start: [a, b, c]', 'start: a classifier starts from one model, .* got 3: a, b, c'),
        ('start: []', r'start: must be {pretrain: RECIPE}, .* or scratch, got \[\]'),
        ('start: {}', r'start: must be {pretrain: RECIPE}, .* or scratch, got {}'),
        ('start:', 'start: must be {pretrain: RECIPE}, .* or scratch, got None'),
        ('start: 5', 'start: must be {pretrain: RECIPE}, .* or scratch, got 5'),
        ('pretrain:', 'start: must be {pretrain: RECIPE}, .* or scratch, got {.pretrain.: None}'),
        ('start: {pretrian: demo}', 'start.pretrian: no such field; there is pretrain'),
        ('start: {pretrain: demo, models: [a]}', 'start: pretrain and models are both given'),
        ('', 'start: Field required'),
        (
            'start: {pretrain: {recipe: demo, backbone: {width: 48}}}',
            'p.yaml: start.pretrain: the backbone.width is 48, that of the classifier 96; give',
        ),
        (
            'start: {pretrain: {recipe: demo, audio: {patch: [8, 16]}}}',
            r'start.pretrain: the audio.patch is \(8, 16\), that of the classifier \(16, 16\)',
        ),
    ],
)
def test_a_start_that_cannot_be_is_named_with_the_fix(tmp_path, start, message):
    with pytest.raises(ValueError, match=message):
        load_config(write(tmp_path, GOOD.replace(START, f'{start}\n')))


def test_streams_that_do_not_fit_one_stack_are_found_in_the_file(tmp_path):
    text = GOOD.replace('finetune: demo', 'finetune: {recipe: demo, fusion: early}')
    with pytest.raises(ValueError, match=r'start.pretrain: block 0 of the classifier serves both'):
        load_config(write(tmp_path, text))


def test_relative_paths_are_below_the_file(tmp_path):
    config = load_config(write(tmp_path, GOOD))
    assert config.root == str(tmp_path / 'out')
    assert config.data.videos == str(tmp_path / 'clips')
    assert config.data.annotations == '/list.csv'
    assert config.data.dataset == 'folder' and config.data.subset is None
    assert load_config(write(tmp_path, GOOD), root='gs://bucket/x').root == 'gs://bucket/x'


def test_paths_of_a_file_in_a_bucket_are_in_that_bucket(tmp_path):
    config = load_config(f'file://{write(tmp_path, GOOD)}')
    assert config.root == f'file://{tmp_path}/out'
    assert config.data.videos == f'file://{tmp_path}/clips'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (GOOD.replace('recipe: demo', 'recipe: dome'), 'start.pretrain: .*must be one of .*dome'),
        (
            GOOD + 'colour: red',
            'p.yaml: colour: no such field; there is data, start',
        ),
        (GOOD.replace('epochs: 3', 'epochs: -3'), 'start.pretrain.schedule.epochs: '),
        (GOOD.replace('name: demo', 'name: De Mo'), 'p.yaml: name: '),
        (
            GOOD.replace('videos:', 'dataset: epic, videos:'),
            'data.dataset: .*must be one of .*epic-',
        ),
        ('a: [', 'p.yaml: not YAML'),
    ],
)
def test_errors_name_file_and_field(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_config(write(tmp_path, text))


@pytest.mark.parametrize('text', ['5', '[a, b]', '\xe9\x00'])
def test_a_file_of_no_fields_is_named(tmp_path, text):
    path = tmp_path / 'pipeline.yaml'
    path.write_text(text, encoding='latin-1')
    with pytest.raises(ValueError, match=str(path)):
        load_config(str(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r'nowhere.yaml: No such file'):
        load_config(str(tmp_path / 'nowhere.yaml'))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a: ' + '[' * 100_000, 'line 1 nests deeper than 20 levels'),
        ('\n'.join(' ' * i + 'a:' for i in range(100)), 'line 21 nests deeper than 20'),
        ('a0: &a0 [x]\n' + '\n'.join(f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 9)}]'
                                     for i in range(1, 12)), 'more than 20 aliases'),
        ('a: &a {b: [*a]}', r'\*a refers to itself'),
        ('a: ' + 'x' * 300_000, 'at most 262144 characters'),
        ('a: "\x00"', 'not YAML'),
        ('a: {b: [b, b], c: b}\nb: 1\na: 2', "line 3 names 'a' a second time"),
        ('x:\n  - {b: 1, c: {b: 1}, b: 2}', "line 2 names 'b' a second time"),
    ],
)  # fmt: skip
def test_yaml_that_would_never_end_is_refused_at_once(tmp_path, text, message):
    with pytest.raises(ValueError, match=f'^{tmp_path}/p.yaml: .*{message}'):
        load_config(write(tmp_path, text))


def test_settings_may_be_shared_by_an_alias(tmp_path):
    shared = GOOD.replace('epochs: 3}', 'epochs: &e 3}').replace(
        'finetune: demo', 'finetune: {recipe: demo, schedule: {epochs: *e}}'
    )
    assert load_config(write(tmp_path, shared)).finetune.schedule.epochs == 3
