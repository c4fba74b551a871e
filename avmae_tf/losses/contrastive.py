"""InfoNCE between the sound and the picture of the clips of a batch, over all replicas.

Shapes: B clips of this replica, A clips of all replicas, D width.
"""

import tensorflow as tf

from avmae_tf.config import AUDIO, MODALITIES, VIDEO, Contrastive

_NEVER = -1e9  # the logit of a clip that is no answer


def gather(x: tf.Tensor) -> tf.Tensor:
    """[B, ...] of each replica to [A, ...], in the order of the replicas.

    Its gradient is the sum over replicas of the gradients of their losses, as it must be where the
    gradients of weights are averaged afterwards.
    """
    context = tf.distribute.get_replica_context()
    return x if context.num_replicas_in_sync == 1 else context.all_gather(x, axis=0)


def has_both(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
    """Which clips [B] have a picture and a sound, 1 or 0: an input that is constant has nothing.

    So is grey or silence in the place of what a clip lacks, and a black picture or digital silence
    of its own, by which nothing could find it either.
    """
    flat = [tf.reshape(inputs[m], [inputs[m].shape[0], -1]) for m in MODALITIES]
    found = [tf.reduce_max(x, axis=1) > tf.reduce_min(x, axis=1) for x in flat]
    return tf.cast(tf.reduce_all(found, axis=0), tf.float32)


def contrastive_loss(
    pooled: dict[str, tf.Tensor], part: tf.Tensor, weight: tf.Tensor, temperature: float
) -> tf.Tensor:
    """-log p of finding a clip's picture by its sound and the reverse, half each, of each clip [B].

    p is a softmax over cosines of `pooled` [B, D] by `temperature`, among the clips of all replicas
    that take `part` [B] (1 or 0). The others have a loss of 0, and those that do are scaled so that
    the mean over all clips of `weight` 1, of all replicas, is the mean over those that take part.
    """
    part *= weight
    video, audio = (tf.math.l2_normalize(pooled[m], axis=-1) for m in (VIDEO, AUDIO))
    width = video.shape[-1]
    everywhere = gather(tf.concat([video, audio, part[:, None], weight[:, None]], axis=-1))
    videos, audios, parts, weights = tf.split(everywhere, [width, width, 1, 1], axis=-1)
    never = _NEVER * (1.0 - tf.transpose(parts))
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    own = replica * tf.shape(part)[0] + tf.range(tf.shape(part)[0])

    def find(by: tf.Tensor, among: tf.Tensor) -> tf.Tensor:
        logits = tf.matmul(by, among, transpose_b=True) / temperature + never
        return tf.nn.sparse_softmax_cross_entropy_with_logits(own, logits)

    scale = tf.math.divide_no_nan(tf.reduce_sum(weights), tf.reduce_sum(parts))
    # A clip that takes no part is not among the answers: its own loss is large, but finite.
    return 0.5 * scale * part * (find(audio, videos) + find(video, audios))


class ContrastiveLoss:
    """The contrastive term of an objective, as its settings want it."""

    def __init__(self, settings: Contrastive):
        self.settings = settings

    def by_clip(
        self, pooled: dict[str, tf.Tensor], inputs: dict[str, tf.Tensor], weight: tf.Tensor
    ) -> tf.Tensor:
        """`contrastive_loss` of each clip [B] that has both modalities in `inputs`."""
        return contrastive_loss(pooled, has_both(inputs), weight, self.settings.temperature)
