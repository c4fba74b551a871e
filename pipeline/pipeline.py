"""The graph: videos to a pushed classifier, the same for every runner."""

import json
from typing import Any

from tfx.components.pusher.component import Pusher
from tfx.dsl.components.base import executor_spec
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import pusher_pb2
from tfx.types.channel import Channel
from tfx.types.standard_artifacts import Model, ModelBlessing, Schema

from avmae_tf.config.heads import Classes
from avmae_tf.config.splits import EVAL
from avmae_tf.training.tasks import head_sizes
from avmae_tf.versions import LEARNING_VERSION
from components.evaluation.config import eval_config
from components.evaluator.component import Evaluator
from components.finetuner.component import Finetuner
from components.pretrainer.component import Pretrainer
from components.pusher import executor as push_executor
from components.video_example_gen.component import VideoExampleGen
from pipeline.baseline import CANDIDATE, LatestOtherBlessedModel
from pipeline.config import PipelineConfig


def build_pipeline(
    config: PipelineConfig, classes: Classes, *, start_fingerprint: Any = '', **runner_settings: Any
) -> Pipeline:
    """VideoExampleGen, Pretrainer, Finetuner, Evaluator, Pusher, and what they need.

    It looks at no file: a runner that cannot know what the graph depends on gives what stands for
    it until the run.

    Args:
        config: With `start.pretrain` there is a Pretrainer, otherwise there is none.
        classes: Those of the manifest, by head.
        start_fingerprint: Of the models of `start`, which makes a changed one run anew: a text, a
            RuntimeParameter, or the future value of an output of another component.
        runner_settings: Of the Pipeline.

    Raises:
        ValueError: the settings of finetuning do not go with them, or the gate bounds a metric
            that a classifier of them does not have.
    """
    heads = head_sizes(config.finetune, classes)

    example_gen = VideoExampleGen(
        manifest=config.manifest,
        media=config.data.media,
        limits=config.data.limits,
        work_dir=f'{config.work_dir}/records',
        num_shards=config.data.num_shards,
    )
    trainers = _trainers(config, example_gen.outputs['examples'], start_fingerprint)
    finetuner = trainers[-1]
    baseline = Resolver(
        strategy_class=LatestOtherBlessedModel,
        model=Channel(type=Model),
        model_blessing=Channel(type=ModelBlessing),
        **{CANDIDATE: finetuner.outputs['model']},
    ).with_id('Baseline')
    schema = Importer(source_uri=config.schema_dir, artifact_type=Schema).with_id('LabelSchema')
    evaluator = Evaluator(
        examples=example_gen.outputs['examples'],
        model=finetuner.outputs['model'],
        baseline_model=baseline.outputs['model'],
        schema=schema.outputs['result'],
        eval_config=eval_config(config.gate, heads, config.finetune.loss),
        example_splits=[EVAL],
    )
    pusher = Pusher(
        model=finetuner.outputs['model'],
        model_blessing=evaluator.outputs['blessing'],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=config.serving)
        ),
        custom_executor_spec=executor_spec.ExecutorClassSpec(push_executor.Executor),
    )
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=config.pipeline_root,
        components=[example_gen, *trainers, baseline, schema, evaluator, pusher],
        enable_cache=True,
        **runner_settings,
    )


def _trainers(config: PipelineConfig, examples: Channel, start_fingerprint: Any) -> list[Any]:
    """The components that train, the Finetuner last."""
    common = {
        'examples': examples,
        'run': config.run.to_json(),
        'work_dir': config.work_dir,
        'learning_version': LEARNING_VERSION,
    }
    finetune = {'config': config.finetune.to_json(), 'name': config.name, **common}
    if config.start.pretrain:
        pretrainer = Pretrainer(config=config.start.pretrain.to_json(), **common)
        return [pretrainer, Finetuner(pretrained=pretrainer.outputs['model'], **finetune)]
    if config.start.models:
        start = json.dumps(config.start.models)
        return [Finetuner(start=start, start_fingerprint=start_fingerprint, **finetune)]
    return [Finetuner(**finetune)]
