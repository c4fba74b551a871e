"""Steps as HLO: whole, with variables as arguments, and named where XLA lacks something."""

import pytest
import tensorflow as tf
from tensorflow.compiler.xla.service import hlo_pb2

from avmae_tf.config import splits
from avmae_tf.models.builders import build_avmae
from avmae_tf.tpu import lowering


@pytest.fixture(scope='module')
def config(pretrain_config):
    schedule = pretrain_config.schedule.replace(batch_size=2)
    return pretrain_config.replace(
        schedule=schedule,
        modalities=('audio',),
        encoder='shared',
        backbone=pretrain_config.backbone.replace(num_layers=1),
        decoder=pretrain_config.decoder.replace(num_layers=1),
    )


@pytest.mark.slow
def test_a_step_is_lowered_whole_with_weights_and_the_optimizers_state_as_arguments(config):
    train, test = lowering.lowered(config, {})
    assert (train.step, test.step) == splits.USED and not train.refused + test.refused
    weights = [tuple(v.shape) for v in build_avmae(config).trainable_variables]
    for lowered, copies in ((train, 3), (test, 1)):  # of Adam two more
        module = hlo_pb2.HloModuleProto.FromString(lowered.module)
        given = [tuple(x.dimensions) for x in module.host_program_shape.parameters]
        for shape in set(weights) - {()}:
            assert given.count(shape) >= copies * weights.count(shape)
        (clips,) = (x for x in given if x[:1] == (2,) and len(x) >= 4)
        assert clips[-3:] == config.audio.input_shape
        opcodes = {i.opcode for c in module.computations for i in c.instructions}
        assert 'dot' in opcodes and 'copy' not in opcodes


def test_an_operation_that_xla_lacks_is_refused_by_name():
    def step(batch):
        return tf.strings.to_number(tf.strings.format('{}', batch['x']))

    found = lowering.lower('train', step, {'x': tf.TensorSpec([2])})
    assert found.refused == 'StringFormat' and not found.module
