"""The conversion as a component: what a manifest holds ends up in the artifact, with its counts."""

import os

from google.protobuf import struct_pb2
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts, standard_component_specs
from tfx.utils import proto_utils

from avmae_tf.config import ClipLimits, MediaSpec
from avmae_tf.config.heads import EVENT
from avmae_tf.data.dataset import load_dataset
from beam_jobs.datasets import build_manifest
from beam_jobs.manifests import write_manifest
from components.video_example_gen.executor import LIMITS, MEDIA, NUM_SHARDS, WORK_DIR, Executor


def test_a_manifest_becomes_an_artifact_with_the_splits_of_its_data_set(clips, tmp_path):
    videos = sorted((clips.parent / 'train').glob('*.mp4'))[:3]
    lists = tmp_path / 'lists'
    lists.mkdir()
    for split, video in zip(('train', 'val', 'test'), videos, strict=True):
        (lists / f'{split}Set.txt').write_text(f'Bark&{video.stem}&good&0&10\n')
    with open(lists / 'trainSet.txt', 'a') as f:
        f.write('Bark&nowhere&good&0&10\n')
    manifest = build_manifest(str(clips.parent), str(lists), name='ave')
    write_manifest(str(tmp_path / 'manifest'), manifest)

    options = struct_pb2.Struct()
    options[MEDIA] = MediaSpec(shorter_side_px=32).to_json()
    options[LIMITS] = ClipLimits().to_json()
    options[WORK_DIR], options[NUM_SHARDS] = str(tmp_path / 'work'), 0
    custom_config = example_gen_pb2.CustomConfig()
    custom_config.custom_config.Pack(options)
    examples = standard_artifacts.Examples()
    examples.uri = str(tmp_path / 'examples')
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=['--direct_running_mode=in_memory'], tmp_dir=str(tmp_path), unique_id='1'
    )
    Executor(context).Do(
        {},
        {standard_component_specs.EXAMPLES_KEY: [examples]},
        {
            standard_component_specs.INPUT_BASE_KEY: str(tmp_path / 'manifest'),
            standard_component_specs.CUSTOM_CONFIG_KEY: proto_utils.proto_to_json(custom_config),
        },
    )
    dataset = load_dataset(examples.uri)
    assert dataset.heads == {EVENT: ('Bark', 'background')}
    assert {split: dataset.num_examples(split) for split in dataset.splits} == {
        'train': 1, 'eval': 1, 'test': 1,
    }  # fmt: skip
    assert examples.split_names == '["eval", "test", "train"]'
    assert examples.get_int_custom_property('num_clips') == 3
    assert examples.get_int_custom_property('set_aside_missing') == 1
    assert os.listdir(tmp_path / 'work') == []
