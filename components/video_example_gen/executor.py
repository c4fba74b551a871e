"""Runs the conversion and hands its shards over as an Examples artifact."""

import dataclasses
import os
from typing import Any

from tfx import types
from tfx.types import artifact_utils, standard_component_specs

from avmae_tf import console
from avmae_tf.config import ClipLimits, MediaSpec
from avmae_tf.data.dataset import load_dataset
from avmae_tf.folders import link_into, move_into
from avmae_tf.storage import exists, folders_in, open_text, write_text
from beam_jobs.convert import carry_out
from beam_jobs.jobs import JobDescription, describe_job, done, folders_of
from beam_jobs.manifests import Manifest, read_manifest
from beam_jobs.shards import Planned, plan_job
from beam_jobs.summary import Summary
from components.on_beam import OnBeam

MANIFEST, MEDIA, LIMITS = 'manifest', 'media', 'limits'
WORK_DIR, NUM_SHARDS = 'work_dir', 'num_shards'


class Executor(OnBeam):
    """Converts in a stable folder, so that a killed run goes on, then moves the result.

    Records of the same clips and settings that an earlier run left are taken over, whatever version
    of this program left them. Where the clips are others, those of the latest run are taken that
    have not changed: a file in the stable folder says where it left them.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Converts, moves the records into the artifact, and counts what was set aside."""
        examples = artifact_utils.get_single_instance(
            output_dict[standard_component_specs.EXAMPLES_KEY]
        )
        manifest = read_manifest(exec_properties[MANIFEST])
        summary = self._records(manifest, exec_properties, examples.uri)
        for line in summary.describe(examples.uri):
            console.say(f'  {line}')
        examples.split_names = artifact_utils.encode_split_names(
            sorted(load_dataset(examples.uri).splits)
        )
        examples.set_int_custom_property('num_clips', summary.clips)
        examples.set_int_custom_property('num_taken_over', summary.taken_over)
        examples.set_int_custom_property('num_set_aside', summary.num_set_aside)
        for reason, count in summary.reasons.items():
            examples.set_int_custom_property(f'set_aside_{reason}', count)

    def _records(self, manifest: Manifest, options: dict[str, Any], out: str) -> Summary:
        """Makes or finds the records, which are then in `out`."""
        planned = plan_job(
            manifest,
            MediaSpec.from_json(options[MEDIA]),
            num_shards=options[NUM_SHARDS] or None,
            limits=ClipLimits.from_json(options[LIMITS]),
        )
        job, work_dir = describe_job(planned), options[WORK_DIR]
        pointer = os.path.join(work_dir, f'latest-{job.settings}.txt')
        summary = _found(job, manifest, out) or self._made(planned, job, work_dir, pointer, out)
        write_text(pointer, out)
        return summary

    def _made(
        self, planned: Planned, job: JobDescription, work_dir: str, pointer: str, out: str
    ) -> Summary:
        """Converts what no earlier run left: the latest one, or one that was killed."""
        begun = folders_in(work_dir)
        new = os.path.join(work_dir, job.fingerprint)
        work = next(folders_of(job, planned.manifest, begun), new)
        latest = [open_text(pointer).read()] if exists(pointer) else []
        with console.progress('convert', 'clips') as report:
            summary = carry_out(
                planned,
                work,
                earlier=[*latest, *(folder for folder in begun if folder != work)],
                make_pipeline=self._make_beam_pipeline,
                progress=report,
            )
        move_into(work, out)
        return summary


def _found(job: JobDescription, manifest: Manifest, out: str) -> Summary | None:
    """Takes over the records of the same clips and settings that lie beside `out`, if there are."""
    for earlier in folders_of(job, manifest, folders_in(os.path.dirname(out))):
        if summary := done(earlier):
            console.say(f'  nothing to convert: the records are in {earlier}')
            link_into(earlier, out)
            return dataclasses.replace(summary, taken_over=summary.clips)
    return None
