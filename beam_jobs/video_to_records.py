"""The one Beam transform: shards of a manifest to shards of records.

A shard is the unit of work. It appears under its name whole or not at all; and a job that is run
again skips the shards that are there. What an earlier job left of it is taken over. Neither rows
nor records travel through Beam.
"""

import collections
import dataclasses
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.metrics import Metrics

from avmae_tf.config import SAMPLE_RATE_HZ
from avmae_tf.data.labelled import has_several, is_labelled
from avmae_tf.data.record_writer import relabelled, write_record
from avmae_tf.storage import exists, gfile, replaced, short_hash, to_unicode, write_text
from avmae_tf.versions import CONVERSION_VERSION
from beam_jobs.manifests import EITHER_FILE, SEGMENT_FILE, Row, text_lines
from beam_jobs.media import Clip, Reason, UnusableClip, Wanted
from beam_jobs.shards import (
    NOTED_FIELDS,
    SET_ASIDE_FIELDS,
    WORK,
    Job,
    ShardReport,
    ShardTask,
    read_report,
    read_rows,
)
from beam_jobs.takeover import EarlierShard, clip_ids, earlier_shards, take_whole
from beam_jobs.videos import no_such_file
from beam_jobs.workers import decode_clips

rows_done: collections.Counter[str] = (
    collections.Counter()
)  # by shard, of this process: for its progress line alone


Outcome = tuple[bytes, tuple[str, ...]] | UnusableClip  # a record with its status, or why not


def convert_rows(rows: Iterable[Row], job: Job) -> Iterator[tuple[Row, Outcome]]:
    """Every row with its record and status, or with the reason why there is none."""
    about = _About(job)
    for name, group in itertools.groupby(rows, key=lambda row: row.path):
        rows, path = list(group), os.path.join(job.videos, name)
        if not rows[0].is_found:
            for row in rows:
                yield row, UnusableClip(Reason.MISSING, no_such_file(row, path))
            continue
        wanted = [_wanted(row) for row in rows]
        clips = decode_clips(path, wanted, job.media, job.limits)
        for row, clip in zip(rows, clips, strict=True):
            if isinstance(clip, UnusableClip):
                yield row, clip
            else:
                yield row, (_record(job, row, clip, about), clip.status)


def take_or_convert(
    rows: list[Row], job: Job, earlier: list[EarlierShard]
) -> Iterator[tuple[Row, Outcome, bool]]:
    """As `convert_rows`, and whether the record was taken over from an earlier job."""
    about, clips = _About(job), clip_ids(rows)
    homes = [next((shard for shard in earlier if clip in shard.places), None) for clip in clips]
    fresh = convert_rows([row for row, home in zip(rows, homes, strict=True) if not home], job)
    for row, clip, home in zip(rows, clips, homes, strict=True):
        if home is None:
            yield *next(fresh), False
        elif record := home.record(clip):
            labels = about(row)
            yield row, relabelled(record, **labels, record_format=job.record_format), True
        else:
            yield *next(convert_rows([row], job)), False


def _wanted(row: Row) -> Wanted:
    """Which part of its file a row is."""
    if row.holds == SEGMENT_FILE:
        return Wanted()
    return Wanted(row.start, row.end, may_be_cut_out=row.holds == EITHER_FILE)


class _About:
    """What a record holds of its row beside the clip: labels, and a hash of where it comes from.

    The hash does not change with the times of files, so that copies of them make the same records.
    """

    def __init__(self, job: Job) -> None:
        self.heads = job.heads
        self.settings = f'{CONVERSION_VERSION}\n{job.media.to_json()}\n{job.record_format}'.encode()
        self.indices = {
            head: {label: i for i, label in enumerate(classes)}
            for head, classes in job.heads.items()
        }

    def __call__(self, row: Row) -> dict[str, Any]:
        return {
            'label_indices': {
                head: tuple(self.indices[head][label] for label in labels)
                for head, labels in row.labels.items()
            },
            'label_texts': row.labels,
            'fingerprint': short_hash(
                [*text_lines([dataclasses.replace(row, modified_ns=0)], self.heads), self.settings]
            ),
        }


