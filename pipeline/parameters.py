"""What one run does otherwise than its file says: `name=value`, by the names in the file."""

import os
from collections.abc import Iterable

import pydantic

from avmae_tf.config import first_error
from avmae_tf.storage import is_remote
from components.run_parameters.settings import PATHS
from pipeline.compiler import compile_text
from pipeline.config import PipelineConfig
from pipeline.targets import Target


def read_parameters(
    config: PipelineConfig, target: Target, changes: Iterable[str]
) -> dict[str, str]:
    """Runtime parameters by name; relative paths are below the working directory.

    Raises:
        ValueError: there is no such parameter, or the pipeline would refuse its value on that
            target; nothing has been sent.
    """
    parameters = {}
    for change in changes:
        name, equals, value = change.partition('=')
        if not equals:
            raise ValueError(f'--set {change}: must be NAME=VALUE')
        if name in PATHS and value and not is_remote(value):
            value = os.path.abspath(value)
        parameters[name] = value
    if parameters:
        try:
            settings = config.settings.changed(parameters)
            changed = config.replace(
                **{x: getattr(settings, x) for x in type(settings).model_fields}
            )
            compile_text(changed, target)  # which looks at what fits the target
        except pydantic.ValidationError as error:
            raise ValueError(f'--set {first_error(error)}') from None
        except ValueError as error:
            raise ValueError(f'--set {error}') from None
    return parameters
