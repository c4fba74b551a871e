"""A job divided into shards, planned before it starts, and the reports of those that are done.

Which clips a shard holds depends on the manifest alone, not on the runner. Its videos are those
whose names hash to its part of all hashes: where others come or go it stays what it was, byte for
byte, and the next job takes it over (`beam_jobs.takeover`).

The rows of all shards are in one file; what travels to a worker is where in it the rows of its
shard are.
"""

import collections
import csv
import dataclasses
import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Mapping
from typing import ClassVar

from avmae_tf.config import ClipLimits, MediaSpec
from avmae_tf.config.descriptions import Description
from avmae_tf.config.migrations import SHARD_REPORT
from avmae_tf.data.record_writer import EXAMPLE
from avmae_tf.storage import NAME_ERRORS, open_binary, read_settings, short_hash, to_bytes, written
from avmae_tf.versions import CONVERSION_VERSION
from beam_jobs.manifest_report import record_bytes
from beam_jobs.manifests import Manifest, Row, row_lines, rows_of

SHARD_BYTES = 256 * 2**20  # at most, about
MIN_SHARDS = 4  # of a split: what keeps a few workers busy
HASH_BITS = 64
DIVISION = 2  # 1: in parts of equal size, other ones wherever a clip came or went
CLIPS, UNLABELLED = 'clips', 'unlabelled'  # what shards are called after
REPORTS, WORK = 'reports', 'work'
ROWS_FILE = f'{WORK}/rows.csv'
SET_ASIDE_FIELDS = ('key', 'path', 'reason', 'detail')
NOTED_FIELDS = ('key', 'path', 'status')  # of clips that are usable nevertheless


@dataclasses.dataclass(frozen=True)
class Job:
    """What the shards of a job have in common.

    `fingerprint` tells whether a folder holds this job. `videos` is the folder that they are in,
    and `manifest` the fingerprint of the manifest.
    """

    media: MediaSpec
    heads: Mapping[str, tuple[str, ...]]
    record_format: str
    videos: str
    fingerprint: str
    manifest: str
    limits: ClipLimits = ClipLimits()  # do not change a record, and so not the fingerprint


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """One shard to make: its rows in order, those of one video next to each other.

    Of all hashes, cut into `count` equal parts, its videos have those of part `index`.
    """

    split: str
    kind: str
    index: int
    count: int
    rows: tuple[Row, ...]

    @property
    def path(self) -> str:
        """Below the output folder."""
        return shard_path(f'Split-{self.split}/{self.kind}', self.index, self.count)

    @property
    def report_path(self) -> str:
        """Of its report, below the output folder."""
        return report_path(self.path)


def shard_path(family: str, index: int, count: int) -> str:
    """The path of a shard of those that divide all hashes among them."""
    return f'{family}-{index:05d}-of-{count:05d}'


def report_path(path: str) -> str:
    """The path of the report on the shard at `path`."""
    return f'{REPORTS}/{path.removeprefix("Split-").replace("/", "-")}.json'


@dataclasses.dataclass(frozen=True)
class Planned:
    """A job and its shards, in order."""

    manifest: Manifest
    job: Job
    shards: tuple[ShardPlan, ...]


Found = tuple[tuple[str, str], ...]  # (folder, path) of shards of earlier jobs


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """What a worker is sent: the paths of a shard, and which bytes of ROWS_FILE are its rows.

    `content` is a hash of all that its bytes follow from, for the settings of the job, and
    `earlier` says which shards of earlier jobs may hold some of it.
    """

    split: str
    path: str
    report_path: str
    offset: int
    length: int
    content: str
    earlier: Found


class ShardReport(Description):
    """What became of the rows of a shard; `digest` is a hash of its records.

    `content` is that of its task, and `clips` says of each record what it was made from, for later
    jobs; `num_taken_over` of them were of an earlier one.
    """

    FILE: ClassVar[str] = SHARD_REPORT
    split: str
    path: str
    fingerprint: str
    num_examples: int = 0
    num_labelled: int = 0
    num_several: int = 0
    num_taken_over: int = 0
    num_bytes: int = 0
    digest: str = ''
    content: str = ''
    clips: tuple[str, ...] = ()
    set_aside: tuple[dict[str, str], ...] = ()  # by SET_ASIDE_FIELDS
    noted: tuple[dict[str, str], ...] = ()  # by NOTED_FIELDS


