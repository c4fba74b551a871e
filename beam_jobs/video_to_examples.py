"""The one Beam transform: planned shards of a manifest to shards of records.

A shard is the unit of work. Its content is planned before the job starts, so it does not depend
on the runner; it appears under its name whole or not at all; and a job that is run again skips
the shards that are there. Only plans travel through Beam, never records.
"""

import collections
import dataclasses
import hashlib
import itertools
import json
import os
import uuid
from collections.abc import Iterator

import apache_beam as beam
import tensorflow as tf
from apache_beam.metrics import Metrics

from avmae_tf.config import SAMPLE_RATE_HZ, MediaSpec
from avmae_tf.data.examples import write_example
from avmae_tf.data.records import write_text
from beam_jobs.manifests import Manifest, Row
from beam_jobs.media import Clip, UnusableClip, decode_clips

SHARD_BYTES = 256 * 2**20
BYTES_PER_SOURCE_BYTE = 1.75  # JPEG at 8 frames per second + int16, of a 10 s clip
BYTES_PER_SECOND = 170_000  # the same, for a segment of a long video
MIN_SHARDS = 4  # of a split: what keeps a few workers busy
REPORTS, WORK = 'reports', 'work'

rows_done = collections.Counter()  # by shard, of this process: for its progress line alone


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """One shard to make: its rows in order, those of one video next to each other."""

    split: str
    index: int
    count: int
    rows: tuple[Row, ...]
    label_indices: dict[str, int]
    media: MediaSpec
    fingerprint: str  # of the whole job, kept in every record

    @property
    def path(self) -> str:
        """Below the output folder."""
        return f'Split-{self.split}/clips-{self.index:05d}-of-{self.count:05d}'

    @property
    def report_path(self) -> str:
        return f'{REPORTS}/{self.split}-{self.index:05d}-of-{self.count:05d}.json'


@dataclasses.dataclass
class ShardReport:
    """What became of the rows of a shard."""

    split: str
    path: str
    fingerprint: str
    num_examples: int = 0
    set_aside: list[dict] = dataclasses.field(default_factory=list)  # key, path, reason, detail
    notes: dict[str, int] = dataclasses.field(default_factory=dict)  # status -> clips

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))


def job_fingerprint(manifest: Manifest, media: MediaSpec) -> str:
    text = f'{manifest.fingerprint}\n{media.to_json()}'
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _record_bytes(row: Row) -> float:
    if row.start is None or row.end is None:
        return row.size_bytes * BYTES_PER_SOURCE_BYTE
    return (row.end - row.start) * BYTES_PER_SECOND


def plan_shards(
    manifest: Manifest, media: MediaSpec, num_shards: int | None = None
) -> list[ShardPlan]:
    """Shards of about 256 MB in random order of videos, the same for the same manifest.

    `num_shards` fixes how many the largest split gets.
    """
    fingerprint = job_fingerprint(manifest, media)
    label_indices = {label: i for i, label in enumerate(manifest.classes)}

    def order(row):
        return hashlib.sha256(row.path.encode()).digest(), row.start or 0.0, row.key

    by_split = collections.defaultdict(list)
    for row in sorted(manifest.rows, key=order):
        by_split[row.split].append(row)
    totals = {split: sum(map(_record_bytes, rows)) for split, rows in by_split.items()}
    largest = max(totals.values(), default=0.0)
    plans = []
    for split, rows in sorted(by_split.items()):
        if num_shards:
            count = max(1, round(num_shards * totals[split] / largest))
        else:
            count = max(MIN_SHARDS, round(totals[split] / SHARD_BYTES))
        shards = _divide(rows, count)
        plans += [
            ShardPlan(split, i, len(shards), tuple(shard), label_indices, media, fingerprint)
            for i, shard in enumerate(shards)
        ]
    return plans


def _divide(rows: list[Row], count: int) -> list[list[Row]]:
    """Rows in at most `count` runs of about equal size; a video's clips stay together."""
    videos = [list(group) for _, group in itertools.groupby(rows, key=lambda row: row.path)]
    share = sum(map(_record_bytes, rows)) / count
    shards, size = [[]], 0.0
    for video in videos:
        if shards[-1] and size >= share * len(shards):
            shards.append([])
        shards[-1] += video
        size += sum(map(_record_bytes, video))
    return shards


def convert_rows(plan: ShardPlan) -> Iterator[tuple[Row, bytes | UnusableClip, Clip | None]]:
    """Every row of a plan with its record, or with the reason why there is none."""
    for path, group in itertools.groupby(plan.rows, key=lambda row: row.path):
        rows = list(group)
        segments = [(row.start, row.end) for row in rows]
        for row, clip in zip(rows, decode_clips(path, segments, plan.media), strict=True):
            if isinstance(clip, UnusableClip):
                yield row, clip, None
            else:
                yield row, _record(plan, row, clip), clip


def _record(plan: ShardPlan, row: Row, clip: Clip) -> bytes:
    return write_example(
        key=row.key,
        filename=row.path,
        label_indices=tuple(plan.label_indices[label] for label in row.labels),
        label_texts=row.labels,
        start_us=clip.start_us,
        end_us=clip.end_us,
        frames=clip.frames,
        frames_per_second=plan.media.frames_per_second,
        waveform=clip.waveform,
        sample_rate_hz=SAMPLE_RATE_HZ,
        valid_samples=clip.valid_samples,
        status=clip.status,
        fingerprint=plan.fingerprint,
    )


class WriteShard(beam.DoFn):
    """Makes one shard and its report below `out`, unless both are there."""

    def __init__(self, out: str):
        self.out = out

    def process(self, plan: ShardPlan):
        path = os.path.join(self.out, plan.path)
        report_path = os.path.join(self.out, plan.report_path)
        done = read_report(report_path) if tf.io.gfile.exists(path) else None
        if done and done.fingerprint == plan.fingerprint:
            Metrics.counter('convert', 'shards_found').inc()
            yield done
            return
        report = ShardReport(plan.split, plan.path, plan.fingerprint)
        notes = collections.Counter()
        tf.io.gfile.makedirs(os.path.dirname(path))
        # Outside of the split, where no reader looks; a name of its own for each attempt.
        temporary = os.path.join(self.out, WORK, uuid.uuid4().hex)
        tf.io.gfile.makedirs(os.path.dirname(temporary))
        with tf.io.TFRecordWriter(temporary) as writer:
            for row, outcome, clip in convert_rows(plan):
                rows_done[plan.path] += 1
                if isinstance(outcome, UnusableClip):
                    Metrics.counter('set_aside', outcome.reason.value).inc()
                    reason = {'reason': outcome.reason.value, 'detail': outcome.detail}
                    report.set_aside.append({'key': row.key, 'path': row.path, **reason})
                    continue
                writer.write(outcome)
                notes.update(clip.status)
                report.num_examples += 1
                Metrics.counter('convert', 'clips').inc()
        tf.io.gfile.rename(temporary, path, overwrite=True)
        report.notes = dict(sorted(notes.items()))
        write_text(report_path, report.to_json())
        yield report


def read_report(path: str) -> ShardReport | None:
    """The report of a finished shard, None if there is none."""
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path) as f:
        return ShardReport(**json.loads(f.read()))


class VideoToExamples(beam.PTransform):
    """PCollection of ShardPlan to PCollection of ShardReport; records go to shards below `out`."""

    def __init__(self, out: str):
        super().__init__()
        self.out = out

    def expand(self, plans):
        # Plans, not records, are spread over the workers.
        return plans | beam.Reshuffle() | beam.ParDo(WriteShard(self.out))
