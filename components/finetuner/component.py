"""Finetuner: Examples and an AV-MAE to a served classifier, as `avmae finetune` trains it."""

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model
from tfx.utils import path_utils

from avmae_tf import console
from avmae_tf.config import FinetuneConfig, RunSpec
from avmae_tf.data.dataset import load_dataset
from avmae_tf.training import loop
from avmae_tf.training.checkpoints import load_model, model_fingerprint, run_folder
from avmae_tf.training.export import export_saved_model
from avmae_tf.training.tasks import FinetuneTask
from avmae_tf.training.warm_start import warm_start


@component
def Finetuner(
    examples: InputArtifact[Examples],
    pretrained: InputArtifact[Model],
    model: OutputArtifact[Model],
    config: Parameter[str],
    run: Parameter[str],
    name: Parameter[str],
    work_dir: Parameter[str],
    learning_version: Parameter[int],
) -> None:
    """Trains on the split `train` and leaves a SavedModel in the Model artifact.

    Args:
        examples: Labelled records with `dataset.json` beside their splits.
        pretrained: What `Pretrainer` left.
        model: The SavedModel, `path_utils.serving_model_dir(model.uri)`.
        config: A FinetuneConfig as JSON.
        run: A RunSpec as JSON.
        name: Name of the served model, for its warm-up requests.
        work_dir: Stable folder for checkpoints and logs; a killed run goes on there.
        learning_version: Part of the cache key alone.
    """
    del learning_version
    finetune = FinetuneConfig.from_json(config)
    dataset = load_dataset(examples.uri)
    initial = path_utils.serving_model_dir(pretrained.uri)
    fingerprint = model_fingerprint(initial)
    folder = run_folder(work_dir, finetune, dataset, fingerprint)
    with console.progress('finetune', 'steps') as report:
        scalars = loop.train(
            FinetuneTask(finetune, dataset),
            examples.uri,
            folder,
            run=RunSpec.from_json(run),
            initial=fingerprint,
            initialise=lambda classifier: warm_start(classifier, load_model(initial)),
            progress=report,
            say=console.say,
        )
    export_saved_model(folder.model, path_utils.serving_model_dir(model.uri), name)
    for metric, value in scalars.items():
        model.set_float_custom_property(metric, value)
    model.set_string_custom_property('logs', folder.logs)
