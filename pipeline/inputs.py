"""What a run writes before its graph starts: the manifest and the schema of the label."""

import os

import tensorflow as tf

from avmae_tf.data.records import write_text
from beam_jobs.manifests import Manifest, plan_folder, read_manifest, write_manifest
from components.evaluation.config import label_schema
from pipeline.config import PipelineConfig

SCHEMA_FILE = 'schema.pbtxt'


def write_inputs(config: PipelineConfig) -> Manifest:
    """Plans the manifest anew; files that would not change are left, so that caches hold."""
    manifest = plan_folder(config.data.videos, config.data.annotations)
    if not tf.io.gfile.exists(config.manifest) or read_manifest(config.manifest) != manifest:
        write_manifest(config.manifest, manifest)
    schema = os.path.join(config.schema_dir, SCHEMA_FILE)
    if not tf.io.gfile.exists(schema):
        write_text(schema, label_schema())
    return manifest
