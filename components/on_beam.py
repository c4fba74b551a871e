"""What the components that run on Beam have in common."""

import contextlib
from unittest import mock

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.utils import dependency_utils


class OnBeam(BaseBeamExecutor):
    """Leaves out the package of TFX where workers are of this process, and have it.

    TFX packs itself whenever an executor begins, for seconds.
    """

    def __init__(self, context: BaseBeamExecutor.Context | None = None) -> None:
        options = PipelineOptions(context.beam_pipeline_args or [] if context else [])
        runner = options.view_as(StandardOptions).runner or 'DirectRunner'
        with contextlib.ExitStack() as stack:
            if runner.endswith('DirectRunner'):
                function = 'make_beam_dependency_flags'
                stack.enter_context(mock.patch.object(dependency_utils, function, list))
            super().__init__(context)
