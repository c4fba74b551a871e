"""A pushed SavedModel as a client would use it: video files in, labels or embeddings out.

Shapes: C classes, S seconds.
"""

import itertools

import numpy as np
import tensorflow as tf

from avmae_tf.config import SAMPLE_RATE_HZ
from avmae_tf.data.heads import EVENT, EVENT_SECONDS, NOUN, VERB
from avmae_tf.training.export import (
    CLIP_SIGNATURE,
    EMBED_SIGNATURE,
    describe_served,
    latest_version,
    output_keys,
)
from beam_jobs.media import Clip, UnusableClip, decode_clip

ACTION_SCORES, EVENTS = 'action_scores', 'events'


class ServedModel:
    """The signatures of a SavedModel, fed with clips decoded as its training clips were."""

    def __init__(self, folder: str):
        self.folder = latest_version(folder)
        description = describe_served(self.folder)
        self.heads = description.heads
        self.media = description.media.replace(required=())
        self.model = tf.saved_model.load(self.folder)

    def predict(self, path: str, top: int) -> dict:
        """What a clip shows and sounds like; {'clip', 'error'} where it cannot be decoded.

        One head       {'clip', 'scores': [[label, score], ...]}, the best `top` of them
        several heads  {'clip', 'noun_scores': ..., 'verb_scores': ..., 'action_scores': ...};
                       an action is the verb, a space, and the noun
        events         {'clip', 'events': [[first second, end, label], ...]}: runs of seconds
        """
        try:
            clip = decode_clip(path, self.media)
        except UnusableClip as error:
            return {'clip': path, 'error': error.detail}
        if EVENT in self.heads:
            return {'clip': path, EVENTS: self._events(clip)}
        answer = self._call(CLIP_SIGNATURE, clip)
        keys = {head: output_keys(head, self.heads)[0] for head in self.heads}
        scores = {head: answer[key][0].numpy() for head, key in keys.items()}
        found = {keys[h]: best_classes(scores[h], self.heads[h], top) for h in self.heads}
        if {NOUN, VERB} <= set(self.heads):
            pairs = np.outer(scores[NOUN], scores[VERB]).ravel()
            actions = [f'{verb} {noun}' for noun in self.heads[NOUN] for verb in self.heads[VERB]]
            found[ACTION_SCORES] = best_classes(pairs, actions, top)
        return {'clip': path, **found}

    def embed(self, path: str) -> dict:
        """{'clip', 'embedding': [...]}, or {'clip', 'error'}."""
        try:
            clip = decode_clip(path, self.media)
        except UnusableClip as error:
            return {'clip': path, 'error': error.detail}
        answer = self._call(EMBED_SIGNATURE, clip)
        return {'clip': path, 'embedding': answer['embedding'][0].numpy().tolist()}

    def _call(self, signature: str, clip: Clip, start: int = 0, end: int | None = None):
        """The answer to a part of a clip, in whole seconds."""
        rate = self.media.frames_per_second
        frames = clip.frames[round(start * rate) : None if end is None else round(end * rate)]
        samples = slice(start * SAMPLE_RATE_HZ, None if end is None else end * SAMPLE_RATE_HZ)
        return self.model.signatures[signature](
            frames=tf.constant([frames], tf.string, shape=[1, len(frames)]),
            frames_per_second=tf.constant([rate]),
            waveform=tf.constant(clip.waveform[None, samples].astype(np.float32) / 32768.0),
        )

    def _events(self, clip: Clip) -> list[list]:
        """Runs of seconds of one class: the model sees ten seconds at a time, the last ones last.

        A clip shorter than that goes round, and the seconds of its second round are left out.
        """
        seconds = max(round((clip.end_us - clip.start_us) / 1e6), 1)
        classes = []
        for start in range(0, seconds, EVENT_SECONDS):
            start = max(min(start, seconds - EVENT_SECONDS), 0)
            scores = self._call(CLIP_SIGNATURE, clip, start, start + EVENT_SECONDS)['scores'][0]
            classes += scores.numpy().argmax(axis=-1)[len(classes) - start :].tolist()
        return runs([self.heads[EVENT][index] for index in classes[:seconds]])


def best_classes(scores: np.ndarray, classes: tuple[str, ...], top: int) -> list[list]:
    """The `top` best classes as [class, score]."""
    return [[classes[i], float(scores[i])] for i in scores.argsort()[::-1][:top]]


def runs(labels: list[str]) -> list[list]:
    """Labels of seconds [S] as [first second, end, label] of every run of equal ones."""
    found, second = [], 0
    for label, equal in itertools.groupby(labels):
        end = second + len(list(equal))
        found.append([second, end, label])
        second = end
    return found
