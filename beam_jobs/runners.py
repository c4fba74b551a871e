"""Pipelines on Beam's runners, by Beam's own options."""

import argparse
import os
from collections.abc import Callable, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.worker import sdk_worker

from beam_jobs import portable  # noqa: F401 - puts right how Beam loses workers and long jobs

# Beam's workers print tracebacks that they also raise; the user is to see one line.
sdk_worker.print = lambda *lines, **settings: None


def local_options() -> list[str]:
    """Threads of this process: the decoder and the JPEG encoder release the interpreter lock."""
    return [
        *('--runner=DirectRunner', '--direct_running_mode=multi_threading'),
        f'--direct_num_workers={os.cpu_count()}',
    ]


def local_pipeline(options: Sequence[str] = ()) -> beam.Pipeline:
    """A pipeline on this machine."""
    return beam.Pipeline(options=PipelineOptions([*local_options(), *options]))


def check_options(options: Sequence[str]) -> None:
    """Raises ValueError at an option that Beam does not know."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for group in PipelineOptions.__subclasses__():
        if group.__module__.startswith('apache_beam.'):
            group._add_argparse_args(parser)
    _, unknown = parser.parse_known_args([*options])
    if unknown:
        raise ValueError(f'{unknown[0]}: no option of Apache Beam')


def pipeline_maker(runner: str | None, options: Sequence[str] = ()) -> Callable[[], beam.Pipeline]:
    """What makes a pipeline on `runner`, or on this machine if None, with options such as
    `--region=europe-west4`.

    Raises:
        ValueError: Beam knows no such option.
    """
    try:
        check_options(options)
    except ValueError as error:
        example = 'what follows -- must be options such as --direct_num_workers=4'
        raise ValueError(f'{error}; {example}') from None
    if runner is None:
        return lambda: local_pipeline(options)
    return lambda: beam.Pipeline(options=PipelineOptions([f'--runner={runner}', *options]))
