"""A job divided into shards, planned before it starts, and the reports of those that are done.

Which clips a shard holds depends on the manifest alone, not on the runner. The rows of all shards
are in one file; what travels to a worker is where in it the rows of its shard are.
"""

import collections
import csv
import dataclasses
import hashlib
import io
import itertools
import os
from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf

from avmae_tf.config import ClipLimits, MediaSpec
from avmae_tf.config.descriptions import Description
from avmae_tf.config.migrations import SHARD_REPORT
from avmae_tf.data.record_writer import EXAMPLE
from avmae_tf.storage import NAME_ERRORS, read_settings, short_hash, to_bytes, written
from avmae_tf.versions import CONVERSION_VERSION
from beam_jobs.manifest_report import record_bytes
from beam_jobs.manifests import Manifest, Row, row_lines, rows_of

SHARD_BYTES = 256 * 2**20
MIN_SHARDS = 4  # of a split: what keeps a few workers busy
REPORTS, WORK = 'reports', 'work'
ROWS_FILE = f'{WORK}/rows.csv'
SET_ASIDE_FIELDS = ('key', 'path', 'reason', 'detail')
NOTED_FIELDS = ('key', 'path', 'status')  # of clips that are usable nevertheless


@dataclasses.dataclass(frozen=True)
class Job:
    """What the shards of a job have in common.

    `fingerprint` tells whether a folder holds this job; `provenance` is kept in every record, and
    does not change with the times of the files. `videos` is the folder that they are in, and
    `manifest` the fingerprint of the manifest.
    """

    media: MediaSpec
    heads: Mapping[str, tuple[str, ...]]
    record_format: str
    videos: str
    fingerprint: str
    provenance: str
    manifest: str
    limits: ClipLimits = ClipLimits()  # do not change a record, and so not the fingerprint


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """One shard to make: its rows in order, those of one video next to each other."""

    split: str
    index: int
    count: int
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        """Names the shard among all of the job."""
        return f'{self.split}-{self.index:05d}-of-{self.count:05d}'

    @property
    def path(self) -> str:
        """Below the output folder."""
        return f'Split-{self.split}/clips-{self.index:05d}-of-{self.count:05d}'

    @property
    def report_path(self) -> str:
        """Of its report, below the output folder."""
        return f'{REPORTS}/{self.name}.json'


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """What a worker is sent: the paths of a shard, and which bytes of ROWS_FILE are its rows."""

    split: str
    path: str
    report_path: str
    offset: int
    length: int


class ShardReport(Description):
    """What became of the rows of a shard; `digest` is a hash of its records."""

    FILE: ClassVar[str] = SHARD_REPORT
    split: str
    path: str
    fingerprint: str
    num_examples: int = 0
    num_labelled: int = 0
    num_several: int = 0
    num_bytes: int = 0
    digest: str = ''
    set_aside: tuple[dict[str, str], ...] = ()  # by SET_ASIDE_FIELDS
    noted: tuple[dict[str, str], ...] = ()  # by NOTED_FIELDS


def job_of(
    manifest: Manifest,
    media: MediaSpec,
    record_format: str = EXAMPLE,
    limits: ClipLimits = ClipLimits(),
) -> Job:
    """The job that converts a manifest with these settings."""
    fingerprint, provenance = (
        short_hash([f'{text}\n{media.to_json()}\n{record_format}'.encode()])
        for text in (f'{CONVERSION_VERSION}\n{manifest.fingerprint}', manifest.provenance)
    )
    return Job(
        media=media,
        heads=manifest.heads,
        record_format=record_format,
        videos=manifest.videos,
        fingerprint=fingerprint,
        provenance=provenance,
        manifest=manifest.fingerprint,
        limits=limits,
    )


def plan_shards(manifest: Manifest, num_shards: int | None = None) -> list[ShardPlan]:
    """Shards of about 256 MB in random order of videos, the same for the same manifest.

    `num_shards` fixes how many the largest split gets. Videos with labels come first, so that
    finetuning need not read through all the others for the few that it wants.
    """
    labelled = {row.path for row in manifest.rows if row.labels}

    def order(row: Row) -> tuple[bool, bytes, float, str]:
        name = hashlib.sha256(to_bytes(row.path)).digest()
        return row.path not in labelled, name, row.start or 0.0, row.key

    by_split = collections.defaultdict(list)
    for row in sorted(manifest.rows, key=order):
        by_split[row.split].append(row)
    totals = {split: sum(map(record_bytes, rows)) for split, rows in by_split.items()}
    largest = max(totals.values(), default=0.0)
    plans = []
    for split, rows in sorted(by_split.items()):
        if num_shards:
            count = max(1, round(num_shards * totals[split] / largest))
        else:
            count = max(MIN_SHARDS, round(totals[split] / SHARD_BYTES))
        shards = _divide(rows, count)
        plans += [
            ShardPlan(split, index, len(shards), tuple(shard)) for index, shard in enumerate(shards)
        ]
    return plans


def _divide(rows: list[Row], count: int) -> list[list[Row]]:
    """Rows in at most `count` parts of about equal size; a video's clips stay together."""
    videos = [list(group) for _, group in itertools.groupby(rows, key=lambda row: row.path)]
    share = sum(map(record_bytes, rows)) / count
    shards: list[list[Row]] = [[]]
    size = 0.0
    for video in videos:
        if shards[-1] and size >= share * len(shards):
            shards.append([])
        shards[-1] += video
        size += sum(map(record_bytes, video))
    return shards


def write_tasks(out: str, plans: list[ShardPlan], job: Job) -> list[ShardTask]:
    """Writes the rows of all shards below `out`; returns what to send to workers."""
    tasks, offset = [], 0
    with written(os.path.join(out, ROWS_FILE)) as f:
        for plan in plans:
            text = io.StringIO()
            csv.writer(text).writerows(row_lines(plan.rows, job.heads))
            f.write(text.getvalue())
            length = len(to_bytes(text.getvalue()))
            tasks.append(ShardTask(plan.split, plan.path, plan.report_path, offset, length))
            offset += length
    return tasks


def read_rows(out: str, task: ShardTask, job: Job) -> list[Row]:
    """The rows of a task's shard."""
    with tf.io.gfile.GFile(os.path.join(out, ROWS_FILE), 'rb') as f:
        f.seek(task.offset)
        text = f.read(task.length).decode('utf-8', NAME_ERRORS)
    return [*rows_of(io.StringIO(text, newline=''), job.heads)]


def read_report(path: str) -> ShardReport:
    """The report of a finished shard."""
    return read_settings(path, ShardReport, 'delete it, and its shard is made again')
