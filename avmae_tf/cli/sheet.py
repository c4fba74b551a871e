"""A contact sheet: in every row some frames of a clip beside its spectrogram."""

import tensorflow as tf

from avmae_tf.cli.figures import save
from avmae_tf.config.heads import HEADS, Classes
from avmae_tf.data.records import measure_record
from avmae_tf.data.survey import names_of
from avmae_tf.training.monitoring.clips import sheet


def _labels(record: bytes, classes: Classes) -> str:
    """Labels of all heads; of several heads each with its name, of a run of equals the first."""
    clip = tf.nest.map_structure(lambda x: x.numpy(), measure_record(record))
    names = {head: names_of(clip, head, classes.get(head, ())) for head in HEADS}
    parts = {head: ', '.join(dict.fromkeys(labels)) for head, labels in names.items() if labels}
    if len(parts) > 1:
        return '; '.join(f'{head} {text}' for head, text in parts.items())
    return next(iter(parts.values()), 'no label')


def draw_sheet(records: list[bytes], classes: Classes, path: str) -> None:
    """Serialized clips to a PNG, one in a row: frames over its length, log-mel over seconds."""
    save(sheet(records, [_labels(record, classes) for record in records]), path)
