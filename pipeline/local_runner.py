"""Runs the graph on this machine, with ML Metadata in SQLite or MySQL."""

import contextlib
import datetime
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any
from unittest import mock

import absl.logging
from tfx.dsl.compiler import constants
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.portable import cache_utils, runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from avmae_tf import console
from avmae_tf.storage import is_remote, read_settings
from components.outcome.component import Outcome
from components.outcome.notice import send_notice
from pipeline import metadata
from pipeline.compiler import compile_local
from pipeline.config import PipelineConfig
from pipeline.nodes import Finished, read_nodes

LOG_FILE = 'pipeline.log'


def log_path(config: PipelineConfig) -> str:
    """The file of this machine that a run logs to."""
    folder = '' if is_remote(config.root) else config.root
    return os.path.abspath(os.path.join(folder, LOG_FILE))


def run(
    config: PipelineConfig,
    say: Callable[..., None] = console.say,
    parameters: Mapping[str, str] | None = None,
) -> Finished:
    """Runs every component that the cache does not serve; everything it logs goes to a file.

    Args:
        config: The pipeline.
        say: Gets the lines that tell how it goes.
        parameters: Of the run, where they differ from the pipeline's file.

    Raises whatever a component raises.
    """
    with metadata.alone(config):  # names do not keep runs apart
        try:
            return _run(config, parameters or {}, say)
        except Exception as error:
            send_notice(config.notify, f'{config.name} failed: {error}')
            raise


def _run(
    config: PipelineConfig, parameters: Mapping[str, str], say: Callable[..., None]
) -> Finished:
    store = metadata.connection(config)
    metadata.make_tables(store)
    run_id = f'{datetime.datetime.now().isoformat()}-{os.getpid()}'
    graph = compile_local(config, run_id, metadata_connection_config=store)
    values = {
        **{constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id},
        **config.settings.parameters,
        **parameters,
    }
    with logged(log_path(config), say, metadata.secrets(store)):
        run_graph(graph, values)
    outcome = os.path.join(config.outcomes, f'{run_id}.json')
    return Finished(
        outcome=read_settings(outcome, Outcome, 'run the pipeline again'),
        nodes=read_nodes(store, run_id),
    )


def run_graph(graph: pipeline_pb2.Pipeline, values: Mapping[str, str]) -> None:
    """Runs the components one after the other, with these values of runtime parameters."""
    runtime_parameter_utils.substitute_runtime_parameter(graph, values)
    with mock.patch.object(cache_utils, 'get_cache_context', _cache_context):
        LocalDagRunner().run_with_ir(graph)


_whole_cache_context = cache_utils.get_cache_context


def _cache_context(input_artifacts: Mapping[str, Any] | None = None, **rest: Any) -> Any:
    """TFX's cache key without the artifacts of values that came as parameters, under names with _.

    The values are in the key; the artifacts are new in each run where a component is never cached.
    """
    given = {k: v for k, v in (input_artifacts or {}).items() if not k.startswith('_')}
    return _whole_cache_context(input_artifacts=given, **rest)


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


class _Discreet(logging.Formatter):
    """Leaves out what nobody is to read: TFX logs how it reaches ML Metadata, with the password."""

    def __init__(self, secrets: Collection[str]) -> None:
        super().__init__('%(asctime)s %(levelname)s %(name)s: %(message)s')
        self.secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self.secrets:
            text = text.replace(secret, '***')
        return text


@contextlib.contextmanager
def logged(path: str, say: Callable[..., None], secrets: Collection[str] = ()) -> Iterator[None]:
    """Sends the log to a file, in full but for `secrets`, instead of the terminal.

    Stages go to `say`.
    """
    file = logging.FileHandler(path)
    file.setFormatter(_Discreet(secrets))
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
