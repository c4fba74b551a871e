"""The graph before it runs: what the labels of its manifest decide, and what they rule out."""

import json

import pytest
from pipeline.inputs import check_labelled, check_one_label

from beam_jobs.manifests import Manifest, Row
from pipeline.config import PipelineConfig
from pipeline.pipeline import build_pipeline

LABEL = {'label': ('cat', 'dog')}
ACTIONS = {'noun': ('cup', 'pan'), 'verb': ('put', 'take')}
EVENTS = {'event': ('bark', 'background')}
TEN_SECONDS = {'video': {'frames_per_second': 1.6}, 'audio': {'seconds': 10.0}}


def build(classes, finetune=None, gate=None):
    settings = {
        'root': '/nowhere',
        'data': {'videos': '/clips'},
        'start': {'pretrain': 'demo'},
        'finetune': {'recipe': 'demo', **(finetune or {})},
        'gate': gate or {},
    }
    return build_pipeline(PipelineConfig.model_validate(settings), classes)


@pytest.mark.parametrize(
    ('classes', 'finetune', 'names'),
    [
        (LABEL, {}, 'top1 top5 map clips confusion'),
        (LABEL, {'loss': 'sigmoid'}, 'top1 top5 map dprime clips'),
        (ACTIONS, {}, 'top1_noun top5_noun top1_verb top5_verb action clips'),
        (EVENTS, {'segments': 10, **TEN_SECONDS}, 'top1 top5 clips'),
    ],
)
def test_the_evaluator_is_asked_for_the_metrics_of_the_heads(classes, finetune, names):
    (evaluator,) = (c for c in build(classes, finetune).components if c.id == 'Evaluator')
    specs = json.loads(evaluator.exec_properties['eval_config'])['metrics_specs']
    metrics = [json.loads(m['config'])['name'] for spec in specs for m in spec['metrics']]
    assert metrics == names.split()


@pytest.mark.parametrize(
    ('classes', 'settings', 'message'),
    [
        ({}, {}, 'at least two classes, got {}'),
        (EVENTS, {}, r"segments must be 10 for records with the heads \['event'\], got 1"),
        (EVENTS, {'finetune': {'segments': 10}}, "of 10 s .* got {'video': 2.0, 'audio': 2.0}"),
        (LABEL, {'finetune': {'segments': 10}}, 'segments must be 1 .* got 10'),
        (ACTIONS, {'gate': {'min_top1': 0.5}}, "gate.min_top1 bounds the metric 'top1'"),
    ],
)
def test_what_could_not_be_finetuned_or_gated_is_refused_at_once(classes, settings, message):
    with pytest.raises(ValueError, match=message):
        build(classes, **settings)


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
