"""A run with the contrastive objective on two devices, whose replicas gather from each other."""

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.config import RunSpec
from avmae_tf.training import devices, loop
from avmae_tf.training.checkpoints import RunFolder, load_model
from avmae_tf.training.tasks import PretrainTask

pytestmark = pytest.mark.usefixtures('unwatched')


@pytest.fixture(scope='module')
def task(pretrain_config, dataset):
    smaller = {
        'backbone': pretrain_config.backbone.replace(num_layers=2),
        'decoder': pretrain_config.decoder.replace(num_layers=1),
        'objective': {'kind': 'contrastive', 'weight': 1.0},
        'optimizer': 'sgd',  # Adam would make steps of what is nothing but rounding
        'schedule': pretrain_config.schedule.replace(learning_rate=0.02, epochs=1, warmup_epochs=0),
    }
    return PretrainTask(pretrain_config.replace(**smaller), dataset)


@pytest.mark.slow
def test_two_devices_learn_what_one_does_since_each_has_the_clips_of_both(task, records, tmp_path):
    def learned(strategy, name):
        folder = RunFolder(str(tmp_path / name))
        scalars = loop.train(task, records, folder, strategy=strategy)
        return scalars, [v.numpy() for v in load_model(folder.model).trainable_variables]

    two = devices.default_strategy()
    assert two.num_replicas_in_sync == 2
    scalars, weights = learned(two, 'two')
    _, expected = learned(tf.distribute.OneDeviceStrategy('CPU:0'), 'one')
    tf.keras.utils.set_random_seed(task.config.seed)
    start = [v.numpy() for v in task.build().trainable_variables]
    moved = max(np.abs(a - b).max() for a, b in zip(expected, start, strict=True))
    apart = max(np.abs(a - b).max() for a, b in zip(expected, weights, strict=True))
    assert apart < 1e-3 * moved

    assert set(scalars) >= set(task.eval_names)
    reconstruction = 0.5 * scalars['loss_video'] + 0.5 * scalars['loss_audio']
    np.testing.assert_allclose(
        scalars['loss'], reconstruction + scalars['loss_contrastive'], rtol=1e-5
    )


def test_replicas_that_gather_are_not_compiled_by_themselves(task, records, tmp_path):
    with pytest.raises(ValueError, match=r"of 2 replicas by itself, and the objective 'contrast"):
        loop.train(
            task, records, RunFolder(str(tmp_path)), run=RunSpec(jit_compile=True),
            strategy=devices.default_strategy(),
        )  # fmt: skip
