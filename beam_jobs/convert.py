"""A conversion from beginning to end: plan, run the transform, put the results together.

OUT/dataset.json       what the records are (written last: without it the job is not done)
OUT/Split-*/clips-*    the records
OUT/set_aside.csv      clips that could not be used: key, path, reason, detail
OUT/report.json        counts
"""

import collections
import csv
import dataclasses
import io
import json
import os
import threading
from collections.abc import Callable

import apache_beam as beam
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from avmae_tf.config import MediaSpec
from avmae_tf.data.records import Dataset, Shard, save_dataset, write_text
from beam_jobs import video_to_examples
from beam_jobs.manifests import Manifest
from beam_jobs.video_to_examples import ShardPlan, ShardReport, VideoToExamples, plan_shards

SET_ASIDE_FILE, REPORT_FILE, JOB_FILE = 'set_aside.csv', 'report.json', 'job.json'
POLL_SECONDS = 0.2
LOCAL_OPTIONS = ('--runner=DirectRunner', '--direct_running_mode=multi_threading')

Progress = Callable[[int, int], None]  # clips done, clips in all


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a conversion did."""

    clips: int
    set_aside: tuple[dict, ...]  # key, path, reason, detail
    splits: dict[str, int]  # clips
    notes: dict[str, int]  # status -> clips

    @property
    def reasons(self) -> dict[str, int]:
        return dict(collections.Counter(row['reason'] for row in self.set_aside).most_common())

    def to_json(self) -> str:
        fields = {**dataclasses.asdict(self), 'set_aside': self.reasons}
        return json.dumps(fields, indent=2)


def convert(
    manifest: Manifest,
    out: str,
    media: MediaSpec,
    *,
    num_shards: int | None = None,
    make_pipeline: Callable[[], beam.Pipeline] | None = None,
    progress: Progress = lambda done, total: None,
) -> Summary:
    """Converts the clips of a manifest to records in `out`, or what is still missing of them.

    Raises:
        ValueError: `out` holds the records of another job, or no clip could be used.
    """
    plans = plan_shards(manifest, media, num_shards)
    _claim(out, plans)
    make_pipeline = make_pipeline or local_pipeline
    with _watched(out, plans, progress), make_pipeline() as pipeline:
        _ = pipeline | beam.Create(plans) | VideoToExamples(out)
    reports = [video_to_examples.read_report(os.path.join(out, p.report_path)) for p in plans]
    return _conclude(out, manifest, media, plans[0].fingerprint, reports)


def local_pipeline() -> beam.Pipeline:
    """Threads of this process: the decoder and the JPEG encoder release the interpreter lock."""
    options = [*LOCAL_OPTIONS, f'--direct_num_workers={os.cpu_count()}']
    return beam.Pipeline(options=PipelineOptions(options))


def _claim(out: str, plans: list[ShardPlan]):
    """Makes `out` the folder of this job; another job's folder is an error."""
    path = os.path.join(out, JOB_FILE)
    job = {'fingerprint': plans[0].fingerprint, 'shards': [plan.path for plan in plans]}
    if tf.io.gfile.exists(path):
        with tf.io.gfile.GFile(path) as f:
            if json.loads(f.read()) == job:
                return
        raise ValueError(
            f'{out}: holds records of other videos, annotations or settings; '
            'give another folder, or delete this one'
        )
    write_text(path, json.dumps(job))


class _watched:
    """Calls `progress` while the job runs: by clip in this process, by shard elsewhere."""

    def __init__(self, out: str, plans: list[ShardPlan], progress: Progress):
        self.out, self.plans, self.progress = out, plans, progress
        self.total = sum(len(plan.rows) for plan in plans)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self):
        video_to_examples.rows_done.clear()
        self.thread.start()

    def __exit__(self, *error):
        self.stop.set()
        self.thread.join()
        if error == (None, None, None):
            self.progress(self.total, self.total)

    def _poll(self):
        while not self.stop.wait(POLL_SECONDS):
            done = 0
            for plan in self.plans:
                finished = tf.io.gfile.exists(os.path.join(self.out, plan.report_path))
                rows = video_to_examples.rows_done[plan.path]
                done += len(plan.rows) if finished else rows
            self.progress(done, self.total)


def _conclude(out, manifest, media, fingerprint, reports: list[ShardReport]) -> Summary:
    if tf.io.gfile.exists(work := os.path.join(out, video_to_examples.WORK)):
        tf.io.gfile.rmtree(work)
    splits = collections.defaultdict(list)
    set_aside, notes = [], collections.Counter()
    for report in reports:
        splits[report.split].append(Shard(path=report.path, num_examples=report.num_examples))
        set_aside += report.set_aside
        notes.update(report.notes)
    summary = Summary(
        clips=sum(report.num_examples for report in reports),
        set_aside=tuple(set_aside),
        splits={k: sum(s.num_examples for s in v) for k, v in splits.items()},
        notes=dict(notes),
    )
    text = io.StringIO()
    table = csv.DictWriter(text, ('key', 'path', 'reason', 'detail'), lineterminator='\n')
    table.writeheader()
    table.writerows(set_aside)
    write_text(os.path.join(out, SET_ASIDE_FILE), text.getvalue())
    write_text(os.path.join(out, REPORT_FILE), summary.to_json())
    if not summary.clips:
        raise ValueError(
            f'{out}: none of {len(set_aside)} clips could be used {summary.reasons}; '
            f'see {os.path.join(out, SET_ASIDE_FILE)}'
        )
    dataset = Dataset(
        media=media, classes=manifest.classes, splits=dict(splits), fingerprint=fingerprint
    )
    save_dataset(out, dataset)
    return summary
