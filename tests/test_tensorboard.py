"""TensorBoard on a pretraining and a finetuning, as a program asks it and as a person sees it."""

import gzip
import json
import os
import re
import urllib.parse
import urllib.request

import browser
import numpy as np
import pytest
import tensorflow as tf
from tensorboard import program

from avmae_tf.config import RunSpec
from avmae_tf.training import loop
from avmae_tf.training.checkpoints import RunFolder
from avmae_tf.training.tasks import FinetuneTask, PretrainTask

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('one_device')]
RUN = RunSpec(steps_per_loop=4, test_every_loops=1, pictures_every_loops=1, profile_steps=2)
CHARTS = 'var google = {charts: {safeLoad() {}, setOnLoadCallback() {}}, visualization: {}};'
SCREENSHOTS = os.environ.get('AVMAE_SCREENSHOTS')  # a folder to look at them oneself


@pytest.fixture(scope='module')
def logs(records, dataset, pretrain_config, finetune_config, tmp_path_factory):
    """The folder of the logs of two runs."""
    root = tmp_path_factory.mktemp('work')
    tasks = PretrainTask(pretrain_config, dataset), FinetuneTask(finetune_config, dataset)
    for task in tasks:
        folder = RunFolder(str(root / task.name), str(root / 'logs'))
        loop.train(task, records, folder, run=RUN)
    return root / 'logs'


@pytest.fixture(scope='module')
def address(logs):
    """Of TensorBoard, in threads of this process."""
    server = program.TensorBoard()
    server.configure(logdir=str(logs), port=0, load_fast='false', reload_interval=0)
    return server.launch()


@pytest.fixture(scope='module')
def ask(address):
    def get(path: str, **query):
        url = f'{address}data/{path}?{urllib.parse.urlencode(query)}'
        with urllib.request.urlopen(url, timeout=60) as answer:
            content = answer.read()
            if answer.headers['Content-Encoding'] == 'gzip':
                content = gzip.decompress(content)
            return json.loads(content) if 'json' in answer.headers['Content-Type'] else content

    return get


@pytest.fixture(scope='module')
def runs(ask):
    """The names of the runs by task, without train and eval."""
    names = ask('runs')
    return {task: next(n for n in names if re.fullmatch(f'{task}-[^/]*', n))
            for task in ('pretrain', 'finetune')}  # fmt: skip


@pytest.fixture(scope='module')
def page(address):
    if not (command := browser.find()):
        pytest.skip('there is no Chromium here: apt-get install chromium')
    with browser.Browser(command) as page:
        # The profile's page waits for Google's charts, which a machine without internet lacks.
        page.serve('*://www.gstatic.com/*', CHARTS)

        def opened(name: str, *texts: str):
            page.open(f'{address}#{name}')
            page.wait_for_text(*texts)
            return page

        yield opened


def keep(page, name: str):
    if SCREENSHOTS:
        page.screenshot(os.path.join(SCREENSHOTS, f'{name}.png'))


def test_runs_are_called_by_task_recipe_and_date(ask, runs):
    date = r'\d{4}-\d\d-\d\d-\d{4}'
    for task, name in runs.items():
        assert re.fullmatch(rf'{task}-demo-changed-{date}', name)
    parts = ('', '/train', '/eval')
    assert sorted(ask('runs')) == sorted(name + part for name in runs.values() for part in parts)


def test_scalars_are_grouped(ask, runs):
    tags = {run: set(tags) for run, tags in ask('plugin/scalars/tags').items()}
    train, held_out = tags[f'{runs["pretrain"]}/train'], tags[f'{runs["pretrain"]}/eval']
    losses = {f'loss/loss{m}' for m in ('', '_video', '_audio')}
    assert losses | {'optimizer/learning_rate'} <= train and losses <= held_out
    speed = {tag for tag in train if tag.startswith(('speed/', 'memory/'))}
    assert speed == {
        'memory/process_gib', 'speed/clips_per_second', 'speed/clips_per_second_and_core',
        'speed/share_of_matrix_product_rate', 'speed/share_of_time_waiting_for_data',
        'speed/steps_per_second',
    }  # fmt: skip
    found = tags[f'{runs["finetune"]}/eval']
    assert {'accuracy/top1', 'accuracy/top5', 'accuracy/map', 'loss/loss'} <= found
    assert not any(tag.startswith('other/') for names in tags.values() for tag in names)


