"""What passes the gate, by TFX's own Evaluator on a small model, and what the outcome says."""

import math

import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tfx.components.evaluator import executor
from tfx.components.pusher.executor import Executor as Pusher
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts as artifacts
from tfx.utils import proto_utils

from avmae_tf.storage import read_settings
from components.evaluation.config import Gate, eval_config, label_schema
from components.evaluation.measures import Undefined
from components.outcome import judgement
from components.outcome.component import LAST, Outcome, RunOutcome
from components.outcome.judgement import read_shortfalls

CLIPS, RIGHT = 8, 5


@pytest.fixture(scope='module')
def inputs(tmp_path_factory):
    """Records, a schema, and a model that is right about five clips of eight."""
    folder = tmp_path_factory.mktemp('gate')
    split = folder / 'records/Split-eval'
    split.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(split / 'clips')) as writer:
        for clip in range(CLIPS):
            label = tf.train.Feature(int64_list=tf.train.Int64List(value=[clip >= RIGHT]))
            features = tf.train.Features(feature={'clip/label/index': label})
            writer.write(tf.train.Example(features=features).SerializeToString())
    (folder / 'schema').mkdir()
    (folder / 'schema/schema.pbtxt').write_text(label_schema())

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name='examples')])
    def classify(examples):
        return {'scores': tf.tile([[0.9, 0.1]], [tf.size(examples), 1])}

    module = tf.Module()
    module.weight = tf.Variable(1.0)
    tf.saved_model.save(module, str(folder / 'model/Format-Serving'), signatures=classify)
    examples, model, schema = artifacts.Examples(), artifacts.Model(), artifacts.Schema()
    examples.split_names = '["eval"]'
    for artifact, name in ((examples, 'records'), (model, 'model'), (schema, 'schema')):
        artifact.uri = str(folder / name)
    model.id = 4
    return {'examples': [examples], 'model': [model], 'schema': [schema]}


def judge(inputs, folder, gate: Gate) -> tuple[Outcome, bool]:
    """The outcome, and whether the Pusher would push."""
    outputs = {'blessing': artifacts.ModelBlessing(), 'evaluation': artifacts.ModelEvaluation()}
    for name, artifact in outputs.items():
        artifact.uri = str(folder / name)
    properties = {
        'eval_config': proto_utils.proto_to_json(eval_config(gate)),
        'example_splits': '["eval"]',
        'fairness_indicator_thresholds': 'null',
    }
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=[], tmp_dir=str(folder / 'tmp'), unique_id='1'
    )
    executor.Executor(context).Do(inputs, {k: [v] for k, v in outputs.items()}, properties)
    RunOutcome.EXECUTOR_SPEC.executor_class._FUNCTION(
        evaluation=outputs['evaluation'],
        blessing=outputs['blessing'],
        pushed_model=artifacts.PushedModel(),
        folder=str(folder / 'outcomes'),
        run='run',
    )
    last = read_settings(str(folder / f'outcomes/{LAST}.json'), Outcome, '')
    return last, Pusher().CheckBlessing({'model_blessing': [outputs['blessing']]})


def test_a_first_model_passes_a_gate_that_only_compares(inputs, tmp_path):
    # Without an earlier model TFMA drops the comparison, and an open gate is all that is left.
    outcome, pushed = judge(inputs, tmp_path, Gate())
    assert pushed and outcome.blessed and not outcome.compared
    assert outcome.shortfalls == ()


def test_a_gate_without_bounds_is_known_as_open():
    assert Gate(max_loss_of_top1=None).is_open
    assert not Gate().is_open and not Gate(max_loss_of_top1=None, min_map=0.0).is_open


def test_a_model_below_its_bound_is_refused_with_the_figures(inputs, tmp_path):
    outcome, pushed = judge(inputs, tmp_path, Gate(min_top1=0.7))
    assert not pushed and not outcome.blessed
    (shortfall,) = map(str, outcome.shortfalls)
    assert shortfall == 'top1 is 0.625, 0.075 below the gate of 0.700'


@pytest.mark.parametrize('value', [math.nan, None])
@pytest.mark.parametrize('compared', [True, False])
def test_a_bounded_metric_that_is_undefined_is_the_reason(monkeypatch, value, compared):
    result = tfma.ValidationResult()
    failure = result.metric_validations_per_slice.add().failures.add()
    failure.metric_key.name = 'map'
    failure.metric_key.is_diff = compared
    if value is not None:
        failure.metric_value.double_value.value = value
    failure.metric_threshold.value_threshold.lower_bound.value = 0.5
    monkeypatch.setattr(tfma, 'load_validation_result', lambda _: result)
    measured = {'map': Undefined('no clip has a label')} if value else {}
    monkeypatch.setattr(judgement, 'read_metrics', lambda _: measured)
    (shortfall,) = map(str, read_shortfalls('report'))
    reason = 'no clip has a label' if value else 'it is not in the report'
    assert shortfall == f'map is bounded by the gate, and undefined on these clips: {reason}'
