"""A batch teaches the same, whole or in parts, on one device or two; averages, norms, precision."""

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.config import SGD, Adam, AugmentSpec, Mixup, RunSpec
from avmae_tf.models.blocks import LayerNorm
from avmae_tf.models.builders import blank_inputs, precision
from avmae_tf.models.draws import Draws
from avmae_tf.training import devices
from avmae_tf.training.gradients import mean_gradients, microbatches
from avmae_tf.training.optimizers import clip, create_slots, make_optimizer
from avmae_tf.training.tasks import FinetuneTask, PretrainTask
from avmae_tf.training.trainer import Trainer

SIZE = 8


@pytest.fixture(scope='module')
def pretrain_config(pretrain_config):
    return pretrain_config.replace(
        backbone=pretrain_config.backbone.replace(num_layers=2),
        decoder=pretrain_config.decoder.replace(num_layers=1),
    )


@pytest.fixture(scope='module')
def finetune_config(finetune_config):
    return finetune_config.replace(backbone=finetune_config.backbone.replace(num_layers=2))


def bytes_and_sound(config, size: int = SIZE) -> dict:
    """A batch as the input pipeline makes it: frames are bytes."""
    shapes = {m: x.shape for m, x in blank_inputs(config, size).items()}
    frames = tf.random.stateless_uniform(shapes['video'], [1, 2], 0, 256, tf.int32)
    return {
        'video': tf.cast(frames, tf.uint8),
        'audio': tf.random.stateless_normal(shapes['audio'], [3, 4]),
    }


def drawn(model):
    """`model` with weights that all have a gradient: no zeros."""
    for i, variable in enumerate(model.trainable_variables):
        variable.assign_add(tf.random.stateless_normal(variable.shape, [i, 0], stddev=0.1))
    return model


@pytest.fixture(params=['pretrain', 'finetune'])
def task_and_batch(request, pretrain_config, finetune_config, dataset):
    """Masks for every clip; mixup and stochastic depth."""
    if request.param == 'pretrain':
        return PretrainTask(pretrain_config, dataset), bytes_and_sound(pretrain_config)
    config = finetune_config.replace(
        augment=AugmentSpec(mixup=Mixup(per_modality=True)), stochastic_depth=0.5
    )
    labels = tf.one_hot(tf.range(SIZE) % 3, 3)
    task = FinetuneTask(config, dataset.replace(heads={'label': ('a', 'b', 'c')}))
    return task, {**bytes_and_sound(config), 'label': labels}


def test_parts_of_a_batch_teach_what_the_whole_teaches(task_and_batch):
    task, batch = task_and_batch
    model, seed = drawn(task.build()), tf.constant([5, 6])
    variables = task.trainables(model)
    with tf.GradientTape() as tape:
        loss, _ = task.train_loss(model, batch, seed)
    expected = tape.gradient(loss, variables, unconnected_gradients='zero')
    assert all(np.any(g) for g in map(tf.convert_to_tensor, expected))
    draws = Draws(seed, tf.range(SIZE), SIZE)
    scalars, found = mean_gradients(task, model, variables, batch, draws, 4)
    assert set(scalars) == set(task.train_names)
    assert float(scalars['loss']) == pytest.approx(float(loss), rel=1e-5)
    largest = max(float(tf.reduce_max(tf.abs(g))) for g in expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5 * largest)


def test_clips_of_a_part_are_pairs_of_opposites():
    assert microbatches(8, 2).tolist() == [[0, 1, 6, 7], [2, 3, 4, 5]]
    assert microbatches(6, 3).tolist() == [[0, 5], [1, 4], [2, 3]]
    for size, count in ((8, 4), (8, 8), (9, 3), (5, 1)):
        assert sorted(microbatches(size, count).ravel()) == list(range(size))


def test_parts_that_cannot_be_are_refused(pretrain_config, finetune_config, dataset):
    task = PretrainTask(pretrain_config, dataset)
    task.check_microbatches(8, 8)
    with pytest.raises(ValueError, match=r'microbatches must divide the 8 clips .* got 3'):
        task.check_microbatches(8, 3)
    contrasting = pretrain_config.replace(objective='contrastive')
    with pytest.raises(ValueError, match=r'microbatches must be 1 for a loss .* got 2'):
        PretrainTask(contrasting, dataset).check_microbatches(8, 2)
    mixing = finetune_config.replace(augment=AugmentSpec(mixup=Mixup()))
    task = FinetuneTask(mixing, dataset.replace(heads={'label': ('a', 'b')}))
    task.check_microbatches(12, 3)
    with pytest.raises(ValueError, match=r'mixup mixes pairs .* even number, got 4 of 3'):
        task.check_microbatches(12, 4)


@pytest.fixture(scope='module')
def small(pretrain_config):
    """One block of one modality, with updates that are linear in their gradients."""
    schedule = pretrain_config.schedule.replace(learning_rate=0.3, warmup_epochs=0, epochs=4)
    return pretrain_config.replace(
        modalities=('audio',),
        encoder='shared',
        backbone=pretrain_config.backbone.replace(num_layers=1),
        optimizer=SGD(),
        schedule=schedule,
        average_decay=0.2,
    )


@pytest.fixture(scope='module')
def learn(records, dataset, small):
    """Trains for four steps: the trainer, the weights after each step, the last scalars."""

    def learn(strategy, **run):
        trainer = Trainer(PretrainTask(small, dataset), records, strategy, RunSpec(**run))
        trainer.read_from(0)
        weights = [[v.numpy() for v in trainer.model.variables]]
        for _ in range(4):
            scalars = trainer.train(tf.constant(1))
            weights.append([v.numpy() for v in trainer.model.variables])
        return trainer, weights, scalars

    return learn