def test_shares_are_shares(ask, runs):
    def values(name):
        run = f'{runs["finetune"]}/train'
        return [v for *_, v in ask('plugin/scalars/scalars', run=run, tag=f'speed/share_of_{name}')]

    assert len(values('matrix_product_rate')) >= 2 and min(values('matrix_product_rate')) > 0
    assert all(0 < share < 1 for share in values('time_waiting_for_data'))


def test_pictures_and_sound(ask, runs):
    images = {run: set(tags) for run, tags in ask('plugin/images/tags').items() if tags}
    kinds = ('confusions_label', 'average_precision_label', 'most_wrong')
    held_out = {f'classification/{kind}' for kind in kinds}
    assert images == {
        f'{runs["pretrain"]}/train': {'reconstruction/video', 'reconstruction/audio'},
        f'{runs["finetune"]}/eval': held_out,
    }
    sound = {run: tags for run, tags in ask('plugin/audio/tags').items() if tags}
    ((run, tags),) = sound.items()
    assert (
        run == f'{runs["finetune"]}/eval'
        and tags['classification/sound_of_most_wrong']['samples'] == 6
    )


def test_settings_are_text_and_hyperparameters(ask, runs, records, finetune_config):
    texts = {run: set(tags) for run, tags in ask('plugin/text/tags').items() if tags}
    assert texts == {name: {'run', 'settings'} for name in runs.values()}
    (about,) = ask('plugin/text/text', run=runs['finetune'], tag='run')
    assert records in about['text'] and 'commit' in about['text']
    (settings,) = ask('plugin/text/text', run=runs['finetune'], tag='settings')
    assert 'demo' in settings['text'] and 'schedule.batch_size' in settings['text']


def test_the_projector_has_every_held_out_clip(ask, runs, dataset):
    assert sorted(ask('plugin/projector/runs')) == sorted(runs.values())
    for run in runs.values():
        (embedding,) = ask('plugin/projector/info', run=run)['embeddings']
        clips, width = embedding['tensorShape']
        assert (clips, width) == (16, 2 * 32)
        name = embedding['tensorName']
        values = np.frombuffer(ask('plugin/projector/tensor', run=run, name=name), np.float32)
        values = values.reshape([clips, width])
        assert np.isfinite(values).all() and len(np.unique(values.round(4), axis=0)) == clips
        lines = ask('plugin/projector/metadata', run=run, name=name).decode().splitlines()
        assert lines[0] == 'label\tclip' and len(lines) == 17
        assert {line.split('\t')[0] for line in lines[1:]} <= set(dataset.classes)
        sprite = ask('plugin/projector/sprite_image', run=run, name=name)
        side = embedding['sprite']['singleImageDim'][0]
        assert tf.io.decode_png(sprite).shape == (4 * side, 4 * side, 3)


def test_a_profile_is_read_by_its_plugin(ask, runs):
    profiles = ask('plugin/profile/runs')
    for run in runs.values():
        (name,) = (x for x in profiles if x.startswith(f'{run}/'))
        tools = {x.strip('@^'): x for x in ask('plugin/profile/run_tools', run=name)}
        assert {'overview_page', 'input_pipeline_analyzer', 'trace_viewer'} <= set(tools)
        tag = tools['trace_viewer']
        (host,) = ask('plugin/profile/hosts', run=name, tag=tag)
        trace = ask('plugin/profile/data', run=name, tag=tag, host=host)
        assert any('MatMul' in event.get('name', '') for event in trace['traceEvents'])


def test_a_person_finds_runs_and_curves(page, runs):
    found = page('timeseries', f'{runs["pretrain"]}/train', 'loss', 'accuracy')
    assert found.wait_for("all(document).filter(x => x.tagName === 'LINE-CHART').length") > 1
    keep(found, 'scalars')


def test_a_person_sees_pictures(page, runs):
    found = page('images', 'classification/most_wrong', 'reconstruction/video')
    loaded = "all(document).filter(x => x.tagName === 'IMG' && x.naturalWidth > 100).length"
    assert found.wait_for(loaded) >= 1
    keep(found, 'images')


def test_a_person_sees_clips_in_the_projector(page, runs):
    found = page('projector', 'Points:\n16', 'Dimension:\n64', 'held-out clips at step 12')
    keep(found, 'projector')


def test_the_page_of_profiles_opens_and_knows_both_runs(page):
    found = page('profile', 'Performance Summary', 'Runs (2)', 'overview_page')
    keep(found, 'profile')
