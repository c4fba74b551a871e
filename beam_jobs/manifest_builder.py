"""From a published data set and a folder of videos to a manifest."""

import dataclasses
import hashlib
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from avmae_tf.config.heads import EVENT
from avmae_tf.config.splits import EVAL, SPLITS, TEST, TRAIN
from avmae_tf.storage import to_bytes
from beam_jobs.annotations import Annotation, Published, open_annotations
from beam_jobs.labels import Matcher
from beam_jobs.manifests import Manifest, Row
from beam_jobs.videos import AUDIO_SUFFIXES, VideoIndex

UNDRAWN = ''  # the annotations name no split
FIRM = (UNDRAWN, *SPLITS)  # of two that name a clip, the later one counts
SPLIT_NAMES = {'training': TRAIN, 'val': EVAL, 'valid': EVAL, 'validation': EVAL}
EVAL_BUCKETS, NUM_BUCKETS = 1, 10  # where the annotations name no split: a tenth is held out
# A path that goes up, or starts at a root, a drive or an address; names may hold a colon.
_OUTSIDE = re.compile(r'\.\.([\\/]|$)|([A-Za-z][A-Za-z0-9+.-]*:)?[\\/]')

Labels = Mapping[str, tuple[str, ...]]  # by head


class _Named(NamedTuple):
    """What the annotations say of a clip."""

    video: str
    split: str
    labels: Labels
    start: float | None
    end: float | None
    where: str


def assemble_manifest(
    published: Published,
    index: VideoIndex,
    *,
    named: str,
    subset: str | None = None,
    allow_outside: bool = False,
) -> Manifest:
    """The manifest of a data set, every clip once, whether its file is there or not.

    A clip that is named again keeps the held-out split of the two. Where there is no other split
    to evaluate on, `test` becomes `eval`. `subset` is a file of video ids, one a line: of the
    training clips, those of other videos are left out. `allow_outside` lets paths lead out of the
    folder of videos.

    Raises:
        ValueError: the annotations (`named`) hold no clip, name one twice with other labels, or
            hold something unusable; it names the file, the line and the fix.
    """
    match = Matcher(published.heads)
    wanted = read_subset(subset) if subset else None
    clips: dict[str, _Named] = {}
    repeated, leaked = 0, set()
    for clip in published.clips or (Annotation(file.name) for file in index.files):
        if not allow_outside and published.clips:
            check_inside(clip)
        try:
            labels = match(clip.labels)  # of all, so that a subset has the classes of the whole
        except ValueError as error:
            raise ValueError(f'{clip.where}: {error}') from None
        key = clip.key or key_of(clip)
        new = _Named(clip.video, split_of(clip), labels, clip.start, clip.end, clip.where)
        if before := clips.get(key):
            repeated += 1
            if before.split and new.split not in (UNDRAWN, before.split):
                leaked.add(clip.video)
            new = _merged(key, before, new, published.one_clip)
        clips[key] = new
    index.taken = {clip.video for clip in clips.values()}
    rows = [_row(key, clips.pop(key), published, index) for key in list(clips)]
    if not all(row.split for row in rows):
        drawn = assign_splits(rows)
        rows = [r if r.split else dataclasses.replace(r, split=drawn[r.video]) for r in rows]
    if wanted is not None:
        rows = [row for row in rows if row.split != TRAIN or row.video in wanted]
    if not rows:
        rest = f' that is in {subset} or not for training' if subset else ''
        raise ValueError(f'{named}: names no video{rest}{_sounds_skipped(index)}')
    splits = {row.split for row in rows}
    if wanted is not None and TRAIN not in splits:
        raise ValueError(f'{subset}: holds no video id that {named} trains on')
    if TEST in splits and EVAL not in splits:
        rows = [r if r.split != TEST else dataclasses.replace(r, split=EVAL) for r in rows]
    return Manifest(
        tuple(rows),
        match.classes,
        index.folder,
        named_twice=repeated,
        leaked=frozenset(leaked),
        unread=tuple(index.unread),
        skipped=dict(index.skipped.most_common()),
    )


def _row(key: str, clip: _Named, published: Published, index: VideoIndex) -> Row:
    file, holds = published.find(index, clip.video, clip.start, clip.end)
    return Row(
        key=key,
        video=clip.video,
        path=file.name,
        split=clip.split,
        labels=clip.labels,
        start=clip.start,
        end=clip.end,
        holds=holds,
        size_bytes=file.size_bytes,
        modified_ns=file.modified_ns,
    )


