"""The manifest as a component: what it rules out, and that the same videos are the same path."""

import json
import os
from pathlib import Path

import pytest

from beam_jobs.data_config import DataConfig
from beam_jobs.manifests import Manifest, Row, read_manifest
from components.manifest_gen.checks import check_labelled, check_one_label
from components.manifest_gen.component import keep, list_clips


def test_the_same_videos_are_the_same_path_and_a_changed_one_is_another(
    clips, finetune_config, tmp_path
):
    data = DataConfig(videos=str(clips.parent), annotations=str(clips))
    folder = str(tmp_path / 'manifests')
    first, second = (keep(list_clips(data, finetune_config), folder) for _ in range(2))
    assert first == second and os.listdir(folder) == [Path(first).name]
    assert read_manifest(first) == list_clips(data, finetune_config)
    assert json.loads(Path(first, 'plan.json').read_text())['splits']['train']['clips'] == 48
    (tmp_path / 'less.csv').write_text(''.join(clips.read_text().splitlines(True)[:-1]))
    other = data.replace(annotations=str(tmp_path / 'less.csv'))
    assert keep(list_clips(other, finetune_config), folder) != first


def test_half_a_manifest_is_written_anew(clips, finetune_config, tmp_path):
    manifest = list_clips(
        DataConfig(videos=str(clips.parent), annotations=str(clips)), finetune_config
    )
    path = keep(manifest, str(tmp_path))
    os.unlink(os.path.join(path, 'manifest.json'))  # which is written last
    assert read_manifest(keep(manifest, str(tmp_path))) == manifest


def test_several_labels_are_no_softmax_but_an_event_a_second_is():
    def manifest(labels):
        return Manifest((Row('a.mp4', 'a', '/a.mp4', 'train', labels),), {})

    check_one_label(manifest({'event': ('bark',) * 10}))
    check_one_label(manifest({'noun': ('cup',), 'verb': ('put',)}))
    with pytest.raises(ValueError, match=r'a.mp4: a softmax needs one label .* got cat, dog; set'):
        check_one_label(manifest({'label': ('cat', 'dog')}))


def test_a_split_whose_labelled_clips_are_missing_is_refused_before_the_work():
    def manifest(split, labels, modified_ns):
        row = Row('a', 'a', 'a', 'train', {'label': ('cat',)}, modified_ns=1)
        other = Row('b', 'b', 'b', split, labels, modified_ns=modified_ns)
        return Manifest((row, other), {'label': ('cat', 'dog')}, 'videos')

    check_labelled(manifest('eval', {'label': ('dog',)}, 1))
    for case in (('eval', {}, 1), ('eval', {'label': ('dog',)}, 0), ('train', {}, 1)):
        with pytest.raises(ValueError, match="videos: no clip of the split 'eval' that is there"):
            check_labelled(manifest(*case))


def test_what_could_not_be_finetuned_is_refused_before_the_work(clips, finetune_config):
    data = DataConfig(videos=str(clips.parent), annotations=str(clips))
    with pytest.raises(ValueError, match=r'segments must be 1 .* got 10'):
        list_clips(data, finetune_config.replace(segments=10))
    with pytest.raises(ValueError, match=r'at least two classes, got \{\}'):
        list_clips(data.replace(annotations=None), finetune_config)
