"""A tree of videos and a CSV `path[,label][,start,end][,split]`, or no annotations at all.

Paths are relative to the folder of videos; several labels of a clip are separated by `|`. Where
`classes.txt` lies beside the CSV, its lines are the classes in the order of their indices. Without
annotations every video below the folder is an unlabelled clip.
"""

import os
from collections.abc import Iterator

from avmae_tf.config.heads import LABEL
from avmae_tf.storage import exists, is_folder
from beam_jobs.annotations import (
    Annotation,
    Published,
    filled,
    note_once,
    open_annotations,
    optional_file,
    read_table,
    seconds,
)
from beam_jobs.labels import fold_spelling
from beam_jobs.manifests import LABEL_SEPARATOR
from beam_jobs.videos import VideoIndex

HEADS = (LABEL,)  # that its clips have labels for

COLUMNS = ('path', 'label', 'start', 'end', 'split')
CLASSES = 'classes.txt'


def read(annotations: str | None) -> Published:
    """Clips of the CSV `annotations`, or of every video if None; raises ValueError by line."""
    if annotations is None:
        return Published(None, {}, VideoIndex.by_name)
    if is_folder(annotations) or not exists(annotations):
        raise ValueError(f'{annotations}: no such annotation file')
    path = optional_file(os.path.dirname(annotations) or '.', CLASSES)
    classes = _classes(path) if path else ()
    one_clip = f'several labels of a clip go in one line, separated by {LABEL_SEPARATOR}'
    return Published(_clips(annotations), {LABEL: classes}, VideoIndex.by_name, one_clip)


def _classes(path: str) -> tuple[str, ...]:
    names: list[str] = []
    seen: dict[str, str] = {}
    with open_annotations(path) as lines:
        for number, line in enumerate(lines, 1):
            if name := line.strip():
                note_once(seen, fold_spelling(name), 'a class', f'{path}, line {number}')
                names.append(name)
    return tuple(names)


def _clips(path: str) -> Iterator[Annotation]:
    for where, fields in read_table(path, ('path',), COLUMNS):
        labels = tuple(filter(None, map(str.strip, fields.get('label', '').split(LABEL_SEPARATOR))))
        first, last = (
            seconds(fields[name], name, where) if fields.get(name) else None
            for name in ('start', 'end')
        )
        yield Annotation(
            os.path.normpath(filled(fields['path'], 'path', where)),
            fields.get('split', ''),
            {LABEL: labels} if labels else {},
            first,
            last,
            where=where,
        )
