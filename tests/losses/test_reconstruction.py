"""The loss of the best constant patch, which a model must beat, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.losses.reconstruction import MeanPatchLoss, ReconstructionLoss
from avmae_tf.models.avmae import Reconstruction
from avmae_tf.training import devices

CLIPS, TOKENS, VALUES = 6, 3, {'video': 5, 'audio': 2}
WEIGHT = np.float32([1, 1, 1, 1, 1, 0])  # the last one fills up the batch
SHARES = np.float32([0.2, 0.3, 0.1])  # as of a part of a mixture


@pytest.fixture(scope='module')
def targets() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {m: random.normal(3, 2, [CLIPS, TOKENS, n]).astype('f') for m, n in VALUES.items()}


def of_best_constant(target: np.ndarray, *, mean_over_patch: bool) -> float:
    """Eq. 1 of the best constant on the clips that count."""
    weights = WEIGHT[:, None, None] * SHARES[:, None]
    constant = (weights * target).sum((0, 1)) / weights.sum()
    loss = (weights * (target - constant) ** 2).sum() / WEIGHT.sum()
    return loss / target.shape[-1] if mean_over_patch else loss


@pytest.mark.parametrize('mean_over_patch', [True, False])
def test_the_mean_patch_is_that_of_all_clips_whatever_batches_and_replicas_they_come_in(
    targets, pretrain_config, mean_over_patch
):
    config = pretrain_config.replace(mean_over_patch=mean_over_patch, video_weight=0.8)
    losses = ReconstructionLoss(config)
    outcome = Reconstruction({}, targets, {}, dict.fromkeys(targets, tf.constant(SHARES)))
    moments = losses.mean_patch_moments(outcome)
    video, audio = (
        of_best_constant(targets[m], mean_over_patch=mean_over_patch) for m in ('video', 'audio')
    )
    expected = {
        'mean_patch_loss': 0.8 * video + 0.5 * audio,
        'mean_patch_loss_video': video,
        'mean_patch_loss_audio': audio,
    }
    assert moments.keys() == expected.keys() == losses.mean_patch_metrics().keys()
    strategy = devices.default_strategy()
    assert strategy.num_replicas_in_sync == 2
    for name, values in moments.items():
        for size in (6, 2, 1):  # clips of a replica at a time
            with strategy.scope():
                metric = MeanPatchLoss(name, values.shape[1])

            def parts(x, first, size=size):
                return strategy.experimental_distribute_values_from_function(
                    lambda context: tf.constant(
                        x[first + size * context.replica_id_in_sync_group :][:size]
                    )
                )

            for first in range(0, CLIPS, 2 * size):
                strategy.run(metric.update_state, args=(parts(values, first), parts(WEIGHT, first)))
            assert float(metric.result()) == pytest.approx(expected[name], rel=1e-5)
            metric.reset_state()
            assert float(metric.result()) == 0.0
