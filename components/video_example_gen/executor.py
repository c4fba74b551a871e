"""Runs the conversion and hands its shards over as an Examples artifact."""

import os
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils, standard_component_specs

from avmae_tf import console
from avmae_tf.config import ClipLimits, MediaSpec
from avmae_tf.data.dataset import load_dataset
from avmae_tf.storage import folders_in, link_into, move_into
from beam_jobs.convert import convert
from beam_jobs.jobs import describe_job, done, folders_of
from beam_jobs.manifests import Manifest, read_manifest
from beam_jobs.shards import job_of, plan_shards
from beam_jobs.summary import Summary

MANIFEST, MEDIA, LIMITS = 'manifest', 'media', 'limits'
WORK_DIR, NUM_SHARDS = 'work_dir', 'num_shards'


class Executor(base_beam_executor.BaseBeamExecutor):
    """Converts in a stable folder, so that a killed run goes on, then moves the result.

    Records of the same clips and settings that an earlier run left are taken over, whatever version
    of this program left them.
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
        examples.set_int_custom_property('num_set_aside', summary.num_set_aside)
        for reason, count in summary.reasons.items():
            examples.set_int_custom_property(f'set_aside_{reason}', count)

    def _records(self, manifest: Manifest, options: dict[str, Any], out: str) -> Summary:
        """Makes or finds the records, which are then in `out`."""
        media = MediaSpec.from_json(options[MEDIA])
        num_shards = options[NUM_SHARDS] or None
        job = describe_job(job_of(manifest, media), plan_shards(manifest, num_shards))
        for earlier in folders_of(job, manifest, folders_in(os.path.dirname(out))):
            if summary := done(earlier):
                console.say(f'  nothing to convert: the records are in {earlier}')
                link_into(earlier, out)
                return summary
        new = os.path.join(options[WORK_DIR], job.fingerprint)
        work = next(folders_of(job, manifest, folders_in(options[WORK_DIR])), new)
        with console.progress('convert', 'clips') as report:
            summary = convert(
                manifest,
                work,
                media,
                num_shards=num_shards,
                limits=ClipLimits.from_json(options[LIMITS]),
                make_pipeline=self._make_beam_pipeline,
                progress=report,
            )
        move_into(work, out)
        return summary