def check_inside(clip: Annotation) -> None:
    """Raises ValueError where a clip's path leads out of the folder of videos."""
    if _OUTSIDE.match(os.path.normpath(clip.video)):
        raise ValueError(
            f'{clip.where}: a path must be below the folder of videos, got {clip.video!r}; put the '
            'file or a link to it there, or allow others (`avmae convert --allow-outside`, in a '
            'pipeline data.allow_outside: true)'
        )


def _merged(key: str, first: _Named, second: _Named, one_clip: str) -> _Named:
    """One clip that two lines name; the held-out split wins, and a label over none.

    Raises:
        ValueError: they differ in labels, or in video and times.
    """
    if key_of(first) != key_of(second):
        raise ValueError(f'{second.where}: {key} is another clip than in {first.where}; {one_clip}')
    if first.labels and second.labels and not _alike(first.labels, second.labels):
        ours, theirs = (
            dict.fromkeys(name for names in clip.labels.values() for name in names)
            for clip in (first, second)
        )
        what = f'another label ({"|".join(theirs)}) than in {first.where} ({"|".join(ours)})'
        if ours.keys() == theirs.keys():  # of an event
            what = f'other seconds than in {first.where}'
        raise ValueError(f'{second.where}: {key} has {what}; {one_clip}')
    split = max(first.split, second.split, key=FIRM.index)
    return first._replace(split=split, labels=first.labels or second.labels)


def _alike(ours: Labels, theirs: Labels) -> bool:
    """Whether both name the same classes; those of seconds in the same order."""
    kind = {head: tuple if head == EVENT else frozenset for head in (*ours, *theirs)}
    return all(of(ours.get(head, ())) == of(theirs.get(head, ())) for head, of in kind.items())


def assign_splits(rows: list[Row]) -> dict[str, str]:
    """The splits of videos of which the annotations name none, by a hash of their names.

    A tenth is held out, and where there are several, one at least and not all. A clip that is held
    out is there to be classified: where there are labels, only videos that have some are drawn,
    and those without are trained on. By video, so that two clips of one never lie on both sides.
    """
    given: dict[str, str] = {}
    drawn: dict[str, str] = {}
    for row in rows:
        videos = given if row.split else drawn
        videos[row.video] = max(videos.get(row.video, UNDRAWN), row.split, key=FIRM.index)
    labelled = {row.video for row in rows if row.labels}
    found = {row.video for row in rows if row.is_found}
    pool = drawn.keys() - given.keys()
    if labelled:
        held = any(split != TRAIN for split in given.values())
        pool = pool & labelled or (set() if held else pool)
    sides = {given[v] for v in given if not labelled or v in labelled}
    held_out = {video for video in pool if bucket(video, NUM_BUCKETS) < EVAL_BUCKETS}
    usable = sorted(pool & found or pool, key=lambda video: bucket(video, 2**32))
    if len(usable) + len(sides) > 1:
        if not (held_out & set(usable) or sides - {TRAIN}):
            held_out.add(usable[0])
        elif held_out.issuperset(usable) and TRAIN not in sides:
            held_out.discard(usable[0])
    return {v: given.get(v) or (EVAL if v in held_out else TRAIN) for v in drawn}


def _sounds_skipped(index: VideoIndex) -> str:
    """What to do where there are files of sound alone."""
    found = [f'{n} {suffix}' for suffix, n in index.skipped.items() if suffix in AUDIO_SUFFIXES]
    if not found:
        return ''
    return (
        f'; {", ".join(found)} files are no videos: they count where sound alone is required '
        '(`avmae convert --require audio`, in a pipeline data.media.required: [audio])'
    )


def read_subset(path: str) -> frozenset[str]:
    """The video ids in a file, one a line."""
    with open_annotations(path) as lines:
        ids = frozenset(filter(None, map(str.strip, lines)))
    if not ids:
        raise ValueError(f'{path}: must hold one video id a line, got an empty file')
    return ids


def bucket(text: str, count: int) -> int:
    """A number below `count` that depends on `text` alone."""
    return int.from_bytes(hashlib.sha256(to_bytes(text)).digest()[:8], 'big') % count


def split_of(clip: Annotation) -> str:
    """The split that the annotations name, if they do."""
    name = clip.split.strip().casefold()
    split = SPLIT_NAMES.get(name, name)
    if split not in FIRM:
        raise ValueError(f'{clip.where}: split must be train, eval or test, got {clip.split!r}')
    return split


def key_of(clip: Annotation | _Named) -> str:
    """The video and, of a part of it, its times to the millisecond."""
    if clip.start is None and clip.end is None:
        return clip.video
    first, last = (f'{x:.3f}'.rstrip('0').rstrip('.') for x in (clip.start or 0, clip.end or 0))
    return f'{clip.video}#{first}-{last if clip.end is not None else ""}'