def _record(job: Job, row: Row, clip: Clip, about: _About) -> bytes:
    return write_record(
        key=to_unicode(row.key),
        filename=to_unicode(row.path),
        start_us=clip.start_us,
        end_us=clip.end_us,
        frames=clip.frames,
        frames_per_second=job.media.frames_per_second,
        waveform=clip.waveform,
        sample_rate_hz=SAMPLE_RATE_HZ,
        valid_samples=clip.valid_samples,
        status=clip.status,
        record_format=job.record_format,
        **about(row),
    )


def _named(names: tuple[str, ...], fields: Iterable[str]) -> dict[str, str]:
    """A row of a report's table."""
    return dict(zip(names, map(to_unicode, fields), strict=True))


class WriteShard(beam.DoFn):
    """Makes one shard and its report below `out`, unless both are there whole; yields its path."""

    def __init__(self, out: str, job: Job) -> None:
        self.out = out
        self.job = job

    def process(self, task: ShardTask) -> Iterator[str]:
        """Makes the shard of `task`, or finds it made."""
        path = os.path.join(self.out, task.path)
        report_path = os.path.join(self.out, task.report_path)
        if self._is_done(path, report_path):
            Metrics.counter('convert', 'shards_found').inc()
        else:
            earlier = [*earlier_shards(task)]
            report = take_whole(earlier, task, self.out, self.job)
            report = report or self._write(task, path, earlier)
            write_text(report_path, report.to_json())
        yield task.path

    def _is_done(self, path: str, report_path: str) -> bool:
        if not (exists(path) and exists(report_path)):
            return False
        report = read_report(report_path)
        is_whole = gfile(path).stat(path).length == report.num_bytes
        return is_whole and report.fingerprint == self.job.fingerprint

    def _write(self, task: ShardTask, path: str, earlier: list[EarlierShard]) -> ShardReport:
        counts: collections.Counter[str] = collections.Counter()
        made: list[Row] = []
        set_aside, noted = [], []
        digest = hashlib.sha256()
        # Until it is whole it lies outside of the split, where no reader looks.
        with (
            replaced(path, os.path.join(self.out, WORK)) as temporary,
            tf.io.TFRecordWriter(temporary) as writer,
        ):
            rows = read_rows(self.out, task, self.job)
            for row, outcome, is_taken in take_or_convert(rows, self.job, earlier):
                rows_done[task.path] += 1
                if isinstance(outcome, UnusableClip):
                    Metrics.counter('set_aside', outcome.reason.value).inc()
                    why = (row.key, row.path, outcome.reason.value, outcome.detail)
                    set_aside.append(_named(SET_ASIDE_FIELDS, why))
                    continue
                record, status = outcome
                writer.write(record)
                digest.update(hashlib.sha256(record).digest())
                if status:
                    what = (row.key, row.path, ' '.join(status))
                    noted.append(_named(NOTED_FIELDS, what))
                made.append(row)
                counts['num_examples'] += 1
                counts['num_taken_over'] += is_taken
                counts['num_labelled'] += is_labelled(row.labels, self.job.heads)
                counts['num_several'] += has_several(row.labels)
                Metrics.counter('convert', 'taken_over' if is_taken else 'clips').inc()
        return ShardReport(
            split=task.split,
            path=task.path,
            fingerprint=self.job.fingerprint,
            num_bytes=gfile(path).stat(path).length,
            digest=digest.hexdigest(),
            content=task.content,
            clips=tuple(clip_ids(made)),
            set_aside=tuple(set_aside),
            noted=tuple(noted),
            **counts,
        )


class VideoToRecords(beam.PTransform):
    """PCollection of ShardTask to PCollection of paths; shards and reports go below `out`."""

    def __init__(self, out: str, job: Job) -> None:
        super().__init__()
        self.out = out
        self.job = job

    def expand(self, tasks: beam.PCollection) -> beam.PCollection:
        """Paths of the shards that are made."""
        # Tasks, not records, are spread over the workers.
        return tasks | beam.Reshuffle() | beam.ParDo(WriteShard(self.out, self.job))
