"""Pretrainer: Examples to an AV-MAE, as `avmae pretrain` trains it."""

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model
from tfx.utils import io_utils, path_utils

from avmae_tf.config import PretrainConfig
from avmae_tf.training import runs
from components.training import train


@component
def Pretrainer(
    examples: InputArtifact[Examples],
    model: OutputArtifact[Model],
    config: Parameter[str],
    run: Parameter[str],
    work_dir: Parameter[str],
    learning_version: Parameter[int],
) -> None:
    """Trains on the split `train` and leaves the model folder in the Model artifact.

    Args:
        examples: Records with `dataset.json` beside their splits.
        model: The pretrained model, `path_utils.serving_model_dir(model.uri)`.
        config: A PretrainConfig as JSON.
        run: A RunSpec as JSON.
        work_dir: Stable folder for checkpoints and logs; a killed run goes on there.
        learning_version: Part of the cache key alone.
    """
    del learning_version
    training = runs.pretraining(examples.uri, PretrainConfig.from_json(config))
    trained = train(training, work_dir, run, model)
    io_utils.copy_dir(trained.model, path_utils.serving_model_dir(model.uri))
