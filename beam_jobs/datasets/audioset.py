"""AudioSet: two million clips of 10 s from YouTube, each with one or several of 527 classes.

The published segment files have lines `YTID, start, end, "mid,mid"` after three of comments;
`class_labels_indices.csv` gives the index and the name of each mid.
"""

import json
from collections.abc import Iterator

from avmae_tf.config.heads import LABEL
from avmae_tf.config.splits import EVAL, TRAIN
from avmae_tf.storage import is_folder, open_text
from beam_jobs.annotations import (
    Annotation,
    Published,
    file_in,
    filled,
    note_once,
    optional_file,
    present,
    read_lines,
    read_table,
    seconds,
    whole,
)
from beam_jobs.labels import fold_spelling
from beam_jobs.videos import VideoIndex

HEADS = (LABEL,)  # that its clips have labels for

SEGMENTS = {  # file: split
    'balanced_train_segments.csv': TRAIN,
    'unbalanced_train_segments.csv': TRAIN,
    'eval_segments.csv': EVAL,
}
CLASSES, ONTOLOGY = 'class_labels_indices.csv', 'ontology.json'


def read(annotations: str | None) -> Published:
    """AudioSet by its published files; raises ValueError that names what is missing or wrong."""
    if not annotations or not is_folder(annotations):
        raise ValueError(
            f'{annotations or "no annotations"}: must be a folder that holds {CLASSES} and '
            f'{", ".join(SEGMENTS)}, or some of them'
        )
    file_in(annotations, *SEGMENTS)
    names = _names(file_in(annotations, CLASSES))
    return Published(_clips(annotations, names), {LABEL: [*names.values()]}, VideoIndex.by_segment)


def _names(path: str) -> dict[str, str]:
    """Names by mid, in the order of their indices; of two alike, the mid tells them apart."""
    rows = [*read_table(path, ('index', 'mid', 'display_name'))]
    mids: dict[str, str] = {}
    for where, fields in rows:
        note_once(mids, filled(fields['mid'], 'mid', where), 'mid', where)
    indices = [whole(fields['index'], 'index', where, len(rows)) for where, fields in rows]
    if sorted(indices) != [*range(len(rows))]:
        raise ValueError(f'{path}: every index must be there once, from 0 on')
    rows = [row for _, row in sorted(zip(indices, rows, strict=True))]
    names = [fields['display_name'] for _, fields in rows]
    texts = [*map(fold_spelling, names)]
    return {
        fields['mid']: name if texts.count(text) == 1 else f'{name} ({fields["mid"]})'
        for (_, fields), name, text in zip(rows, names, texts, strict=True)
    }


def _clips(folder: str, names: dict[str, str]) -> Iterator[Annotation]:
    for path, split in present(folder, SEGMENTS):
        for where, (video, start, end, mids) in read_lines(path, 4):
            try:
                labels = tuple(names[mid.strip()] for mid in mids.split(','))
            except KeyError as error:
                raise ValueError(f'{where}: {_unknown(folder, error.args[0], names)}') from None
            filled(video, 'YTID', where)
            first, last = seconds(start, 'start', where), seconds(end, 'end', where)
            yield Annotation(video, split, {LABEL: labels}, first, last, where=where)


def _unknown(folder: str, mid: str, names: dict[str, str]) -> str:
    if path := optional_file(folder, ONTOLOGY):
        called = _ontology(path)
        mid = f'{mid} ({called.get(mid, "not in the ontology either")})'
    return f'{mid} is none of the {len(names)} classes of {CLASSES}'


def _ontology(path: str) -> dict[str, str]:
    """Names by mid, of more classes than have an index."""
    with open_text(path) as f:
        try:
            return {entry['id']: entry['name'] for entry in json.load(f)}
        except (ValueError, LookupError, TypeError) as error:
            what = 'must be a JSON list of classes with id and name, as published'
            raise ValueError(f'{path}: {what}, got {type(error).__name__}: {error}') from None
