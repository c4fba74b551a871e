"""A conversion from beginning to end: plan, run the transform, put the results together.

OUT/dataset.json       what the records are (written last: without it the job is not done)
OUT/Split-*/clips-*    the records
OUT/job.json           whose records they are (beam_jobs.jobs)
OUT/report.json        counts; beside it tables of single clips (beam_jobs.summary)
OUT/plan.json          what the manifest promised (beam_jobs.manifest_report)
"""

import collections
import contextlib
import csv
import dataclasses
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam

from avmae_tf.config import ClipLimits, MediaSpec
from avmae_tf.config.migrations import JOB_FILE, REPORT_FILE
from avmae_tf.data.dataset import Dataset, Shard, save_dataset
from avmae_tf.data.locks import holds
from avmae_tf.data.record_writer import EXAMPLE
from avmae_tf.storage import exists, gfile, is_remote, names_in, short_hash, write_text, written
from beam_jobs import video_to_records
from beam_jobs.jobs import claim, describe_job, done
from beam_jobs.manifest_report import report_of
from beam_jobs.manifests import Manifest
from beam_jobs.runners import local_pipeline
from beam_jobs.shards import (
    NOTED_FIELDS,
    REPORTS,
    SET_ASIDE_FIELDS,
    WORK,
    Job,
    Planned,
    ShardPlan,
    plan_job,
    read_report,
    write_tasks,
)
from beam_jobs.summary import NOTED_FILE, NUM_NAMED, SET_ASIDE_FILE, Summary
from beam_jobs.takeover import EarlierJobs
from beam_jobs.video_to_records import VideoToRecords

MANIFEST_REPORT_FILE = 'plan.json'
POLL_SECONDS, REMOTE_POLL_SECONDS = 0.2, 5.0

Progress = Callable[[int, int], None]  # clips done, clips in all


def convert(
    manifest: Manifest,
    out: str,
    media: MediaSpec,
    *,
    num_shards: int | None = None,
    record_format: str = EXAMPLE,
    limits: ClipLimits = ClipLimits(),
    **settings: Any,
) -> Summary:
    """Plans a job and carries it out, with more `settings` of `carry_out`."""
    planned = plan_job(
        manifest, media, num_shards=num_shards, record_format=record_format, limits=limits
    )
    return carry_out(planned, out, **settings)


@holds('out')
def carry_out(
    planned: Planned,
    out: str,
    *,
    earlier: Iterable[str] = (),
    make_pipeline: Callable[[], beam.Pipeline] = local_pipeline,
    progress: Progress = lambda done, total: None,
) -> Summary:
    """Converts the clips of a manifest to records in `out`, or what is still missing of them.

    Args:
        planned: What to convert.
        out: Folder for the records.
        earlier: Folders of earlier jobs; what they hold of the same clips is taken over.
        make_pipeline: Makes Beam's pipeline.
        progress: Is called while it runs.

    Raises:
        Held: another process works in `out`.
        ValueError: `out` holds the records of another job or is a file, or no clip could be used.
    """
    description = describe_job(planned)
    claimed = claim(out, description, planned.manifest)
    if summary := done(out):
        progress(summary.clips + summary.num_set_aside, len(planned.manifest.rows))
        return summary
    job = dataclasses.replace(planned.job, fingerprint=claimed.fingerprint)
    _clear(os.path.join(out, WORK))
    write_text(os.path.join(out, MANIFEST_REPORT_FILE), report_of(planned.manifest).to_json())
    tasks = write_tasks(out, planned, EarlierJobs(earlier, description).find)
    with _watched(out, planned.shards, progress), make_pipeline() as pipeline:
        _ = pipeline | beam.Create(tasks) | VideoToRecords(out, job)
    return _conclude(out, planned.shards, job)


def _clear(work: str) -> None:
    """Removes half-written shards of killed jobs."""
    if exists(work):
        gfile(work).rmtree(work)


class _watched:
    """Calls `progress` while the job runs: by clip in this process, by shard elsewhere."""

    def __init__(self, out: str, plans: Sequence[ShardPlan], progress: Progress) -> None:
        self.out, self.plans, self.progress = out, plans, progress
        self.total = sum(len(plan.rows) for plan in plans)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> None:
        video_to_records.rows_done.clear()
        self.thread.start()

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        self.thread.join()
        if error == (None, None, None):
            self.progress(self.total, self.total)

    def _poll(self) -> None:
        reports = os.path.join(self.out, REPORTS)
        pause = REMOTE_POLL_SECONDS if is_remote(self.out) else POLL_SECONDS
        while not self.stop.wait(pause):
            finished, done = set(names_in(reports)), 0
            for plan in self.plans:
                rows = video_to_records.rows_done[plan.path]
                done += len(plan.rows) if os.path.basename(plan.report_path) in finished else rows
            self.progress(done, self.total)


def _most_first(counts: collections.Counter) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


@contextlib.contextmanager
def _table(path: str, fields: tuple[str, ...]) -> Iterator[csv.DictWriter]:
    """A CSV file to write, whole or not at all."""
    with written(path) as f:
        table = csv.DictWriter(f, fields)
        table.writeheader()
        yield table


def _conclude(out: str, plans: Sequence[ShardPlan], job: Job) -> Summary:
    """Puts the reports of all shards together; writes `dataset.json` last."""
    splits: dict[str, list[Shard]] = collections.defaultdict(list)
    first: list[dict] = []
    taken_over = 0
    contents = [job.media.to_json(), json.dumps(job.heads)]
    reasons: collections.Counter[str] = collections.Counter()
    notes: collections.Counter[str] = collections.Counter()
    with (
        _table(os.path.join(out, SET_ASIDE_FILE), SET_ASIDE_FIELDS) as set_aside,
        _table(os.path.join(out, NOTED_FILE), NOTED_FIELDS) as noted,
    ):
        for plan in plans:
            report = read_report(os.path.join(out, plan.report_path))
            splits[report.split].append(
                Shard(
                    path=report.path,
                    num_examples=report.num_examples,
                    num_bytes=report.num_bytes,
                    num_labelled=report.num_labelled,
                    num_several=report.num_several,
                )
            )
            contents.append(f'{report.path} {report.digest}')
            taken_over += report.num_taken_over
            set_aside.writerows(report.set_aside)
            noted.writerows(report.noted)
            reasons.update(row['reason'] for row in report.set_aside)
            first += report.set_aside[: NUM_NAMED - len(first)]
            notes.update(status for row in report.noted for status in row['status'].split())
    counts = {split: sum(s.num_examples for s in shards) for split, shards in splits.items()}
    summary = Summary(
        clips=sum(counts.values()),
        set_aside=tuple(first),
        reasons=_most_first(reasons),
        splits=counts,
        notes=_most_first(notes),
        taken_over=taken_over,
    )
    write_text(os.path.join(out, REPORT_FILE), summary.to_json())
    if not summary.clips:
        gfile(out).remove(os.path.join(out, JOB_FILE))  # nothing here that another job would harm
        raise ValueError(
            f'{out}: none of {summary.num_set_aside} clips could be used {summary.reasons}; '
            f'see {os.path.join(out, SET_ASIDE_FILE)}'
        )
    _clear(os.path.join(out, WORK))
    save_dataset(
        out,
        Dataset(
            media=job.media,
            heads=job.heads,
            splits=dict(splits),
            fingerprint=short_hash(f'{line}\n'.encode() for line in contents),
        ),
    )
    return summary
