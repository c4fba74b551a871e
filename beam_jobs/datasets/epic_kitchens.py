"""EPIC-KITCHENS-100: 90,000 actions in 700 long videos, each a verb (97) and a noun (300).

Videos are `P01/videos/P01_01.MP4`, or in any other folder by that name.
"""

from collections.abc import Iterator

from avmae_tf.config.heads import NOUN, VERB
from avmae_tf.config.splits import EVAL, TRAIN
from avmae_tf.storage import is_folder
from beam_jobs.annotations import (
    Annotation,
    Published,
    file_in,
    filled,
    note_once,
    optional_file,
    present,
    read_table,
    seconds,
    whole,
)
from beam_jobs.labels import fold_spelling
from beam_jobs.videos import VideoIndex

ACTIONS = {'EPIC_100_train.csv': TRAIN, 'EPIC_100_validation.csv': EVAL}  # file: split
CLASSES = {  # head: (file of its names, how many classes there are)
    NOUN: ('EPIC_100_noun_classes.csv', 300),
    VERB: ('EPIC_100_verb_classes.csv', 97),
}
COLUMNS = (
    *('narration_id', 'video_id', 'start_timestamp', 'stop_timestamp', 'verb_class', 'noun_class'),
)

HEADS = (NOUN, VERB)  # that its clips have labels for


def read(annotations: str | None) -> Published:
    """EPIC-KITCHENS-100 by its published files; raises ValueError that names what is wrong."""
    if not annotations or not is_folder(annotations):
        raise ValueError(
            f'{annotations or "no annotations"}: must be a folder that holds '
            f'{" and ".join(ACTIONS)}'
        )
    file_in(annotations, *ACTIONS)
    names = {head: _names(annotations, head) for head in CLASSES}
    return Published(_clips(annotations, names), names, VideoIndex.by_stem)


def _names(folder: str, head: str) -> list[str]:
    """Classes in the order of their indices: named where names are published, else by number."""
    file, count = CLASSES[head]
    names = [str(i) for i in range(count)]
    ids: dict[str, str] = {}
    keys: dict[str, str] = {}
    if path := optional_file(folder, file):
        for where, fields in read_table(path, ('id', 'key')):
            index = whole(fields['id'], 'id', where, count)
            key = filled(fields['key'], 'key', where)
            note_once(ids, str(index), 'id', where)
            note_once(keys, fold_spelling(key), 'key', where)
            names[index] = key
    return names


def _clips(folder: str, names: dict[str, list[str]]) -> Iterator[Annotation]:
    for path, split in present(folder, ACTIONS):
        for where, row in read_table(path, COLUMNS):
            labels = {
                head: (names[head][whole(row[column], column, where, len(names[head]))],)
                for head, column in ((NOUN, 'noun_class'), (VERB, 'verb_class'))
            }
            first, last = (
                seconds(row[name], name, where) for name in ('start_timestamp', 'stop_timestamp')
            )
            video, key = (filled(row[name], name, where) for name in ('video_id', 'narration_id'))
            yield Annotation(video, split, labels, first, last, key, where)
