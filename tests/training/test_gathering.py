"""A run with the contrastive objective on two devices, whose replicas gather from each other."""

import numpy as np
import pytest

from avmae_tf.config import RunSpec
from avmae_tf.training import devices, loop
from avmae_tf.training.checkpoints import RunFolder
from avmae_tf.training.tasks import PretrainTask


@pytest.fixture(scope='module')
def task(pretrain_config, dataset):
    smaller = {
        'backbone': pretrain_config.backbone.replace(num_layers=2),
        'decoder': pretrain_config.decoder.replace(num_layers=1),
        'objective': {'kind': 'contrastive', 'weight': 0.5},
        'schedule': pretrain_config.schedule.replace(epochs=1, warmup_epochs=0),
    }
    return PretrainTask(pretrain_config.replace(**smaller), dataset)


@pytest.mark.slow
def test_two_devices_learn_and_test_with_the_clips_of_both(task, records, tmp_path):
    strategy = devices.default_strategy()
    assert strategy.num_replicas_in_sync == 2
    scalars = loop.train(task, records, RunFolder(str(tmp_path)), strategy=strategy)
    assert set(scalars) >= set(task.eval_names)
    reconstruction = 0.5 * scalars['loss_video'] + 0.5 * scalars['loss_audio']
    expected = reconstruction + 0.5 * scalars['loss_contrastive']
    np.testing.assert_allclose(scalars['loss'], expected, rtol=1e-5)
    # among eight clips, four of each replica: a guess has log 8, and among four at most log 4
    assert scalars['loss_contrastive'] > np.log(4)


def test_replicas_that_gather_are_not_compiled_by_themselves(task, records, tmp_path):
    with pytest.raises(ValueError, match=r"of 2 replicas by itself, and the objective 'contrast"):
        loop.train(
            task, records, RunFolder(str(tmp_path)), run=RunSpec(jit_compile=True),
            strategy=devices.default_strategy(),
        )  # fmt: skip
