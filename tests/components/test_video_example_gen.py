"""The conversion as a component: what a manifest holds ends up in the artifact, with its counts."""

import dataclasses
import os
from pathlib import Path

from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts, standard_component_specs

from avmae_tf.config import ClipLimits, MediaSpec
from avmae_tf.config.heads import EVENT
from avmae_tf.data.dataset import load_dataset
from beam_jobs.datasets import build_manifest
from beam_jobs.manifests import write_manifest
from components.video_example_gen.executor import (
    LIMITS,
    MANIFEST,
    MEDIA,
    NUM_SHARDS,
    WORK_DIR,
    Executor,
)


def executed(folder: Path, number: str) -> standard_artifacts.Examples:
    """The artifact that the executor makes of the manifest in `folder`."""
    settings = {
        MANIFEST: str(folder / 'manifest'),
        MEDIA: MediaSpec(shorter_side_px=32).to_json(),
        LIMITS: ClipLimits().to_json(),
        WORK_DIR: str(folder / 'work'),
        NUM_SHARDS: 0,
    }
    examples = standard_artifacts.Examples()
    examples.uri = str(folder / 'examples' / number)
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=['--direct_running_mode=in_memory'], tmp_dir=str(folder), unique_id='1'
    )
    Executor(context).Do({}, {standard_component_specs.EXAMPLES_KEY: [examples]}, settings)
    return examples


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

    examples = executed(tmp_path, '1')
    dataset = load_dataset(examples.uri)
    assert dataset.heads == {EVENT: ('Bark', 'background')}
    assert {split: dataset.num_examples(split) for split in dataset.splits} == {
        'train': 1, 'eval': 1, 'test': 1,
    }  # fmt: skip
    assert examples.split_names == '["eval", "test", "train"]'
    assert examples.get_int_custom_property('num_clips') == 3
    assert examples.get_int_custom_property('set_aside_missing') == 1
    (pointer,) = os.listdir(tmp_path / 'work')
    assert (tmp_path / 'work' / pointer).read_text() == examples.uri


def test_records_that_an_earlier_run_left_are_taken_over_and_others_are_not(clips, tmp_path):
    videos = sorted((clips.parent / 'train').glob('*.mp4'))[:2]
    (tmp_path / 'list.csv').write_text('path\n' + ''.join(f'{v.name}\n' for v in videos))
    manifest = build_manifest(str(clips.parent / 'train'), str(tmp_path / 'list.csv'))
    write_manifest(str(tmp_path / 'manifest'), manifest)
    first = executed(tmp_path, '1')
    (tmp_path / 'examples/0').mkdir()
    (tmp_path / 'examples/0/job.json').write_text('damaged')
    second = executed(tmp_path, '2')
    shards = [next(Path(e.uri).glob('Split-train/*')) for e in (first, second)]
    assert shards[0].samefile(shards[1]) and shards[0] != shards[1]
    assert load_dataset(second.uri) == load_dataset(first.uri)
    assert second.get_int_custom_property('num_clips') == 2

    shards[0].unlink()  # not all there any more; the second one still is
    assert executed(tmp_path, '3').get_int_custom_property('num_clips') == 2
    write_manifest(
        str(tmp_path / 'manifest'), dataclasses.replace(manifest, rows=manifest.rows[:1])
    )
    assert executed(tmp_path, '4').get_int_custom_property('num_clips') == 1


def test_of_other_clips_only_those_are_converted_that_the_latest_run_did_not_have(clips, tmp_path):
    for count, taken_over in ((3, 0), (5, 3)):
        videos = sorted((clips.parent / 'train').glob('*.mp4'))[:count]
        (tmp_path / 'list.csv').write_text('path\n' + ''.join(f'{v.name}\n' for v in videos))
        manifest = build_manifest(str(clips.parent / 'train'), str(tmp_path / 'list.csv'))
        write_manifest(str(tmp_path / 'manifest'), manifest)
        examples = executed(tmp_path, f'{count}/examples')  # as engines name them: none beside it
        assert examples.get_int_custom_property('num_clips') == count
        assert examples.get_int_custom_property('num_taken_over') == taken_over
