"""Runs the graph on this machine, with ML Metadata in SQLite."""

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Callable, Iterator

import absl.logging
import tensorflow as tf
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.utils import path_utils

from avmae_tf import console
from avmae_tf.data.files import is_remote
from components.pusher.executor import push
from pipeline.config import PipelineConfig
from pipeline.inputs import write_inputs
from pipeline.outcome import Outcome, read_outcome
from pipeline.pipeline import build_pipeline

LOG_FILE = 'pipeline.log'
BEAM_ARGS = ('--direct_running_mode=multi_threading', f'--direct_num_workers={os.cpu_count()}')


def log_path(config: PipelineConfig) -> str:
    return os.path.join(config.root, LOG_FILE)


def connection(config: PipelineConfig) -> metadata_store_pb2.ConnectionConfig:
    return metadata.sqlite_metadata_connection_config(config.metadata_path)


def run(config: PipelineConfig, say: Callable[..., None] = console.say) -> Outcome:
    """Runs every component that the cache does not serve; everything it logs goes to a file.

    Raises whatever a component raises.
    """
    if is_remote(config.root):
        raise ValueError(
            'root: the local runner keeps its metadata in SQLite and needs a folder of this '
            f'machine, got {config.root}'
        )
    tf.io.gfile.makedirs(config.root)
    say('  planning the manifest')
    manifest = write_inputs(config)
    say(f'  {len(manifest.rows)} clips, {manifest.num_classes} classes')
    pipeline = build_pipeline(
        config,
        manifest.heads,
        metadata_connection_config=connection(config),
        beam_pipeline_args=list(BEAM_ARGS),
    )
    with logged(log_path(config), say):
        LocalDagRunner().run(pipeline)
    outcome = read_outcome(connection(config), config.name)
    if not outcome.blessed:
        return outcome
    # Again where the cache served the Pusher, but another version came since, or it was removed.
    model = path_utils.serving_model_dir(outcome.node('Finetuner').outputs['Model'].uri)
    return dataclasses.replace(outcome, pushed=push(model, config.serving))


class _Stages(logging.Handler):
    """Says which component starts and how long it took, from what the runner logs."""

    def __init__(self, say: Callable[..., None]):
        super().__init__()
        self.say = say
        self.started, self.cached = 0.0, False

    def emit(self, record: logging.LogRecord):
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
