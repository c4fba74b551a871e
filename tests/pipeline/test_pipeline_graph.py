"""The graph before it runs: what the labels of its manifest decide, and what they rule out."""

import json

import pytest

from components.run_parameters.component import EVAL_CONFIG, resolve
from pipeline.config import PipelineConfig
from pipeline.pipeline import build_pipeline

TEN_SECONDS = {'video': {'frames_per_second': 1.6}, 'audio': {'seconds': 10.0}}


def settings(dataset, finetune=None, gate=None) -> PipelineConfig:
    fields = {
        'root': '/nowhere',
        'data': {'videos': '/clips', 'dataset': dataset},
        'start': {'pretrain': 'demo'},
        'finetune': {'recipe': 'demo', **(finetune or {})},
        'gate': gate or {},
    }
    return PipelineConfig.model_validate(fields)


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
    config = resolve(settings(dataset, finetune).settings)[EVAL_CONFIG]
    specs = json.loads(config)['metrics_specs']
    metrics = [json.loads(m['config'])['name'] for spec in specs for m in spec['metrics']]
    assert metrics == names.split()


def test_a_gate_on_a_metric_that_there_is_not_is_refused_at_once():
    with pytest.raises(ValueError, match=r"gate.min_top1 bounds the metric 'top1'"):
        build_pipeline(settings('epic-kitchens', gate={'min_top1': 0.5}), 'run')
