"""Training, on two devices too: compiled steps, checkpoints, resumption, the model at the end."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.config import AugmentSpec, Mixup, RunSpec
from avmae_tf.data.augment import mixup
from avmae_tf.models.builders import blank_inputs
from avmae_tf.models.draws import fold_in
from avmae_tf.training import actions, checkpoints, devices, loop
from avmae_tf.training.checkpoints import (
    RunFolder,
    RunState,
    describe_model,
    load_model,
    run_folder,
)
from avmae_tf.training.saving import checkpoints_in, fault_of
from avmae_tf.training.tasks import FinetuneTask, PretrainTask
from avmae_tf.training.trainer import Trainer
from avmae_tf.training.warm_start import warm_start

RUN = RunSpec(
    steps_per_loop=3, checkpoint_every_loops=1, test_every_loops=2, pictures_every_loops=2,
    jit_compile=True,
)  # fmt: skip


@pytest.fixture(scope='module')
def pretrain_config(pretrain_config):
    return pretrain_config.replace(
        backbone=pretrain_config.backbone.replace(num_layers=2),
        decoder=pretrain_config.decoder.replace(num_layers=1),
    )


@pytest.fixture(scope='module')
def finetune_config(finetune_config):
    return finetune_config.replace(backbone=finetune_config.backbone.replace(num_layers=2))


@pytest.fixture(scope='module')
def small(pretrain_config):
    """One block of one modality, for what happens to a run whatever it learns."""
    return pretrain_config.replace(
        modalities=('audio',),
        encoder='shared',
        backbone=pretrain_config.backbone.replace(num_layers=1),
    )


@pytest.fixture(scope='module')
def strategy():
    return devices.default_strategy()


@pytest.fixture(scope='module')
def pretrained(records, dataset, pretrain_config, strategy, tmp_path_factory):
    """A finished run on two devices, its step compiled with XLA: folder, scalars, progress."""
    folder = RunFolder(str(tmp_path_factory.mktemp('pretrain')))
    seen = []
    scalars = loop.train(
        PretrainTask(pretrain_config, dataset),
        records,
        folder,
        run=RUN.replace(microbatches=2),
        strategy=strategy,
        progress=lambda step, steps, **figures: seen.append((step, steps, figures)),
    )
    return folder, scalars, seen


def test_two_cpu_devices_train_as_two_replicas(strategy):
    assert isinstance(strategy, tf.distribute.MirroredStrategy)
    assert strategy.num_replicas_in_sync == 2


def test_pretraining_reports_and_learns(pretrained):
    _, scalars, seen = pretrained
    assert [(step, steps) for step, steps, _ in seen] == [(s, 12) for s in (3, 6, 9, 12)]
    losses = [figures['loss'] for _, _, figures in seen]
    assert losses[-1] < losses[0]
    assert scalars['loss'] > 0 and scalars['mean_patch_loss'] > 0


def test_tensorboard_gets_scalars_and_pictures(pretrained):
    from avmae_tf.cli import figures

    folder = pretrained[0]
    logs = folder.logs_of(folder.read())
    date = r'\d{4}-\d\d-\d\d-\d{4}'
    assert re.fullmatch(f'{folder.path}/logs/pretrain-demo-changed-{date}', logs)
    train = figures.scalars(os.path.join(logs, 'train'))
    assert list(train['loss']) == [3, 6, 9, 12]
    assert list(figures.scalars(os.path.join(logs, 'eval'))['loss']) == [6, 12]
    assert list(train['clips_per_second']) == [6, 9, 12]  # the first loop was compiled
    for step, clips in train['clips_per_second'].items():
        assert train['clips_per_second_and_core'][step] == pytest.approx(clips / 2)
        assert 0 < train['share_of_time_waiting_for_data'][step] < 1
    images = figures.last_reconstructions(os.path.join(logs, 'train'))
    assert images['video'][0].shape == (3 * 32, 4 * 32, 3)
    assert images['audio'][0].shape == (3 * 128, 96, 3)


def test_a_finished_run_is_not_repeated(pretrained, records, dataset, pretrain_config):
    said = []
    task = PretrainTask(pretrain_config, dataset)
    again = loop.train(task, records, pretrained[0], run=RUN, say=said.append)
    assert again == pretrained[1] and again['loss'] > 0
    assert 'finished before' in said[0]
    run_file = Path(pretrained[0].path) / 'run.json'
    state = json.loads(run_file.read_text())
    assert state.pop('scalars') == again
    older = RunState.from_json(json.dumps(state))  # of a version that kept none
    assert older.finished and older.scalars == {}


def test_a_folder_of_other_settings_is_refused(pretrained, records, dataset, pretrain_config):
    task = PretrainTask(pretrain_config.replace(seed=5), dataset)
    with pytest.raises(ValueError, match='holds a run with another seed'):
        loop.train(task, records, pretrained[0], run=RUN)


def test_a_run_that_could_not_start_claims_no_folder(records, dataset, finetune_config, tmp_path):
    def refuse(model):
        raise ValueError('warm start: no')

    folder = RunFolder(str(tmp_path))
    task = FinetuneTask(finetune_config, dataset)
    with pytest.raises(ValueError, match='warm start: no'):
        loop.train(task, records, folder, run=RUN, initialise=refuse)
    assert not os.path.exists(tmp_path / 'run.json')


def test_no_version_deletes_a_finished_run_and_an_unfinished_one_goes_on(
    pretrain_config, dataset, tmp_path
):
    folder = RunFolder(str(tmp_path))
    old = RunState.of(pretrain_config, dataset)
    new = old.replace(learning_version=old.learning_version + 1)
    assert folder.open(old) is None
    folder.claim(old)
    assert not folder.open(old).finished and not folder.open(new).finished
    weights = tf.train.Checkpoint(v=tf.Variable(1.0)).write(str(tmp_path / 'model/weights'))
    (tmp_path / 'model/model.json').touch()
    folder.finish(old, {'loss': 0.5})
    assert folder.open(old).finished and folder.open(old).scalars == {'loss': 0.5}
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(ValueError) as refusal:
        folder.open(new)
    (line,) = str(refusal.value).splitlines()
    assert 'holds a finished run of learning version 1, and this program has 2' in line
    assert f'use the model in {tmp_path}/model as it is, or give another folder' in line
    assert sorted(tmp_path.rglob('*')) == before
    os.truncate(f'{weights}.index', 10)
    assert not folder.open(old).finished  # makes the model again
    (tmp_path / 'run.json').unlink()
    with pytest.raises(ValueError, match=f'{tmp_path}/model: is a model of no run in'):
        folder.open(old)


def test_a_pipeline_finds_its_runs_whatever_named_them_and_trains_anew_beside_a_finished_one(
    pretrain_config, dataset, tmp_path, monkeypatch
):
    state = RunState.of(pretrain_config, dataset)
    RunFolder(str(tmp_path / 'pretrain-0')).claim(state.replace(dataset='other'))
    RunFolder(str(tmp_path / 'pretrain-1')).claim(state)
    RunFolder(str(tmp_path / 'finetune-0')).claim(state)
    (tmp_path / 'pretrain-00').mkdir()
    (tmp_path / 'pretrain-00/run.json').write_text('damaged')

    def place(**start) -> str:
        return os.path.basename(run_folder(str(tmp_path), pretrain_config, dataset, **start).path)

    assert place() == 'pretrain-1'
    assert place(initial='model') not in os.listdir(tmp_path)
    monkeypatch.setattr(checkpoints, 'LEARNING_VERSION', state.learning_version + 1)
    assert place() not in os.listdir(tmp_path)


def test_a_killed_run_ends_as_an_undisturbed_one(records, dataset, small, tmp_path):
    """With the same weights, and the same average of them, which is the model at its end."""
    config = small.replace(average_decay=0.9)

    class Killed(Exception):
        pass

    def kill(step, steps, **figures):
        if step == 9:
            raise Killed

    def start(name, progress):
        said = []
        loop.train(
            PretrainTask(config, dataset), records, RunFolder(str(tmp_path / name)),
            run=RUN.replace(jit_compile=False),
            strategy=tf.distribute.OneDeviceStrategy('CPU:0'),
            progress=progress, say=said.append,
        )  # fmt: skip
        return said

    with pytest.raises(Killed):
        start('killed', kill)
    device = 'pretrain: OneDeviceStrategy on CPU:0'
    resumed = 'pretrain: resumed from step 6 of 12'
    assert start('killed', lambda *_, **__: None) == [device, resumed]
    assert start('undisturbed', lambda *_, **__: None) == [device]
    again, first = (
        tf.train.load_checkpoint(str(tmp_path / name / 'checkpoints'))
        for name in ('killed', 'undisturbed')
    )
    held = [n for n in first.get_variable_to_shape_map() if not n.startswith('_')]
    assert {n.partition('/')[0] for n in held} >= {'model', 'average', 'optimizer'}
    for name in held:
        np.testing.assert_array_equal(again.get_tensor(name), first.get_tensor(name))
    model = tf.train.load_checkpoint(str(tmp_path / 'killed/model/weights'))
    weights = [n for n in model.get_variable_to_shape_map() if n.startswith('model/')]
    averages = [n.replace('model', 'average', 1) for n in weights]
    for name, average in zip(weights, averages, strict=True):
        np.testing.assert_array_equal(model.get_tensor(name), again.get_tensor(average))
    assert any(np.any(model.get_tensor(n) != again.get_tensor(n)) for n in weights)


def test_weights_that_are_not_finite_stop_the_run_and_spare_the_good_checkpoints(
    records, dataset, small, tmp_path
):
    folder, poison = RunFolder(str(tmp_path)), tf.Variable(0.0)

    class Poisoned(PretrainTask):
        def train_loss(self, model, batch, seed):
            loss, scalars = super().train_loss(model, batch, seed)
            return loss * (1.0 + poison), scalars

    def spoil(step, steps, **figures):
        if step == 6:
            poison.assign(np.nan)

    with pytest.raises(actions.Diverged) as stopped:
        loop.train(
            Poisoned(small, dataset), records, folder,
            run=RUN.replace(jit_compile=False), progress=spoil,
            strategy=tf.distribute.OneDeviceStrategy('CPU:0'),
        )  # fmt: skip
    (line,) = str(stopped.value).splitlines()
    for part in (
        'is not finite at step 9 (loss ',
        'loss_audio ',
        'last good',
        f'{folder.checkpoints}/ckpt-6',
        'lower schedule.learning_rate (now 0.001)',
    ):
        assert part in line  # fmt: skip
    kept = checkpoints_in(folder.checkpoints)
    assert [os.path.basename(prefix) for prefix in kept] == ['ckpt-3', 'ckpt-6']
    assert [fault_of(prefix) for prefix in kept] == [None, None]
    assert not os.path.exists(folder.model)


def test_a_damaged_shard_ends_training_by_name_before_it_starts_or_where_it_is_met(
    records, dataset, small, tmp_path
):
    folder, run_folder = tmp_path / 'records', RunFolder(str(tmp_path / 'run'))
    shutil.copytree(records, folder)
    task, shard = PretrainTask(small, dataset), dataset.shards('train')[1]
    data = (folder / shard.path).read_bytes()
    middle = len(data) // 2

    (folder / shard.path).write_bytes(data[:-1])
    with pytest.raises(ValueError, match=f'{shard.path}: has {len(data) - 1} bytes, must have'):
        loop.train(task, str(folder), run_folder, run=RUN)
    assert not os.path.exists(f'{run_folder.path}/run.json')

    (folder / shard.path).write_bytes(data[:middle] + b'damage' + data[middle + 6 :])
    with pytest.raises(
        ValueError, match=rf'^{folder}/{shard.path}: record \d+ of \d+, .* delete it'
    ):
        loop.train(
            task,
            str(folder),
            run_folder,
            run=RUN.replace(jit_compile=False),
            strategy=tf.distribute.OneDeviceStrategy('CPU:0'),
        )


def test_batches_that_do_not_divide_are_refused(records, dataset, pretrain_config, strategy):
    schedule = pretrain_config.schedule.replace(batch_size=7)
    with pytest.raises(ValueError, match='multiple of the 2 replicas, got 7'):
        Trainer(
            PretrainTask(pretrain_config.replace(schedule=schedule), dataset),
            records, strategy, RUN,
        )  # fmt: skip


def test_runs_are_told_apart_by_settings_data_initial_model_and_learning(pretrain_config, dataset):
    state = RunState.of(pretrain_config, dataset)
    others = [
        (['seed'], RunState.of(pretrain_config.replace(seed=1), dataset)),
        (['dataset'], RunState.of(pretrain_config, dataset.replace(fingerprint='other'))),
        (['initial'], RunState.of(pretrain_config, dataset, 'model')),
        ([], state.replace(learning_version=99)),
    ]
    assert [state.differences(other) for _, other in others] == [names for names, _ in others]
    assert len({s.key for s in (state, RunState.of(pretrain_config, dataset))}) == 1
    assert len({s.key for s in (state, *(other for _, other in others))}) == 5


def test_finetuning_starts_from_the_pretrained_encoder_and_learns(
    pretrained, records, dataset, finetune_config, tmp_path
):
    said, losses = [], []

    def initialise(model):
        said.append(warm_start(model, load_model(pretrained[0].model)))

    folder = RunFolder(str(tmp_path))
    schedule = finetune_config.schedule.replace(learning_rate=1e-2, epochs=12)
    config = finetune_config.replace(schedule=schedule, label_smoothing=0.0, stochastic_depth=0.0)
    scalars = loop.train(
        FinetuneTask(config, dataset), records, folder,
        run=RUN.replace(steps_per_loop=6, test_every_loops=6, checkpoint_every_loops=6),
        initialise=initialise, strategy=tf.distribute.OneDeviceStrategy('CPU:0'),
        progress=lambda step, steps, **figures: losses.append(figures['loss']),
    )  # fmt: skip
    assert len(said) == 1 and 'last norm' in said[0].taken
    assert np.mean(losses[-2:]) < np.mean(losses[:2]) - 0.05
    assert 0 <= scalars['top1'] <= scalars['top5'] <= 1 and 0 < scalars['map'] <= 1
    assert describe_model(folder.model).heads == dataset.heads


def test_unlabelled_records_cannot_be_finetuned(finetune_config, dataset):
    with pytest.raises(ValueError, match='at least two classes'):
        FinetuneTask(finetune_config, dataset.replace(heads={}))


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ValueError, match=f'{tmp_path}: no model.json here'):
        load_model(str(tmp_path))


@pytest.mark.parametrize('per_modality', [False, True])
def test_mixup_reaches_the_loss_and_both_heads(per_modality, finetune_config, dataset):
    two_heads = dataset.replace(heads={'noun': ('a', 'b', 'c'), 'verb': ('x', 'y')})
    inputs = {
        m: tf.random.stateless_normal(x.shape, [i, 1])
        for i, (m, x) in enumerate(blank_inputs(finetune_config, 4).items())
    }
    labels = {'noun': tf.one_hot([0, 1, 2, 1], 3), 'verb': tf.one_hot([0, 1, 0, 1], 2)}
    spec, seed = Mixup(per_modality=per_modality), tf.constant([0, 5])
    config = finetune_config.replace(
        augment=AugmentSpec(mixup=spec), stochastic_depth=0.0, label_smoothing=0.0
    )
    task = FinetuneTask(config, two_heads)
    model = task.build()
    for i, variable in enumerate(model.trainable_variables):
        variable.assign(tf.random.stateless_normal(variable.shape, [i, 0], stddev=0.2))
    mixed, targets = mixup(inputs, labels, fold_in(seed, 1), spec=spec)

    def loss(targets, inputs):
        """The mean over modalities, heads and clips of the cross-entropy, in NumPy."""
        losses = []
        for m, logits in model(inputs).items():
            parts = {'noun': logits[:, :3].numpy(), 'verb': logits[:, 3:].numpy()}
            for head, x in parts.items():
                log = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
                losses.append(-(targets[m][head] * log).numpy().sum(axis=1).mean())
        return np.mean(losses)

    found = float(task.train_loss(model, {**inputs, **labels}, seed)[0])
    assert found == pytest.approx(loss(targets, mixed), rel=1e-5)
    for head in labels:  # neither may be left as it is, nor may the inputs
        unmixed = {m: {**y, head: labels[head]} for m, y in targets.items()}
        assert found != pytest.approx(loss(unmixed, mixed), rel=1e-4)
    assert found != pytest.approx(loss(targets, inputs), rel=1e-4)
