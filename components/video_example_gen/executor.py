"""Runs the conversion and hands its shards over as an Examples artifact."""

import os
from typing import Any

from google.protobuf import struct_pb2
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import proto_utils

from avmae_tf import console
from avmae_tf.config import ClipLimits, MediaSpec
from avmae_tf.data.dataset import load_dataset
from avmae_tf.storage import move_into
from beam_jobs.convert import convert
from beam_jobs.manifests import read_manifest
from beam_jobs.shards import job_of

MEDIA, LIMITS, WORK_DIR, NUM_SHARDS = 'media', 'limits', 'work_dir', 'num_shards'


class Executor(base_beam_executor.BaseBeamExecutor):
    """Converts in a stable folder, so that a killed run goes on, then moves the result."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        config = example_gen_pb2.CustomConfig()
        proto_utils.json_to_proto(
            exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY], config
        )
        options = struct_pb2.Struct()
        config.custom_config.Unpack(options)
        examples = artifact_utils.get_single_instance(
            output_dict[standard_component_specs.EXAMPLES_KEY]
        )

        manifest = read_manifest(exec_properties[standard_component_specs.INPUT_BASE_KEY])
        media = MediaSpec.from_json(options[MEDIA])
        work = os.path.join(options[WORK_DIR], job_of(manifest, media).fingerprint)
        with console.progress('convert', 'clips') as report:
            summary = convert(
                manifest,
                work,
                media,
                num_shards=int(options[NUM_SHARDS]) or None,
                limits=ClipLimits.from_json(options[LIMITS]),
                make_pipeline=self._make_beam_pipeline,
                progress=report,
            )
        for line in summary.describe(examples.uri):
            console.say(f'  {line}')

        move_into(work, examples.uri)
        examples.split_names = artifact_utils.encode_split_names(
            sorted(load_dataset(examples.uri).splits)
        )
        examples.set_int_custom_property('num_clips', summary.clips)
        examples.set_int_custom_property('num_set_aside', summary.num_set_aside)
        for reason, count in summary.reasons.items():
            examples.set_int_custom_property(f'set_aside_{reason}', count)
