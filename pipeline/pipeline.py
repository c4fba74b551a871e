"""The graph: videos to a pushed classifier, the same for every runner."""

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


def build_pipeline(config: PipelineConfig, classes: Classes, **runner_settings: Any) -> Pipeline:
    """VideoExampleGen, Pretrainer, Finetuner, Evaluator, Pusher, and what they need.

    `classes` are those of the manifest, by head.

    Raises:
        ValueError: the settings of finetuning do not go with them, or the gate bounds a metric
            that a classifier of them does not have.
    """
    heads = head_sizes(config.finetune, classes)
    run = config.run.to_json()

    example_gen = VideoExampleGen(
        manifest=config.manifest,
        media=config.data.media,
        limits=config.data.limits,
        work_dir=f'{config.work_dir}/records',
        num_shards=config.data.num_shards,
    )
    pretrainer = Pretrainer(
        examples=example_gen.outputs['examples'],
        config=config.pretrain.to_json(),
        run=run,
        work_dir=config.work_dir,
        learning_version=LEARNING_VERSION,
    )
    finetuner = Finetuner(
        examples=example_gen.outputs['examples'],
        pretrained=pretrainer.outputs['model'],
        config=config.finetune.to_json(),
        run=run,
        name=config.name,
        work_dir=config.work_dir,
        learning_version=LEARNING_VERSION,
    )
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
        components=[example_gen, pretrainer, finetuner, baseline, schema, evaluator, pusher],
        enable_cache=True,
        **runner_settings,
    )
