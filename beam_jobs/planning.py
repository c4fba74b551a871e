"""From a published data set and a folder of videos to a manifest."""

import dataclasses
import hashlib

from avmae_tf.data.files import to_bytes
from beam_jobs.annotations import Annotation, Published, open_annotations
from beam_jobs.labels import Matcher
from beam_jobs.manifests import Manifest, Row
from beam_jobs.videos import VideoIndex

TRAIN, EVAL, TEST = 'train', 'eval', 'test'
SPLIT_NAMES = {'training': TRAIN, 'val': EVAL, 'valid': EVAL, 'validation': EVAL}
EVAL_BUCKETS, NUM_BUCKETS = 1, 10  # where the annotations name no split: a tenth is held out


def plan(
    published: Published, index: VideoIndex, *, named: str, subset: str | None = None
) -> Manifest:
    """The manifest of a data set, every clip once, whether its file is there or not.

    Where there is no other split to evaluate on, `test` becomes `eval`. `subset` is a file of
    video ids, one a line: of the training clips, those of other videos are left out.

    Raises:
        ValueError: the annotations (`named`) hold no clip, or something unusable; it names the
            file, the line and the fix.
    """
    match = Matcher(published.heads)
    wanted = read_subset(subset) if subset else None
    rows, repeated, leaked, drawn = {}, 0, set(), True
    clips = published.clips
    if clips is None:
        clips = (Annotation(file.name) for file in index.files)
    for clip in clips:
        split, drawn = split_of(clip), drawn and not clip.split
        try:
            labels = match(clip.labels)  # of all, so that a subset has the classes of the whole
        except ValueError as error:
            raise ValueError(f'{clip.where}: {error}') from None
        if wanted is not None and split == TRAIN and clip.video not in wanted:
            continue
        file, holds = published.find(index, clip.video, clip.start, clip.end)
        key = clip.key or key_of(clip)
        if key in rows:
            repeated += 1
            if rows[key].split != split:
                leaked.add(clip.video)
        rows[key] = Row(
            key=key,
            video=clip.video,
            path=file.name,
            split=split,
            labels=labels,
            start=clip.start,
            end=clip.end,
            holds=holds,
            size_bytes=file.size_bytes,
            modified_ns=file.modified_ns,
        )
    if not rows:
        rest = f' that is in {subset} or not for training' if subset else ''
        raise ValueError(f'{named}: names no video{rest}')
    if wanted is not None and not any(row.split == TRAIN for row in rows.values()):
        raise ValueError(f'{subset}: holds no video id that {named} trains on')
    if not any(row.split == EVAL for row in rows.values()):
        for key, row in rows.items():
            if row.split == TEST:
                rows[key] = dataclasses.replace(row, split=EVAL)
    if drawn:
        _hold_out_one(rows)
    return Manifest(
        tuple(rows.values()),
        match.classes,
        index.folder,
        named_twice=repeated,
        leaked=frozenset(leaked),
        unread=tuple(index.unread),
    )


def _hold_out_one(rows: dict[str, Row]):
    """Where chance has held out no video of several, or all, one goes to the other side."""
    videos = sorted({row.video for row in rows.values()}, key=lambda v: bucket(v, 2**32))
    splits = {row.split for row in rows.values()}
    if len(videos) < 2 or len(splits) > 1 or not splits <= {TRAIN, EVAL}:
        return
    other = {TRAIN: EVAL, EVAL: TRAIN}[splits.pop()]
    for key, row in rows.items():
        if row.video == videos[0]:
            rows[key] = dataclasses.replace(row, split=other)


def read_subset(path: str) -> frozenset[str]:
    with open_annotations(path) as f:
        ids = frozenset(filter(None, map(str.strip, f)))
    if not ids:
        raise ValueError(f'{path}: must hold one video id a line, got an empty file')
    return ids


def bucket(text: str, count: int) -> int:
    """A number below `count` that depends on `text` alone."""
    return int.from_bytes(hashlib.sha256(to_bytes(text)).digest()[:8], 'big') % count


def split_of(clip: Annotation) -> str:
    if clip.split:
        name = clip.split.strip().casefold()
        split = SPLIT_NAMES.get(name, name)
        if split not in (TRAIN, EVAL, TEST):
            raise ValueError(f'{clip.where}: split must be train, eval or test, got {clip.split!r}')
        return split
    # by video, so that two clips of one never lie on both sides
    return EVAL if bucket(clip.video, NUM_BUCKETS) < EVAL_BUCKETS else TRAIN


def key_of(clip: Annotation) -> str:
    """The video and, of a part of it, its times to the millisecond."""
    if clip.start is None and clip.end is None:
        return clip.video
    first, last = (f'{x:.3f}'.rstrip('0').rstrip('.') for x in (clip.start or 0, clip.end or 0))
    return f'{clip.video}#{first}-{last if clip.end is not None else ""}'
