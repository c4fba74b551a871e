"""What a manifest promises, before any video is opened."""

import collections
import dataclasses
import json
from collections.abc import Iterable

from avmae_tf.config.splits import TRAIN
from avmae_tf.storage import to_unicode
from beam_jobs.manifests import Manifest, Row

NUM_NAMED = 10  # names given of everything that is counted
BYTES_PER_SOURCE_BYTE = 1.75  # JPEG at 8 frames per second + int16, of a 10 s clip
BYTES_PER_SECOND = 170_000  # the same, for a segment of a long video

BYTES_SET_ASIDE = 200  # of the report alone; no clip has fewer


def record_bytes(row: Row) -> float:
    """About how long the record of a row will be, at the default settings."""
    if not row.is_found:
        return BYTES_SET_ASIDE
    if row.seconds is None:
        return max(BYTES_SET_ASIDE, row.size_bytes * BYTES_PER_SOURCE_BYTE)
    return max(BYTES_SET_ASIDE, row.seconds * BYTES_PER_SECOND)


@dataclasses.dataclass(frozen=True)
class Listed:
    """How many there are, and the first of them by name."""

    count: int
    first: tuple[str, ...]

    @classmethod
    def of(cls, names: Iterable[str]) -> 'Listed':
        """Counts `names` and keeps the first of them in order."""
        names = sorted(names)
        return cls(len(names), tuple(map(to_unicode, names[:NUM_NAMED])))


@dataclasses.dataclass
class SplitReport:
    """Clips of a split, those whose file is there, and the hours of those with known times."""

    clips: int = 0
    found: int = 0
    hours: float = 0.0


@dataclasses.dataclass(frozen=True)
class ManifestReport:
    """Counts of a manifest.

    Attributes:
        splits: by name.
        files: different videos that are there.
        missing: files that are not.
        unread: folders without permission and links to nowhere; what is in them is missing.
        skipped: other files below the folder of videos, by suffix.
        without_times: clips that are all of their file, so that only decoding tells their length.
        named_twice: clips that the annotations name more than once; each is converted once.
        in_several_splits: videos with clips in more than one split, so that a test of what was
            learnt on one is none.
        classes: number of classes by head.
        without_examples: classes by head that no clip to train on has whose file is there.
        record_gigabytes: estimate, at the default frame rate and size.
    """

    splits: dict[str, SplitReport]
    files: int
    missing: Listed
    unread: Listed
    skipped: dict[str, int]
    without_times: int
    named_twice: int
    in_several_splits: Listed
    classes: dict[str, int]
    without_examples: dict[str, Listed]
    record_gigabytes: float

    def to_json(self) -> str:
        """What `plan.json` holds."""
        return json.dumps(dataclasses.asdict(self), indent=2)


def report_of(manifest: Manifest) -> ManifestReport:
    """Counts in one pass over the rows."""
    splits: dict[str, SplitReport] = collections.defaultdict(SplitReport)
    files: set[str] = set()
    missing: set[str] = set()
    split_of: dict[str, str] = {}
    leaked = set(manifest.leaked)
    trained: dict[str, set[str]] = {head: set() for head in manifest.heads}
    without_times, size = 0, 0.0
    for row in manifest.rows:
        split = splits[row.split]
        split.clips += 1
        (files if row.is_found else missing).add(row.path)
        if split_of.setdefault(row.video, row.split) != row.split:
            leaked.add(row.video)
        without_times += row.seconds is None
        if row.is_found:
            split.found += 1
            split.hours += (row.seconds or 0.0) / 3600
            size += record_bytes(row)
            if row.split == TRAIN:
                for head, labels in row.labels.items():
                    trained[head].update(labels)
    return ManifestReport(
        splits={name: splits[name] for name in sorted(splits)},
        files=len(files),
        missing=Listed.of(missing),
        unread=Listed.of(manifest.unread),
        skipped={to_unicode(suffix): count for suffix, count in manifest.skipped.items()},
        without_times=without_times,
        named_twice=manifest.named_twice,
        in_several_splits=Listed.of(leaked),
        classes={head: len(names) for head, names in manifest.heads.items()},
        without_examples={
            head: Listed.of(set(names) - trained[head]) for head, names in manifest.heads.items()
        },
        record_gigabytes=round(size / 1e9, 3),
    )
