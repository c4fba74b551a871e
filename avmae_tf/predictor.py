"""A SavedModel as a client would use it: video files in, labels or embeddings out.

Shapes: C classes, S seconds.
"""

import itertools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from avmae_tf.config import AUDIO, SAMPLE_RATE_HZ, VIDEO
from avmae_tf.config.heads import EVENT, EVENT_SECONDS, NOUN, VERB
from avmae_tf.data.sound import INT16_SCALE
from avmae_tf.training.damage import reading
from avmae_tf.training.export import describe_served, latest_version
from avmae_tf.training.serving import (
    CLIP_SIGNATURE,
    EMBED_SIGNATURE,
    FRAME_RATE,
    FRAMES,
    HAS,
    SOUND,
    output_keys,
    reason_of,
)
from avmae_tf.training.warmup import to_wav
from beam_jobs.media import Clip, UnusableClip
from beam_jobs.workers import decode_clip

ACTION_SCORES, EVENTS = 'action_scores', 'events'
WAVEFORM = 'waveform'  # float samples [B, S], which earlier exports take instead of WAV files


class Refused(Exception):
    """Why the model does not answer."""


class Predictor:
    """The signatures of a SavedModel, fed with clips decoded as its training clips were.

    Args:
        folder: A SavedModel of `avmae export`, or a folder of numbered versions: the last one.

    Attributes:
        heads: Classes by head.
        media: How clips are decoded.

    Raises:
        ValueError: there is no such model, or it is damaged.
    """

    def __init__(self, folder: str):
        if folder.startswith(('http://', 'https://')):
            raise ValueError(f'{folder}: servers are not asked; give the folder of the SavedModel')
        self.folder = latest_version(folder)
        description = describe_served(self.folder)
        self.heads = description.heads
        self.media = description.media.replace(required=())
        with reading(self.folder, 'export the model again'):
            self.model = tf.saved_model.load(self.folder)

    def predict(self, path: str, top: int = 5) -> dict:
        """What a clip shows and sounds like; {'clip', 'error'} where it cannot be decoded.

        All of them with {'has_video', 'has_audio'}, what the clip had.

        One head       {'clip', 'scores': [[label, score], ...]}, the best `top` of them
        several heads  {'clip', 'noun_scores': ..., 'verb_scores': ..., 'action_scores': ...};
                       an action is the verb, a space, and the noun
        events         {'clip', 'events': [[first second, end, label], ...]}: spans of seconds
        """
        return self._answer(path, lambda clip: self._found(clip, top))

    def embed(self, path: str) -> dict:
        """{'clip', 'embedding': [...], 'has_video', 'has_audio'}, or {'clip', 'error'}."""

        def found(clip):
            return {'embedding': self._call(EMBED_SIGNATURE, clip)['embedding'][0].tolist()}

        return self._answer(path, found)

    def _answer(self, path: str, found: Callable[[Clip], dict]) -> dict:
        try:
            clip = decode_clip(path, self.media)
            answer = found(clip)
        except UnusableClip as error:
            return {'clip': path, 'error': error.detail}
        except Refused as error:
            return {'clip': path, 'error': f'{path}: {error}'}
        has = {VIDEO: bool(clip.frames), AUDIO: bool(len(clip.waveform))}
        return {'clip': path, **answer, **{HAS[modality]: has[modality] for modality in HAS}}

    def _found(self, clip: Clip, top: int) -> dict:
        if EVENT in self.heads:
            return {EVENTS: self._events(clip)}
        answer = self._call(CLIP_SIGNATURE, clip)
        keys = {head: output_keys(head, self.heads)[0] for head in self.heads}
        scores = {head: answer[key][0] for head, key in keys.items()}
        found = {keys[h]: best_classes(scores[h], self.heads[h], top) for h in self.heads}
        if {NOUN, VERB} <= set(self.heads):
            pairs = np.outer(scores[NOUN], scores[VERB]).ravel()
            actions = [f'{verb} {noun}' for noun in self.heads[NOUN] for verb in self.heads[VERB]]
            found[ACTION_SCORES] = best_classes(pairs, actions, top)
        return found

    def _call(self, signature: str, clip: Clip, start: int = 0, end: int | None = None):
        """The answer to a part of a clip, in whole seconds; raises Refused if there is none."""
        rate = self.media.frames_per_second
        frames = clip.frames[round(start * rate) : None if end is None else round(end * rate)]
        samples = slice(start * SAMPLE_RATE_HZ, None if end is None else end * SAMPLE_RATE_HZ)
        ask = self.model.signatures[signature]
        waveform = clip.waveform[samples]
        if WAVEFORM in ask.structured_input_signature[1]:
            sound = {WAVEFORM: tf.constant(waveform[None] / INT16_SCALE, tf.float32)}
        else:
            sound = {SOUND: tf.constant([to_wav(waveform)])}
        inputs = {
            FRAMES: tf.constant([frames], tf.string, shape=[1, len(frames)]),
            FRAME_RATE: tf.constant([rate]),
            **sound,
        }
        try:
            answer = ask(**inputs)
        except tf.errors.InvalidArgumentError as error:
            raise Refused(reason_of(error)) from None
        for values in answer.values():
            if values.dtype.is_floating and not tf.reduce_all(tf.math.is_finite(values)):
                raise Refused('the model has no finite answer; its weights may be damaged')
        return {key: value.numpy() for key, value in answer.items()}

    def _events(self, clip: Clip) -> list[list]:
        """Spans of seconds of one class: the model sees ten seconds at a time, the last ones last.

        A clip shorter than that goes round, and the seconds of its second round are left out.
        """
        seconds = max(round((clip.end_us - clip.start_us) / 1e6), 1)
        classes = []
        for start in range(0, seconds, EVENT_SECONDS):
            start = max(min(start, seconds - EVENT_SECONDS), 0)
            scores = self._call(CLIP_SIGNATURE, clip, start, start + EVENT_SECONDS)['scores'][0]
            classes += scores.argmax(axis=-1)[len(classes) - start :].tolist()
        return spans([self.heads[EVENT][index] for index in classes[:seconds]])


def best_classes(scores: np.ndarray, classes: tuple[str, ...], top: int) -> list[list]:
    """The `top` best classes as [class, score]."""
    return [[classes[i], float(scores[i])] for i in scores.argsort()[::-1][:top]]


def spans(labels: list[str]) -> list[list]:
    """Labels of seconds [S] as [first second, end, label] of every span of equal ones."""
    found, second = [], 0
    for label, equal in itertools.groupby(labels):
        end = second + len(list(equal))
        found.append([second, end, label])
        second = end
    return found
