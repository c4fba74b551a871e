"""RunParameters: the first component, which settles what the run does."""

from typing import Any, ClassVar

import pydantic
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec
from tfx.types.standard_artifacts import String
from tfx.utils import proto_utils

from avmae_tf.config import first_error
from components.evaluation.config import eval_config
from components.run_parameters.settings import CHANGEABLE, RunSettings

SETTINGS = 'settings'
DATA, PRETRAIN, FINETUNE, EVAL_CONFIG = OUTPUTS = ('data', 'pretrain', 'finetune', 'eval_config')


class Executor(base_executor.BaseExecutor):
    """Puts the run's parameters into the settings of the file, and hands them on as JSON."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Validates them.

        Raises:
            ValueError: one is out of its bounds, or they do not fit each other; names it.
        """
        before = RunSettings.from_json(exec_properties[SETTINGS])
        changes = {name: exec_properties[name] for name in before.parameters}
        try:
            settings = before.changed(changes)
        except pydantic.ValidationError as error:
            raise ValueError(first_error(error)) from None
        for name, text in resolve(settings).items():
            artifact_utils.get_single_instance(output_dict[name]).value = text


def resolve(settings: RunSettings) -> dict[str, str]:
    """What each output is, as JSON.

    Raises:
        ValueError: the gate bounds a metric that a classifier of such clips does not have.
    """
    judged = eval_config(settings.gate, settings.data.heads, settings.finetune.loss)
    return {
        DATA: settings.data.to_json(),
        PRETRAIN: settings.start.pretrain.to_json() if settings.start.pretrain else '',
        FINETUNE: settings.finetune.to_json(),
        EVAL_CONFIG: proto_utils.proto_to_json(judged),
    }


class RunParametersSpec(component_spec.ComponentSpec):
    """Parameters and outputs, as TFX writes them down."""

    PARAMETERS: ClassVar = {
        SETTINGS: component_spec.ExecutionParameter(type=str),
        **{name: component_spec.ExecutionParameter(type=str, optional=True) for name in CHANGEABLE},
    }
    INPUTS: ClassVar[dict[str, Any]] = {}
    OUTPUTS: ClassVar = {name: component_spec.ChannelParameter(type=String) for name in OUTPUTS}


class RunParameters(base_component.BaseComponent):
    """What the run does: the settings of the pipeline's file, but for the parameters of this run.

    What follows takes its outputs as parameters, so that an unchanged one is served by the cache.

    Args:
        settings: Of the file.
        parameters: By name, each of `settings.parameters`: a text, or a RuntimeParameter.

    Outputs:
        data, pretrain, finetune: A DataConfig, a PretrainConfig (or ''), a FinetuneConfig as JSON.
        eval_config: What TFMA measures, and the bounds of the gate, as JSON.
    """

    SPEC_CLASS = RunParametersSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, settings: RunSettings, parameters: dict[str, Any]) -> None:
        resolve(settings)  # what is wrong in the file is told before anything runs
        channels = {name: types.Channel(type=String) for name in OUTPUTS}
        super().__init__(
            RunParametersSpec(**{SETTINGS: settings.to_json()}, **parameters, **channels)
        )
