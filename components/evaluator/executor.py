"""Checks every record before TFMA measures on them, since TFMA passes over what is missing."""

from typing import Any

from tfx import types
from tfx.components.evaluator import executor
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import json_utils, path_utils

from avmae_tf.data.dataset import check_records, load_dataset
from avmae_tf.training.publish import is_complete


class Executor(executor.Executor):
    """TFX's executor, after a look at every shard; an empty baseline is none."""

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
        inputs = {**input_dict, standard_component_specs.BASELINE_MODEL_KEY: baselines}
        super().Do(inputs, output_dict, exec_properties)
