"""Every legal encoder, decoder and objective takes a step compiled by XLA, on two devices once."""

import multiprocessing

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.config import AudioSpec, BackboneSpec, DecoderSpec, PretrainConfig, VideoSpec
from avmae_tf.models.builders import blank_inputs
from avmae_tf.models.draws import Draws
from avmae_tf.training import devices
from avmae_tf.training.gradients import mean_gradients
from avmae_tf.training.optimizers import create_slots, make_optimizer
from avmae_tf.training.tasks import PretrainTask

OBJECTIVES = {
    'joint': 'joint',
    'video_from_audio': {'kind': 'inpainting', 'direction': 'video_from_audio'},
    'audio_from_video': {'kind': 'inpainting', 'direction': 'audio_from_video'},
    'both': 'inpainting',
    'mixture': 'mixture',
}
FUSIONS = ('early', 'separate', 'shared', 'mid')


def settings(encoder, decoder, objective) -> PretrainConfig | None:
    """The smallest model of a combination; None where it is illegal."""

    def tiny(kind):
        num_layers = 2 if kind == 'mid' else 1
        return {'width': 16, 'num_layers': num_layers, 'num_heads': 2, 'mlp_width': 32}

    def fusion(kind):
        return {'kind': 'mid', 'fused_layers': 1} if kind == 'mid' else kind

    try:
        return PretrainConfig(
            backbone=BackboneSpec(**tiny(encoder)),
            decoder=DecoderSpec(**tiny(decoder), fusion=fusion(decoder)),
            encoder=fusion(encoder),
            objective=OBJECTIVES[objective],
            video=VideoSpec(num_frames=2, size_px=32, patch=(2, 8, 8)),
            audio=AudioSpec(seconds=0.32, patch=(16, 16)),
            schedule={
                'learning_rate': 1e-3, 'reference_batch_size': 4, 'batch_size': 4, 'epochs': 1
            },
        )  # fmt: skip
    except ValueError as error:
        assert 'paper, Sec. 3' in str(error)
        return None


COMBINATIONS = [(e, d, o) for e in FUSIONS for d in FUSIONS for o in OBJECTIVES]
LEGAL = [c for c in COMBINATIONS if settings(*c)]
ON_TWO = [  # where XLA compiles twice: every encoder, decoder and objective once at least
    ('early', 'early', 'video_from_audio'),
    ('early', 'mid', 'audio_from_video'),
    ('separate', 'shared', 'joint'),
    ('shared', 'separate', 'joint'),
    ('mid', 'early', 'both'),
    ('mid', 'mid', 'mixture'),
]


def test_as_many_as_the_paper_allows():
    assert len(LEGAL) == 15 + 2 * 4 * 4  # joint; early and mid with every decoder
    assert set(ON_TWO) <= set(LEGAL)
    assert [set(kinds) for kinds in zip(*ON_TWO, strict=True)] == [
        set(kinds) for kinds in zip(*LEGAL, strict=True)
    ]


@pytest.fixture(scope='module')
def process():
    """One process after the other, of a few steps each: XLA keeps all that it has compiled."""
    spawn = multiprocessing.get_context('spawn')
    with spawn.Pool(1, devices.configure_cpu_devices, maxtasksperchild=24) as pool:
        yield pool


@pytest.mark.slow
@pytest.mark.parametrize('combination', LEGAL, ids='-'.join)
def test_a_compiled_step(combination, process):
    replicas = 2 if combination in ON_TWO else 1
    process.apply(take_a_step, [settings(*combination), replicas])


@pytest.mark.slow
def test_a_compiled_step_in_parts_with_rematerialised_blocks_in_bfloat16():
    config = settings('mid', 'shared', 'mixture')
    take_a_step(config.replace(rematerialise=True, precision='mixed_bfloat16'), 2, microbatches=2)


def take_a_step(config: PretrainConfig, replicas: int, microbatches: int = 1):
    """One step, compiled, on one or two replicas; it must move what has a gradient."""
    one = tf.distribute.OneDeviceStrategy('CPU:0')
    strategy = one if replicas == 1 else devices.default_strategy()
    task = PretrainTask(config, dataset=None)
    with strategy.scope():
        model = task.build()
        variables = task.trainables(model)
        optimizer = make_optimizer(config.optimizer, 1e-3)
        create_slots(optimizer, variables)
    inputs = {
        m: tf.random.stateless_normal(x.shape, [i, 1])
        for i, (m, x) in enumerate(blank_inputs(config, 2).items())
    }

    @tf.function(jit_compile=True, autograph=False)
    def gradients(seed):
        draws = Draws(seed, tf.range(2), 2)
        return mean_gradients(task, model, variables, inputs, draws, microbatches)

    @tf.function(autograph=False)
    def step():
        def replica():
            context = tf.distribute.get_replica_context()
            seed = tf.stack([0, context.replica_id_in_sync_group])
            scalars, local = gradients(seed)
            means = context.all_reduce(tf.distribute.ReduceOp.MEAN, local)
            optimizer.apply_gradients(
                zip(means, variables, strict=True), experimental_aggregate_gradients=False
            )
            return scalars

        return strategy.run(replica)

    before = [v.numpy() for v in variables]
    losses = strategy.experimental_local_results(step()['loss'])
    assert len(losses) == replicas and all(np.isfinite(loss.numpy()) for loss in losses)
    moved = [not np.array_equal(a, b.numpy()) for a, b in zip(before, variables, strict=True)]
    assert any(moved)
    for variable in variables:
        copies = strategy.experimental_local_results(variable)
        assert len(copies) == replicas
        np.testing.assert_array_equal(copies[0].numpy(), copies[-1].numpy())
