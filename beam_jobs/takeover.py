"""What earlier jobs of the same settings left, so that a new one converts only what is new.

A shard of the same rows is linked (in a bucket: copied), without a look at its records. Of others
the records are copied whose clips are the same, with today's labels. That the bytes are those of a
conversion from the beginning is what keeps runs that differ in their past alike.
"""

import collections
import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator

import tensorflow as tf

from avmae_tf.folders import link
from avmae_tf.storage import gfile, replaced, short_hash
from beam_jobs.jobs import JobDescription, job_in
from beam_jobs.manifests import Row, text_lines
from beam_jobs.shards import (
    WORK,
    Found,
    Job,
    ShardPlan,
    ShardReport,
    ShardTask,
    read_report,
    report_path,
    shard_path,
)

# What a record is made from, of a row; its labels can be written anew.
_SOURCE = ('key', 'path', 'start', 'end', 'holds', 'size_bytes', 'modified_ns')


class EarlierJobs:
    """Folders of earlier jobs, done or not, of which those count that are like `job`.

    Args:
        folders: The one to prefer first.
        job: What is to be converted now.
    """

    def __init__(self, folders: Iterable[str], job: JobDescription) -> None:
        self._families: dict[tuple[str, str, int], set[str]] = collections.defaultdict(set)
        for folder in folders:
            found = None
            with contextlib.suppress(ValueError):  # damaged, and left alone
                found = job_in(folder)
            if found and found.is_like(job):
                for path in found.shards:
                    family, _, _, count = path.rsplit('-', 3)
                    self._families[folder, family, int(count)].add(path)

    def find(self, plan: ShardPlan) -> Found:
        """Shards that may hold clips of `plan`: their parts of all hashes overlap."""
        found = []
        for (folder, family, count), paths in self._families.items():
            first = plan.index * count // plan.count
            end = -(-(plan.index + 1) * count // plan.count)
            near = (shard_path(family, index, count) for index in range(first, end))
            found += [(folder, path) for path in near if path in paths]
        return tuple(found)


class EarlierShard:
    """A finished shard of an earlier job, read from its beginning to its end once.

    Rows that two shards share lie in the same order in both.
    """

    def __init__(self, path: str, report: ShardReport) -> None:
        self.path, self.report = path, report
        self.places = {clip: place for place, clip in enumerate(report.clips)}
        self._records = tf.data.TFRecordDataset(path).as_numpy_iterator()
        self._next = 0

    def record(self, clip: str) -> bytes | None:
        """The record of a clip that is in `places`; None where it cannot be read any more."""
        skip = self.places[clip] - self._next
        record = None
        if skip >= 0:
            self._next += skip + 1
            with contextlib.suppress(tf.errors.OpError):
                record = next(itertools.islice(self._records, skip, None), None)
        return record


def earlier_shards(task: ShardTask) -> Iterator[EarlierShard]:
    """Those that may hold what a task is to make, as far as they are there whole."""
    for folder, path in task.earlier:
        with contextlib.suppress(ValueError, tf.errors.OpError, OSError):
            report = read_report(os.path.join(folder, report_path(path)))
            shard = os.path.join(folder, path)
            if gfile(shard).stat(shard).length == report.num_bytes:
                yield EarlierShard(shard, report)


def take_whole(
    shards: Iterable[EarlierShard], task: ShardTask, out: str, job: Job
) -> ShardReport | None:
    """Makes the shard of `task` out of one with the same content, if there is one."""
    for shard in shards:
        if shard.report.content == task.content:
            path = os.path.join(out, task.path)
            with replaced(path, os.path.join(out, WORK)) as temporary:
                link(shard.path, temporary)
            return shard.report.replace(
                path=task.path,
                fingerprint=job.fingerprint,
                num_taken_over=shard.report.num_examples,
            )
    return None


def clip_ids(rows: Iterable[Row]) -> list[str]:
    """What the record of each row is made from, for the settings of a job, as a short hash."""
    _, *lines = text_lines(rows, (), _SOURCE)
    return [short_hash([line]) for line in lines]
