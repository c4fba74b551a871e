"""A pipeline of three cheap nodes, with the metadata of PipelineConfig: ROOT METADATA NAME RUN."""

import os
import sys

from avmae_tf import console

console.quiet()

from tfx.dsl.compiler import compiler, constants  # noqa: E402
from tfx.dsl.component.experimental.annotations import OutputDict, Parameter  # noqa: E402
from tfx.dsl.component.experimental.decorators import component  # noqa: E402
from tfx.orchestration.pipeline import Pipeline  # noqa: E402

from components.evaluator.schema import LabelSchema  # noqa: E402
from components.served_model.component import Baseline  # noqa: E402
from pipeline import local_runner, metadata  # noqa: E402
from pipeline.config import PipelineConfig  # noqa: E402
from pipeline.nodes import read_nodes  # noqa: E402


@component
def Value(text: Parameter[str]) -> OutputDict(value=str):
    return {'value': text}


root, where, name, *runs = sys.argv[1:]
config = PipelineConfig(
    root=root, metadata=where, name=name, data={'videos': 'clips'}, start='scratch', finetune='demo'
)
os.makedirs(root, exist_ok=True)
# Its value is a parameter of the others, which are cached by it, though it never is itself.
value = Value(text=r'a "\backslash" \d é')
text = value.outputs['value'].future()[0].value
components = [value, LabelSchema(text=text), Baseline(version='')]
for run in runs:
    with metadata.alone(config):
        store = metadata.connection(config)
        metadata.make_tables(store)
        graph = compiler.Compiler().compile(
            Pipeline(
                pipeline_name=name,
                pipeline_root=config.pipeline_root,
                components=components,
                enable_cache=True,
                metadata_connection_config=store,
            )
        )
        for node in graph.nodes:
            cached = node.pipeline_node.node_info.id != value.id
            node.pipeline_node.execution_options.caching_options.enable_cache = cached
        log = local_runner.log_path(config)
        with local_runner.logged(log, lambda *_, **__: None, metadata.secrets(store)):
            values = {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run}
            local_runner.run_graph(graph, values)
        for node in read_nodes(store, run):
            print(name, run, node.name, 'cached' if node.cached else 'run')
