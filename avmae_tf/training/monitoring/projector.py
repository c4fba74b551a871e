"""Embeddings of held-out clips for TensorBoard's projector, with thumbnails and classes.

Shapes: N clips, D width of all modalities, T frames or spectrogram frames.
"""

import os
from collections.abc import Sequence

import cv2
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorboard.plugins.projector import ProjectorConfig
from tensorboard.plugins.projector.metadata import PROJECTOR_FILENAME

from avmae_tf.config import AUDIO, VIDEO
from avmae_tf.config.heads import HEADS, Classes
from avmae_tf.models.patches import to_values
from avmae_tf.storage import replaced, write_text, written
from avmae_tf.training import visuals
from avmae_tf.training.actions import Running, Scalars
from avmae_tf.training.monitoring.occasional import Occasional

NUM_CLIPS, BATCH = 256, 8
SIDE_PX = 64  # of a thumbnail
METADATA_FILE, SPRITE_FILE, TENSOR_FILE = 'metadata.tsv', 'thumbnails.png', 'embeddings.tsv'


def thumbnail(inputs: dict[str, np.ndarray]) -> np.ndarray:
    """The middle frame of a clip, or its spectrogram, uint8 [SIDE_PX, SIDE_PX, 3]."""
    if VIDEO in inputs:
        frame = inputs[VIDEO][len(inputs[VIDEO]) // 2]
        picture = np.clip((frame + 1.0) * 127.5, 0, 255).astype(np.uint8)
    else:
        picture = visuals.spectrogram_picture(inputs[AUDIO])
    return cv2.resize(picture, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)


def sprite(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of one size as a square of them, row by row, what is left over black."""
    side = int(np.ceil(np.sqrt(len(pictures))))
    blank = [np.zeros_like(pictures[0])] * (side * side - len(pictures))
    cells = [*pictures, *blank]
    rows = [np.concatenate(cells[i : i + side], axis=1) for i in range(0, side * side, side)]
    return np.concatenate(rows)


def metadata(targets: dict[str, np.ndarray], classes: Classes, count: int) -> str:
    """A line of tabbed columns for each of `count` clips: its labels by head, and its number."""
    heads = [head for head in HEADS if head in targets]
    # Of a single column TensorBoard would take a heading for a clip.
    lines = ['\t'.join([*heads, 'clip'])] if heads else []
    for i in range(count):
        cells = []
        for head in heads:
            given = targets[head][i].reshape(-1, len(classes[head])).max(axis=0)
            names = [classes[head][k] for k in np.flatnonzero(given)]
            cells.append(' '.join(', '.join(names).split()) or 'no label')
        lines.append('\t'.join([*cells, str(i)]))
    return '\n'.join(lines) + '\n'


def side_by_side(embedded: dict[str, tf.Tensor]) -> np.ndarray:
    """What a model's `embed` gives by modality to one array [N, D]; of segments their mean."""
    joined = np.concatenate([tf.cast(x, tf.float32).numpy() for x in embedded.values()], axis=-1)
    return joined if joined.ndim == 2 else joined.mean(axis=1)


class Projector(Occasional):
    """The first held-out clips where the encoder puts them; every time anew, in the same files."""

    cost = 20.0

    def __init__(self, running: Running):
        super().__init__(running)
        self._config = ProjectorConfig()

    def after_test(self, step: int, scalars: Scalars) -> None:
        if self.is_due(step):
            with self.doing(step):
                self._write(step)

    def _write(self, step: int):
        trainer, logs = self.running.trainer, self.running.logs
        dataset, modalities = trainer.task.dataset, trainer.task.config.modalities
        points, pictures, targets = [], [], []
        for batch in trainer.held_out(NUM_CLIPS, BATCH):
            kept = batch['weight'].numpy() > 0
            inputs = {m: to_values(batch[m][:, 0]) for m in modalities}
            points.append(side_by_side(trainer.embed(inputs))[kept])
            targets.append({h: batch[h].numpy()[kept] for h in dataset.heads})
            shown = {m: x.numpy()[kept] for m, x in inputs.items()}
            pictures += [thumbnail({m: x[i] for m, x in shown.items()}) for i in range(kept.sum())]
        by_head = {h: np.concatenate([t[h] for t in targets]) for h in dataset.heads}
        if not self._config.embeddings:
            lines = metadata(by_head, dataset.heads, len(pictures))
            write_text(os.path.join(logs, METADATA_FILE), lines)
            with replaced(os.path.join(logs, SPRITE_FILE)) as name, open(name, 'wb') as f:
                f.write(tf.io.encode_png(sprite(pictures)).numpy())
        with written(os.path.join(logs, TENSOR_FILE)) as f:
            np.savetxt(f, np.concatenate(points), fmt='%.5g', delimiter='\t')
        self._describe(step)

    def _describe(self, step: int):
        """Names the step: TensorBoard reads a tensor again where its name has changed."""
        del self._config.embeddings[:]
        embedding = self._config.embeddings.add()
        embedding.tensor_name = f'held-out clips at step {step}'
        embedding.tensor_path = TENSOR_FILE
        embedding.metadata_path = METADATA_FILE
        embedding.sprite.image_path = SPRITE_FILE
        embedding.sprite.single_image_dim.extend([SIDE_PX, SIDE_PX])
        path = os.path.join(self.running.logs, PROJECTOR_FILENAME)
        write_text(path, text_format.MessageToString(self._config))
