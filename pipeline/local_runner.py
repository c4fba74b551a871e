"""Runs the graph on this machine, with ML Metadata in SQLite."""

import contextlib
import datetime
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator

import absl.logging
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import runtime_parameter_utils

from avmae_tf import console
from avmae_tf.data.locks import held
from avmae_tf.storage import is_remote, read_settings
from components.outcome.component import Outcome
from pipeline.config import PipelineConfig
from pipeline.nodes import Finished, read_nodes
from pipeline.pipeline import NEVER_CACHED, build_pipeline

LOG_FILE = 'pipeline.log'
BEAM_ARGS = ('--direct_running_mode=multi_threading', f'--direct_num_workers={os.cpu_count()}')


def log_path(config: PipelineConfig) -> str:
    """The file that a run logs to."""
    return os.path.join(config.root, LOG_FILE)


def connection(config: PipelineConfig) -> metadata_store_pb2.ConnectionConfig:
    """How ML Metadata of this pipeline is reached."""
    return metadata.sqlite_metadata_connection_config(config.metadata_path)


def run(config: PipelineConfig, say: Callable[..., None] = console.say) -> Finished:
    """Runs every component that the cache does not serve; everything it logs goes to a file.

    Raises whatever a component raises.
    """
    if is_remote(config.root):
        raise ValueError(
            'root: the local runner keeps its metadata in SQLite and needs a folder of this '
            f'machine, got {config.root}'
        )
    with held(config.root):  # the metadata is one file, so that names do not keep runs apart
        return _run(config, say)


def _run(config: PipelineConfig, say: Callable[..., None]) -> Finished:
    check_metadata(config)
    run_id = f'{datetime.datetime.now().isoformat()}-{os.getpid()}'
    pipeline = build_pipeline(
        config,
        run_id,
        metadata_connection_config=connection(config),
        beam_pipeline_args=list(BEAM_ARGS),
    )
    with logged(log_path(config), say):
        run_graph(pipeline, run_id)
    outcome = os.path.join(config.outcomes, f'{run_id}.json')
    return Finished(
        outcome=read_settings(outcome, Outcome, 'run the pipeline again'),
        nodes=read_nodes(connection(config), run_id),
    )


def run_graph(pipeline: Pipeline, run_id: str) -> None:
    """Runs the components one after the other."""
    graph = compiler.Compiler().compile(pipeline)
    for node in graph.nodes:
        options = node.pipeline_node.execution_options.caching_options
        if node.pipeline_node.node_info.id in NEVER_CACHED:
            options.enable_cache = False
    parameters = {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
    runtime_parameter_utils.substitute_runtime_parameter(graph, parameters)
    LocalDagRunner().run_with_ir(graph)


def check_metadata(config: PipelineConfig) -> None:
    """Raises ValueError where the file of the metadata is damaged."""
    path = config.metadata_path
    if not os.path.exists(path):
        return
    try:
        with contextlib.closing(sqlite3.connect(path)) as store:
            (found,) = store.execute('PRAGMA quick_check(1)').fetchone()
    except sqlite3.OperationalError as error:  # locked, or no file
        raise ValueError(f'{path}: cannot be opened ({error}); see who else uses it') from None
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != 'ok':
        raise ValueError(
            f'{path}: is damaged ({" ".join(found.split())}); put a copy of it back, or delete it: '
            'every component then runs again, but conversion and training go on in '
            f'{config.work_dir}'
        )


class _Stages(logging.Handler):
    """Says which component starts and how long it took, from what the runner logs."""

    def __init__(self, say: Callable[..., None]) -> None:
        super().__init__()
        self.say = say
        self.started, self.cached = 0.0, False

    def emit(self, record: logging.LogRecord) -> None:
        match record.msg, record.args:
            case 'Component %s is running.', (node,):
                self.started, self.cached = time.monotonic(), False
                self.say(node, heading=True)
            case 'A cached execution %d is used.', _:
                self.cached = True
            case 'Component %s is finished.', _:
                seconds = time.monotonic() - self.started
                self.say('  nothing changed' if self.cached else f'  {seconds:.1f} s')


@contextlib.contextmanager
def logged(path: str, say: Callable[..., None]) -> Iterator[None]:
    """Sends the log to a file, in full, instead of the terminal; stages go to `say`."""
    file = logging.FileHandler(path)
    file.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(name)s: %(message)s'))
    loggers = {  # with the handlers they get; those of the root see everything
        logging.getLogger(): [file],
        absl.logging.get_absl_logger(): [_Stages(say)],
        logging.getLogger('tensorflow'): [],
    }
    before = [(x, x.handlers, x.level, x.propagate) for x in loggers]
    verbosity = absl.logging.get_verbosity()
    for logger, handlers in loggers.items():
        logger.handlers, logger.propagate = handlers, True
        logger.setLevel(logging.INFO)
    absl.logging.set_verbosity(absl.logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        absl.logging.set_verbosity(verbosity)
        file.close()
        for logger, handlers, level, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
