"""Which job a folder of records belongs to (`job.json`), and whether the job is done."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator
from typing import ClassVar

from avmae_tf.config import MediaSpec
from avmae_tf.config.descriptions import Description
from avmae_tf.config.migrations import JOB_FILE
from avmae_tf.data.dataset import check_sizes, load_dataset
from avmae_tf.storage import check_folder, exists, read_settings, short_hash, write_text
from avmae_tf.versions import CONVERSION_VERSION
from beam_jobs.manifests import Manifest
from beam_jobs.shards import DIVISION, Planned
from beam_jobs.summary import Summary, read_summary

_MEDIA_OF_VERSION_1 = 'frames_per_second jpeg_quality min_seconds required shorter_side_px'.split()


class JobDescription(Description):
    """What `job.json` holds: the clips and settings that the records in its folder are made of."""

    FILE: ClassVar[str] = JOB_FILE
    fingerprint: str  # what the shards of this folder call their job
    shards: tuple[str, ...]
    conversion_version: int = 1
    division: int = 1
    manifest: str | None = None  # version 1 has these three in its fingerprint alone
    media: MediaSpec | None = None
    record_format: str | None = None

    def is_of(self, other: 'JobDescription', manifest: Manifest) -> bool:
        """Whether it is the same job as `other`, that of `manifest`, whatever version wrote it."""
        if self.conversion_version != other.conversion_version:
            return False
        if self.division == other.division and self.shards != other.shards:
            return False
        if self.media is None:
            return self.fingerprint in other._fingerprints_of_version_1(manifest)
        return (self.manifest, self.media, self.record_format) == (
            *(other.manifest, other.media, other.record_format),
        )

    def is_like(self, other: 'JobDescription') -> bool:
        """Whether both make the same record of the same clip, and divide clips in the same way."""
        names = ('conversion_version', 'division', 'media', 'record_format')
        return all(getattr(self, name) == getattr(other, name) for name in names)

    @property
    def settings(self) -> str:
        """A hash that jobs share which are alike."""
        media = self.media and self.media.to_json()
        text = f'{self.conversion_version}\n{self.division}\n{media}\n{self.record_format}'
        return short_hash([text.encode()])

    def _fingerprints_of_version_1(self, manifest: Manifest) -> set[str]:
        """What version 1 called this job; its first commits named files with their folder."""
        media = self.media or MediaSpec()
        settings = media.model_dump(mode='json', include=set(_MEDIA_OF_VERSION_1))
        if MediaSpec.model_validate(settings) != media:
            return set()  # it could not have had such settings
        text = f'{json.dumps(settings, sort_keys=True)}\n{self.record_format}'
        rows = (
            dataclasses.replace(row, path=os.path.join(manifest.videos, row.path))
            for row in manifest.rows
        )
        return {
            short_hash([f'{m.fingerprint}\n{text}'.encode()])
            for m in (manifest, dataclasses.replace(manifest, rows=tuple(rows)))
        }


def describe_job(planned: Planned) -> JobDescription:
    """The description of a job that starts now."""
    job = planned.job
    return JobDescription(
        fingerprint=job.fingerprint,
        shards=tuple(plan.path for plan in planned.shards),
        conversion_version=CONVERSION_VERSION,
        division=DIVISION,
        manifest=job.manifest,
        media=job.media,
        record_format=job.record_format,
    )


def job_in(folder: str) -> JobDescription | None:
    """The description of the job that `folder` belongs to, None if there is none.

    Raises:
        ValueError: the description is damaged, or of a later version.
    """
    path = os.path.join(folder, JOB_FILE)
    if not exists(path):
        return None
    return read_settings(path, JobDescription, 'give another folder, or delete this one')


def check_like(folder: str, planned: Planned) -> None:
    """Raises ValueError where nothing of `folder` could be taken over by a job."""
    found = job_in(folder)
    if found is None:
        raise ValueError(f'{folder}: no records of `avmae convert` here (no {JOB_FILE})')
    if not found.is_like(describe_job(planned)):
        raise ValueError(
            f'{folder}: holds records of other settings, or of another version of the conversion, '
            'of which nothing can be taken over; leave --earlier out'
        )


def claim(out: str, job: JobDescription, manifest: Manifest) -> JobDescription:
    """Makes `out` the folder of a job, or finds that it is; returns the description there.

    Raises:
        ValueError: it is another job's, or a file.
    """
    check_folder(out)
    before = job_in(out)
    if before is None:
        write_text(os.path.join(out, JOB_FILE), job.to_json())
        return job
    if not _serves(out, before, job, manifest):
        raise ValueError(
            f'{out}: holds records of other videos, annotations or settings, or of another '
            'version of the conversion; give another folder, or delete this one'
        )
    return before


def folders_of(job: JobDescription, manifest: Manifest, folders: Iterable[str]) -> Iterator[str]:
    """Those of `folders` that hold work of this job, done or not, whatever version began it."""
    for folder in folders:
        found = None
        with contextlib.suppress(ValueError):  # damaged, and left alone
            found = job_in(folder)
        if found and _serves(folder, found, job, manifest):
            yield folder


def _serves(folder: str, found: JobDescription, job: JobDescription, manifest: Manifest) -> bool:
    """Whether what is in a folder is of `job`; if it is divided otherwise, it must be done."""
    return found.is_of(job, manifest) and (found.division == job.division or bool(done(folder)))


def done(folder: str) -> Summary | None:
    """The summary of the job in `folder` if all of its records are there, else None."""
    try:
        dataset = load_dataset(folder)
        held = [s for s, shards in dataset.splits.items() if any(x.num_examples for x in shards)]
        check_sizes(folder, dataset, held)
        return read_summary(folder)
    except ValueError:
        return None
