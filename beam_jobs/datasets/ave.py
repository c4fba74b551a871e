"""AVE: 4,000 videos of 10 s; each second is one of 28 audiovisual events, or background.

`Annotations.txt`, `trainSet.txt`, `valSet.txt` and `testSet.txt` have lines
`Category&VideoID&Quality&StartTime&EndTime`: seconds from StartTime up to EndTime are the event.
"""

import os
from collections.abc import Iterator

from avmae_tf.config.heads import EVENT, EVENT_SECONDS
from avmae_tf.config.splits import EVAL, TEST, TRAIN
from avmae_tf.storage import is_folder
from beam_jobs.annotations import (
    Annotation,
    Published,
    file_in,
    filled,
    present,
    read_lines,
    whole,
)
from beam_jobs.labels import fold_spelling
from beam_jobs.videos import VideoIndex

HEADS = (EVENT,)  # that its clips have labels for

ALL = 'Annotations.txt'
SPLITS = {'trainSet.txt': TRAIN, 'valSet.txt': EVAL, 'testSet.txt': TEST}  # file: split
BACKGROUND = 'background'  # the last class
HEADER = 'Category'


def read(annotations: str | None) -> Published:
    """AVE by its published files; raises ValueError that names what is missing or wrong."""
    path = file_in(annotations, ALL, *SPLITS)
    folder = annotations if annotations and is_folder(annotations) else None
    files = dict(present(folder, SPLITS)) if folder else {}
    naming = files if os.path.basename(path) in files else [path]  # where there is ALL, it alone
    spelled = {fields[0] for file in naming for _, fields in _events(file)}
    categories = {fold_spelling(name): name for name in sorted(spelled)}
    return Published(
        _clips(files or {path: ''}),
        {EVENT: [*(categories[name] for name in sorted(categories)), BACKGROUND]},
        VideoIndex.by_stem,
    )


def _events(path: str) -> Iterator[tuple[str, list[str]]]:
    for where, fields in read_lines(path, 5, delimiter='&'):
        if fields[0] == HEADER:
            continue
        filled(fields[1], 'VideoID', where)
        if fold_spelling(filled(fields[0], 'Category', where)) == BACKGROUND:
            raise ValueError(f'{where}: Category must be an event, got {fields[0]!r}')
        yield where, fields


def _clips(files: dict[str, str]) -> Iterator[Annotation]:
    """A clip for each video and category, with all events of that category in it."""
    seconds: dict[tuple[str, str, str], tuple[list[str], str]] = {}
    for path, split in files.items():
        for where, (category, video, _, start, end) in _events(path):
            clip = seconds.setdefault(
                (split, video, category), ([BACKGROUND] * EVENT_SECONDS, where)
            )
            first = whole(start, 'StartTime', where, EVENT_SECONDS)
            last = whole(end, 'EndTime', where, EVENT_SECONDS + 1)
            if first >= last:
                raise ValueError(f'{where}: StartTime must be before EndTime, got {start}, {end}')
            clip[0][first:last] = [category] * (last - first)
    for (split, video, category), (events, where) in seconds.items():
        yield Annotation(
            video, split, {EVENT: tuple(events)}, key=f'{video}#{category}', where=where
        )
