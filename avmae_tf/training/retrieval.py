"""Embeddings by modality of the clips of a split, by a pretrained model.

Shapes: B clips of a batch, N clips that have both modalities, D width.
"""

import numpy as np
import tensorflow as tf

from avmae_tf.config import MODALITIES, PretrainConfig
from avmae_tf.data.dataset import Dataset, damage_named
from avmae_tf.data.inputs import eval_batches
from avmae_tf.losses.contrastive import has_both
from avmae_tf.training.checkpoints import load_model

MAX_BATCH_SIZE = 16  # nothing is masked here, so that the batch of a pretraining might not fit


def check_pair(config: PretrainConfig, folder: str) -> None:
    """Raises ValueError where the model in `folder` has one modality only."""
    if len(config.modalities) < len(MODALITIES):
        raise ValueError(
            f'{folder}: retrieval is from one modality to the other, and this model has '
            f'modalities={config.modalities}'
        )


def embed_clips(
    folder: str, records: str, dataset: Dataset, split: str
) -> tuple[dict[str, np.ndarray], int]:
    """Embeddings [N, D] by modality, of the window in the middle of each clip of `split`.

    Each modality is encoded whole and without the other. Beside them how many clips were left out
    since they lack one.

    Raises:
        ValueError: the model's weights or the records are damaged.
    """
    model = load_model(folder)
    config = model.config
    size = min(config.schedule.batch_size, MAX_BATCH_SIZE)
    batches = eval_batches(records, dataset, config, batch_size=size, num_views=1, split=split)

    @tf.function(autograph=False)
    def embed(batch):
        inputs = {m: batch[m][:, 0] for m in MODALITIES}
        return model.embed(inputs), has_both(inputs) * batch['weight']

    found: dict[str, list] = {m: [] for m in MODALITIES}
    with damage_named():
        for batch in batches:
            pooled, weight = embed(batch)
            for m, x in pooled.items():
                found[m].append(x.numpy()[weight.numpy() > 0])
    embeddings = {m: np.concatenate(x) for m, x in found.items()}
    return embeddings, dataset.num_examples(split) - len(embeddings[MODALITIES[0]])
