"""The graph as a file that an engine takes: the same bytes for the same settings, offline."""

import json
import os
from typing import Any

import yaml
from google.protobuf import json_format
from tfx.dsl.compiler import compiler
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner
from tfx.orchestration.pipeline import Pipeline
from tfx.proto.orchestration import pipeline_pb2

from avmae_tf.storage import write_text
from pipeline import engine_spec
from pipeline.beam_options import beam_args, check_beam
from pipeline.checks import NEVER_CACHED, check_target
from pipeline.config import PipelineConfig
from pipeline.pipeline import build_pipeline
from pipeline.targets import KUBEFLOW, LOCAL, VERTEX, Target

FILES = {LOCAL: 'local.json', KUBEFLOW: 'kubeflow.yaml', VERTEX: 'vertex.json'}
# What the engine puts in the place of a parameter: the id that its client gets for the run.
RUN_IDS = {KUBEFLOW: '{{$.pipeline_job_uuid}}', VERTEX: '{{$.pipeline_job_name}}'}


def compile_to(config: PipelineConfig, target: Target, folder: str) -> str:
    """Writes the file of `target` to `folder`; returns its path.

    Raises:
        ValueError: the target cannot run this pipeline; it names the field.
    """
    path = os.path.join(folder, FILES[target])
    write_text(path, compile_text(config, target))
    return path


def compile_text(config: PipelineConfig, target: Target) -> str:
    """What is in the file of `target`: TFX's own graph, YAML for Kubeflow, JSON for Vertex AI."""
    if target == LOCAL:
        return _json(json_format.MessageToDict(compile_local(config, 'run')))
    job = compile_remote(config, target)
    if target == VERTEX:
        return _json(job)
    documents = [job['pipelineSpec'], engine_spec.platform(config, job['pipelineSpec'])]
    return yaml.safe_dump_all([d for d in documents if d], sort_keys=True, width=100)


def compile_local(
    config: PipelineConfig, run_id: str, **runner_settings: Any
) -> pipeline_pb2.Pipeline:
    """The graph for TFX's local runner."""
    pipeline = _checked(config, LOCAL, run_id, **runner_settings)
    graph: pipeline_pb2.Pipeline = compiler.Compiler().compile(pipeline)
    for node in graph.nodes:
        name = node.pipeline_node.node_info.id
        if name in NEVER_CACHED or not config.targets.local.step(name).is_cached:
            node.pipeline_node.execution_options.caching_options.enable_cache = False
    return graph


def compile_remote(config: PipelineConfig, target: Target) -> dict[str, Any]:
    """The graph as a PipelineJob for an engine."""
    settings = config.targets.of(target)
    pipeline = _checked(config, target, RUN_IDS[target])
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
            display_name=config.name,
            default_image=settings.image,
            default_commands=list(engine_spec.COMMAND),
            use_pipeline_spec_2_1=True,
        )
    )
    job: dict[str, Any] = runner.run(pipeline, write_out=False)
    return engine_spec.finish(job, config, target)


def _checked(config: PipelineConfig, target: Target, run_id: str, **settings: Any) -> Pipeline:
    pipeline = build_pipeline(config, run_id, **settings)
    check_target(config, target, [node.id for node in pipeline.components])
    check_beam(config, target)
    for node in pipeline.components:
        if isinstance(node, BaseBeamComponent):
            node.with_beam_pipeline_args(beam_args(config, target))
    return pipeline


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + '\n'
