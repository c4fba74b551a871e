"""Checks every record before TFMA measures on them, since TFMA passes over what is missing."""

import copy
from typing import Any

from tfx import types
from tfx.components.evaluator import executor
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import json_utils, path_utils

from avmae_tf.data.dataset import check_records, load_dataset
from avmae_tf.training.publish import is_complete
from components.evaluation.staging import beam_reaches, readable, writable
from components.on_beam import EVERY_CORE, OnBeam, with_one_worker


class Executor(OnBeam, executor.Executor):
    """TFX's executor, after a look at every shard; an empty baseline is none.

    What is in a bucket that Beam does not reach is measured by this process, on copies.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Measures, compares with the baseline, and blesses.

        Raises:
            ValueError: a shard is damaged; it names the file.
        """
        examples = artifact_utils.get_single_instance(
            input_dict[standard_component_specs.EXAMPLES_KEY]
        )
        dataset = load_dataset(examples.uri)
        splits = json_utils.loads(exec_properties[standard_component_specs.EXAMPLE_SPLITS_KEY])
        for split in splits:
            check_records(examples.uri, dataset, split)
        baselines = [
            model
            for model in input_dict.get(standard_component_specs.BASELINE_MODEL_KEY, [])
            if is_complete(path_utils.serving_model_dir(model.uri))
        ]
        evaluation = artifact_utils.get_single_instance(
            output_dict[standard_component_specs.EVALUATION_KEY]
        )
        args = self._beam_pipeline_args if beam_reaches(examples.uri) else EVERY_CORE
        self._beam_pipeline_args = with_one_worker(args)
        parts = [f'Split-{split}' for split in splits]
        with readable(examples.uri, parts) as records, writable(evaluation.uri) as report:
            inputs = {
                **input_dict,
                standard_component_specs.EXAMPLES_KEY: [_at(records, examples)],
                standard_component_specs.BASELINE_MODEL_KEY: baselines,
            }
            outputs = {
                **output_dict,
                standard_component_specs.EVALUATION_KEY: [_at(report, evaluation)],
            }
            super().Do(inputs, outputs, exec_properties)


def _at(uri: str, artifact: types.Artifact) -> types.Artifact:
    """The artifact as if it were at `uri`."""
    there = copy.deepcopy(artifact)
    there.uri = uri
    return there