@pytest.fixture(scope='module')
def on_one(learn):
    return learn(tf.distribute.OneDeviceStrategy('CPU:0'))


@pytest.mark.slow
def test_two_devices_learn_in_parts_what_one_learns_at_once(on_one, learn):
    _, one, of_one = on_one
    _, two, of_two = learn(devices.default_strategy(), microbatches=2)
    for first, *_, last in (one, two):
        moves = [np.abs(a - b).max() for a, b in zip(first, last, strict=True)]
        assert max(moves) > 0.01
    for ours, theirs in zip(two[-1], one[-1], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert of_two.keys() == of_one.keys() >= {'gradient_norm'}
    for name, value in of_one.items():
        assert float(of_two[name]) == pytest.approx(float(value), rel=1e-4), name


def test_the_average_starts_from_the_weights_and_follows_them(on_one):
    trainer, (_, *history), _ = on_one
    averages = [np.zeros_like(v) for v in history[0]]
    for step, weights in enumerate(history):
        kept = min(0.2, step / (9 + step))
        averages = [kept * a + (1 - kept) * v for a, v in zip(averages, weights, strict=True)]
    for ours, theirs, last in zip(trainer.result.variables, averages, history[-1], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
        assert not np.any(theirs) or np.abs(theirs - last).max() > 1e-5


HOST = {'PyFunc', 'EagerPyFunc', 'PyFuncStateless', 'WriteSummary', 'Print', 'PrintV2'}


def test_the_steps_between_two_looks_are_one_loop_of_the_graph(on_one):
    trainer, before = on_one[0], int(on_one[0].global_step)
    trainer.train(tf.constant(3))
    loop = trainer._train_loop_fn
    assert int(trainer.global_step) == before + 3
    assert loop.experimental_get_tracing_count() == 1  # whatever the number of steps
    graph = loop.get_concrete_function(trainer._train_iter, tf.constant(3)).graph.as_graph_def()
    outside = [node.op for node in graph.node]
    inside = {node.op for function in graph.library.function for node in function.node_def}
    assert outside.count('While') == 1 and 'IteratorGetNext' not in outside
    assert 'IteratorGetNext' in inside and not HOST & {*outside, *inside}


def test_gradients_are_clipped_together_and_it_is_logged():
    gradients = [tf.constant([3.0]), tf.constant([[4.0]])]
    same, logged = clip(gradients, None)
    assert same == gradients and logged == {'gradient_norm': 5.0}
    clipped, logged = clip(gradients, 1.0)
    assert [float(tf.squeeze(g)) for g in clipped] == pytest.approx([0.6, 0.8])
    assert logged == {'gradient_norm': 5.0, 'gradient_clipped': 1.0}
    same, logged = clip(gradients, 6.0)
    assert [float(tf.squeeze(g)) for g in same] == pytest.approx([3.0, 4.0])
    assert logged == {'gradient_norm': 5.0, 'gradient_clipped': 0.0}


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['pretrain', 'finetune'])
def test_what_is_learned_in_bfloat16_is_near_float32(
    kind, pretrain_config, finetune_config, dataset
):
    """Loss after 15 steps; weights, gradients, losses and the optimizer's state are float32."""

    def learn(policy):
        tf.keras.utils.set_random_seed(0)
        if kind == 'pretrain':
            task, labels = PretrainTask(pretrain_config.replace(precision=policy), dataset), {}
        else:
            config = finetune_config.replace(precision=policy, label_smoothing=0.0)
            task = FinetuneTask(config, dataset.replace(heads={'label': ('a', 'b')}))
            labels = {'label': tf.one_hot(tf.range(SIZE) % 2, 2)}
        model = task.build()
        variables, optimizer = task.trainables(model), make_optimizer(Adam(), 3e-3)
        create_slots(optimizer, variables)
        batch = {**bytes_and_sound(task.config), **labels}
        draws = Draws(tf.constant([1, 2]), tf.range(SIZE), SIZE)

        @tf.function(autograph=False)
        def step():
            scalars, gradients = mean_gradients(task, model, variables, batch, draws)
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
            return scalars['loss'], gradients

        losses = [step()[0] for _ in range(15)]
        floats = [*step()[1], *losses, *variables, *optimizer.variables()[1:]]
        assert {x.dtype for x in floats} == {tf.float32}
        return float(losses[0]), float(losses[-1])

    (first, last), (_, half) = learn('float32'), learn('mixed_bfloat16')
    assert half == pytest.approx(last, abs=0.01 * first) and last < 0.95 * first


def test_norms_and_softmax_add_up_in_more_than_bfloat16():
    """Of 1024 equal numbers bfloat16 would count 256."""
    with precision('mixed_bfloat16'):
        norm = LayerNorm()
    values = np.tile([256.0, 258.0, 260.0, 262.0], [1, 256])
    x, exact = tf.cast(values, tf.bfloat16), (values - 259) / np.sqrt(5)
    np.testing.assert_allclose(tf.cast(norm(x), tf.float32), exact, atol=0.02)
    weights = tf.nn.softmax(tf.zeros([1, 1024], tf.bfloat16))
    np.testing.assert_allclose(tf.cast(weights, tf.float32), 1 / 1024)
