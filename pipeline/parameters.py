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
            fields = {name: getattr(settings, name) for name in type(settings).model_fields}
            compile_text(config.replace(**fields), target)  # which looks at what fits the target
        except ValueError as error:
            text = first_error(error) if isinstance(error, pydantic.ValidationError) else str(error)
            blame = '--set ' if text.startswith(tuple(parameters)) else ''  # or it is in the file
            raise ValueError(f'{blame}{text}') from None
    return parameters
