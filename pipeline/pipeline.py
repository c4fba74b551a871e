"""The graph: videos to a pushed classifier, the same for every runner."""

import json
from typing import Any

from tfx.components.pusher.component import Pusher
from tfx.dsl.components.base import executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import pusher_pb2
from tfx.types import BaseChannel

from avmae_tf.config.splits import EVAL
from avmae_tf.versions import LEARNING_VERSION
from components.evaluation.config import label_schema
from components.evaluator.component import Evaluator
from components.evaluator.schema import LabelSchema
from components.finetuner.component import Finetuner
from components.finetuner.start import StartModels
from components.manifest_gen.component import ManifestGen
from components.outcome.component import RunOutcome
from components.pretrainer.component import Pretrainer
from components.pusher import executor as push_executor
from components.run_parameters.component import (
    DATA,
    EVAL_CONFIG,
    FINETUNE,
    OUTPUTS,
    PRETRAIN,
    RunParameters,
)
from components.served_model.component import Baseline, ServedModel
from components.video_example_gen.component import VideoExampleGen
from pipeline.config import PipelineConfig


def build_pipeline(config: PipelineConfig, run_id: Any, **runner_settings: Any) -> Pipeline:
    """The components and what they need of each other. It looks at no file, and at no network.

    What only a look can tell is found by components that are never cached: their results are
    parameters of what follows, which is cached by them, on every engine alike.

    Args:
        config: With `start.pretrain` there is a Pretrainer, otherwise there is none.
        run_id: Id of the run: a text, a RuntimeParameter or an engine's placeholder.
        runner_settings: Of the Pipeline.

    Raises:
        ValueError: the gate bounds a metric that a classifier of such clips does not have.
    """
    parameters = RunParameters(
        config.settings,
        {
            name: RuntimeParameter(name=name, ptype=str, default=text)
            for name, text in config.settings.parameters.items()
        },
    )
    settings = {name: _value(parameters, name) for name in OUTPUTS}
    manifest_gen = ManifestGen(
        data=settings[DATA], finetune=settings[FINETUNE], folder=config.manifests
    )
    example_gen = VideoExampleGen(
        manifest=_value(manifest_gen, 'manifest'),
        media=config.data.media,
        limits=config.data.limits,
        work_dir=f'{config.work_dir}/records',
        num_shards=config.data.num_shards,
    )
    trainers = _trainers(config, settings, example_gen.outputs['examples'])
    if config.start.models:
        manifest_gen.add_upstream_node(trainers[0])  # looked at before any video
    finetuner = trainers[-1]
    served = ServedModel(candidate=finetuner.outputs['model'], serving=config.serving)
    baseline = Baseline(version=_value(served, 'version'))
    schema = LabelSchema(text=label_schema())
    evaluator = Evaluator(
        examples=example_gen.outputs['examples'],
        model=finetuner.outputs['model'],
        baseline_model=baseline.outputs['model'],
        schema=schema.outputs['schema'],
        eval_config=settings[EVAL_CONFIG],
        splits=(EVAL,),
    )
    pusher = Pusher(
        model=finetuner.outputs['model'],
        model_blessing=evaluator.outputs['blessing'],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=config.serving)
        ),
        custom_executor_spec=executor_spec.ExecutorClassSpec(push_executor.Executor),
    )
    outcome = RunOutcome(
        evaluation=evaluator.outputs['evaluation'],
        blessing=evaluator.outputs['blessing'],
        pushed_model=pusher.outputs['pushed_model'],
        folder=config.outcomes,
        run=run_id,
        notify=config.notify or '',
    )
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=config.pipeline_root,
        components=[
            *(parameters, manifest_gen, example_gen, *trainers, served, baseline, schema),
            *(evaluator, pusher, outcome),
        ],
        enable_cache=True,
        **runner_settings,
    )


def _value(node: Any, name: str) -> Any:
    """What a component returns under a name, as a parameter of another."""
    return node.outputs[name].future()[0].value


def _trainers(config: PipelineConfig, settings: dict[str, Any], examples: BaseChannel) -> list[Any]:
    """The components that train, and what they start from, the Finetuner last."""
    common = {
        'examples': examples,
        'run': config.run.to_json(),
        'work_dir': config.work_dir,
        'learning_version': LEARNING_VERSION,
    }
    finetune = {'config': settings[FINETUNE], 'name': config.name, **common}
    if config.start.pretrain:
        pretrainer = Pretrainer(config=settings[PRETRAIN], **common)
        return [pretrainer, Finetuner(pretrained=pretrainer.outputs['model'], **finetune)]
    if config.start.models:
        start = json.dumps(config.start.models)
        models = StartModels(start=start, finetune=finetune['config'])
        fingerprint = _value(models, 'fingerprint')
        return [models, Finetuner(start=start, start_fingerprint=fingerprint, **finetune)]
    return [Finetuner(**finetune)]
