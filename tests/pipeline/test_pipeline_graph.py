"""The graph before it runs: what the labels of its manifest decide, and what they rule out."""

import json

import pytest

from pipeline.config import PipelineConfig
from pipeline.pipeline import build_pipeline

TEN_SECONDS = {'video': {'frames_per_second': 1.6}, 'audio': {'seconds': 10.0}}


def build(dataset, finetune=None, gate=None):
    settings = {
        'root': '/nowhere',
        'data': {'videos': '/clips', 'dataset': dataset},
        'start': {'pretrain': 'demo'},
        'finetune': {'recipe': 'demo', **(finetune or {})},
        'gate': gate or {},
    }
    return build_pipeline(PipelineConfig.model_validate(settings), 'run')


@pytest.mark.parametrize(
    ('dataset', 'finetune', 'names'),
    [
        ('folder', {}, 'top1 top5 map clips confusion'),
        ('audioset', {'loss': 'sigmoid'}, 'top1 top5 map dprime clips'),
        ('epic-kitchens', {}, 'top1_noun top5_noun top1_verb top5_verb action clips'),
        ('ave', {'segments': 10, **TEN_SECONDS}, 'top1 top5 clips'),
    ],
)
def test_the_evaluator_is_asked_for_the_metrics_of_the_heads(dataset, finetune, names):
    (evaluator,) = (c for c in build(dataset, finetune).components if c.id == 'Evaluator')
    specs = json.loads(evaluator.exec_properties['eval_config'])['metrics_specs']
    metrics = [json.loads(m['config'])['name'] for spec in specs for m in spec['metrics']]
    assert metrics == names.split()


def test_a_gate_on_a_metric_that_there_is_not_is_refused_at_once():
    with pytest.raises(ValueError, match=r"gate.min_top1 bounds the metric 'top1'"):
        build('epic-kitchens', gate={'min_top1': 0.5})
