"""Pretrainer: Examples to an AV-MAE, as `avmae pretrain` trains it."""

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model
from tfx.utils import io_utils, path_utils

from avmae_tf import console
from avmae_tf.config import PretrainConfig, RunSpec
from avmae_tf.data.dataset import load_dataset
from avmae_tf.training import loop
from avmae_tf.training.checkpoints import run_folder
from avmae_tf.training.tasks import PretrainTask


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
    pretrain = PretrainConfig.from_json(config)
    dataset = load_dataset(examples.uri)
    folder = run_folder(work_dir, pretrain, dataset)
    with console.progress('pretrain', 'steps') as report:
        scalars = loop.train(
            PretrainTask(pretrain, dataset),
            examples.uri,
            folder,
            run=RunSpec.from_json(run),
            progress=report,
            say=console.say,
        )
    io_utils.copy_dir(folder.model, path_utils.serving_model_dir(model.uri))
    for name, value in scalars.items():
        model.set_float_custom_property(name, value)
    model.set_string_custom_property('logs', folder.logs)
