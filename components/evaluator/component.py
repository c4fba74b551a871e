"""Evaluator: TFX's own, but for what it refuses to measure on."""

from typing import Any, ClassVar

from tfx.components.evaluator import component
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import BaseChannel, Channel, component_spec, standard_component_specs
from tfx.types.standard_artifacts import ModelBlessing, ModelEvaluation
from tfx.utils import json_utils

from components.evaluator.executor import Executor

KEYS = standard_component_specs


class EvaluatorSpec(standard_component_specs.EvaluatorSpec):
    """TFX's, whose `eval_config` may be what another component returns."""

    PARAMETERS: ClassVar = {
        **KEYS.EvaluatorSpec.PARAMETERS,
        KEYS.EVAL_CONFIG_KEY: component_spec.ExecutionParameter(type=str),
    }


class Evaluator(component.Evaluator):
    """TFX's Evaluator, which fails where a shard is damaged instead of measuring on the rest.

    Args:
        examples: Labelled records.
        model: The candidate.
        baseline_model: The model to compare it with; without a SavedModel in it there is none.
        schema: Of the labels.
        eval_config: A tfma.EvalConfig as JSON: a text, or what RunParameters returns.
        splits: Names of the splits to measure on.
    """

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        model: BaseChannel,
        baseline_model: BaseChannel,
        schema: BaseChannel,
        eval_config: Any,
        splits: tuple[str, ...],
    ) -> None:
        spec = EvaluatorSpec(
            examples=examples,
            model=model,
            baseline_model=baseline_model,
            schema=schema,
            eval_config=eval_config,
            example_splits=json_utils.dumps(list(splits)),
            fairness_indicator_thresholds=json_utils.dumps(None),
            evaluation=Channel(type=ModelEvaluation),
            blessing=Channel(type=ModelBlessing),
        )
        base_beam_component.BaseBeamComponent.__init__(self, spec)
