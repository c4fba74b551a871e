"""What the components that run on Beam have in common."""

import contextlib
from collections.abc import Sequence
from unittest import mock

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.utils import dependency_utils

AS_MANY_AS_CORES = 0  # of Beam's `direct_num_workers`
EVERY_CORE = [f'--direct_num_workers={AS_MANY_AS_CORES}']


def is_here(args: Sequence[str]) -> bool:
    """Whether Beam's options keep all work in this process."""
    runner = PipelineOptions([*args]).view_as(StandardOptions).runner
    return (runner or 'DirectRunner').endswith('DirectRunner')


def with_one_worker(args: Sequence[str]) -> list[str]:
    """The options with one worker instead of one a core, where it is of this process.

    Every worker sets up all of a pipeline anew. For a short one, of work that uses all cores by
    itself, that takes longer than the work.
    """
    workers = PipelineOptions([*args]).view_as(DirectOptions).direct_num_workers
    one = ['--direct_running_mode=in_memory', '--direct_num_workers=1']  # the last ones count
    return [*args, *(one if is_here(args) and workers == AS_MANY_AS_CORES else [])]


class OnBeam(BaseBeamExecutor):
    """Leaves out the package of TFX where workers are of this process, and have it.

    TFX packs itself whenever an executor begins, for seconds.
    """

    _beam_pipeline_args: list[str]

    def __init__(self, context: BaseBeamExecutor.Context | None = None) -> None:
        with contextlib.ExitStack() as stack:
            if context and is_here(context.beam_pipeline_args or []):
                function = 'make_beam_dependency_flags'
                stack.enter_context(mock.patch.object(dependency_utils, function, list))
            super().__init__(context)