def plan_job(
    manifest: Manifest,
    media: MediaSpec,
    *,
    num_shards: int | None = None,
    record_format: str = EXAMPLE,
    limits: ClipLimits = ClipLimits(),
) -> Planned:
    """The job that converts a manifest with these settings, and its shards."""
    settings = f'{CONVERSION_VERSION}\n{DIVISION}\n{media.to_json()}\n{record_format}'
    job = Job(
        media=media,
        heads=manifest.heads,
        record_format=record_format,
        videos=manifest.videos,
        fingerprint=short_hash([f'{manifest.fingerprint}\n{settings}'.encode()]),
        manifest=manifest.fingerprint,
        limits=limits,
    )
    return Planned(manifest, job, tuple(plan_shards(manifest, num_shards)))


def plan_shards(manifest: Manifest, num_shards: int | None = None) -> list[ShardPlan]:
    """Shards of 128 to 256 MB in random order of videos, the same for the same manifest.

    `num_shards` fixes how many the largest split gets; one that no video falls to is left out.
    Videos with labels are in shards of their own, and these come first, so that finetuning need not
    read through all the others for the few that it wants.

    The number of shards is a power of two: it stays while clips are added, until there are twice
    as many, and then each shard becomes two.
    """
    labelled = {row.path for row in manifest.rows if row.labels}
    hashes = {
        path: int.from_bytes(hashlib.sha256(to_bytes(path)).digest()[: HASH_BITS // 8], 'big')
        for path in {row.path for row in manifest.rows}
    }
    families: dict[tuple[str, str], list[Row]] = collections.defaultdict(list)
    totals: collections.Counter[tuple[str, str]] = collections.Counter()
    splits: collections.Counter[str] = collections.Counter()
    for row in manifest.rows:
        family = row.split, CLIPS if row.path in labelled or not labelled else UNLABELLED
        size = math.ceil(record_bytes(row))
        families[family].append(row)
        totals[family] += size
        splits[row.split] += size
    plans = []
    for family, rows in sorted(families.items()):
        if num_shards:
            count = max(1, round(num_shards * totals[family] / max(splits.values())))
        else:
            count = max(MIN_SHARDS, 1 << ((totals[family] - 1) // SHARD_BYTES).bit_length())
        shards = collections.defaultdict(list)
        for row in sorted(rows, key=lambda row: (hashes[row.path], row.start or 0.0, row.key)):
            shards[hashes[row.path] * count >> HASH_BITS].append(row)
        plans += [ShardPlan(*family, index, count, tuple(shard)) for index, shard in shards.items()]
    return plans


def write_tasks(
    out: str, planned: Planned, find: Callable[[ShardPlan], Found] = lambda plan: ()
) -> list[ShardTask]:
    """Writes the rows of all shards below `out`; returns what to send to workers.

    `find` says where earlier jobs may have left what a shard is to hold.
    """
    heads = planned.job.heads
    tasks, offset = [], 0
    with written(os.path.join(out, ROWS_FILE)) as f:
        for plan in planned.shards:
            text = io.StringIO()
            csv.writer(text).writerows(row_lines(plan.rows, heads))
            f.write(text.getvalue())
            rows = to_bytes(text.getvalue())
            indices = json.dumps(heads) if any(row.labels for row in plan.rows) else ''
            content = short_hash([rows, indices.encode()])
            tasks.append(
                ShardTask(
                    *(plan.split, plan.path, plan.report_path, offset, len(rows), content),
                    find(plan),
                )
            )
            offset += len(rows)
    return tasks


def read_rows(out: str, task: ShardTask, job: Job) -> list[Row]:
    """The rows of a task's shard."""
    with open_binary(os.path.join(out, ROWS_FILE)) as f:
        f.seek(task.offset)
        text = f.read(task.length).decode('utf-8', NAME_ERRORS)
    return [*rows_of(io.StringIO(text, newline=''), job.heads)]


def read_report(path: str) -> ShardReport:
    """The report of a finished shard."""
    return read_settings(path, ShardReport, 'delete it, and its shard is made again')
