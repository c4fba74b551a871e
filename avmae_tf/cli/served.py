"""A pushed SavedModel as a client would use it: video files in, labels or embeddings out."""

import os

import numpy as np
import tensorflow as tf

from avmae_tf.training.export import CLIP_SIGNATURE, EMBED_SIGNATURE, read_served_media
from beam_jobs.media import UnusableClip, decode_clip


def latest_version(folder: str) -> str:
    """`folder` itself if it is a SavedModel, else its highest-numbered version.

    Raises:
        ValueError: there is neither.
    """
    if tf.saved_model.contains_saved_model(folder):
        return folder
    names = tf.io.gfile.listdir(folder) if tf.io.gfile.isdir(folder) else []
    versions = [name.rstrip('/') for name in names if name.rstrip('/').isdigit()]
    if not versions:
        raise ValueError(f'{folder}: neither a SavedModel nor a folder of numbered versions')
    return os.path.join(folder, max(versions, key=int))


class ServedModel:
    """The signatures of a SavedModel, fed with clips decoded as its training clips were."""

    def __init__(self, folder: str):
        self.folder = latest_version(folder)
        self.media = read_served_media(self.folder).replace(required=())
        self.model = tf.saved_model.load(self.folder)

    def _call(self, signature: str, path: str) -> dict[str, tf.Tensor]:
        clip = decode_clip(path, self.media)
        return self.model.signatures[signature](
            frames=tf.constant([clip.frames], tf.string, shape=[1, len(clip.frames)]),
            frames_per_second=tf.constant([self.media.frames_per_second]),
            waveform=tf.constant(clip.waveform[None].astype(np.float32) / 32768.0),
        )

    def predict(self, path: str, top: int) -> dict:
        """{'clip', 'scores': [[label, score], ...]}, or {'clip', 'error'}."""
        try:
            answer = self._call(CLIP_SIGNATURE, path)
        except UnusableClip as error:
            return {'clip': path, 'error': error.detail}
        scores, labels = answer['scores'][0].numpy(), answer['labels'][0].numpy()
        best = scores.argsort()[::-1][:top]
        return {'clip': path, 'scores': [[labels[i].decode(), float(scores[i])] for i in best]}

    def embed(self, path: str) -> dict:
        """{'clip', 'embedding': [...]}, or {'clip', 'error'}."""
        try:
            answer = self._call(EMBED_SIGNATURE, path)
        except UnusableClip as error:
            return {'clip': path, 'error': error.detail}
        return {'clip': path, 'embedding': answer['embedding'][0].numpy().tolist()}
