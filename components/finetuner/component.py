"""Finetuner: Examples and a start to a served classifier, as `avmae finetune` trains it."""

import json

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model
from tfx.utils import path_utils

from avmae_tf.config import FinetuneConfig
from avmae_tf.training import runs
from avmae_tf.training.export import export_saved_model
from components.training import train


@component
def Finetuner(
    examples: InputArtifact[Examples],
    model: OutputArtifact[Model],
    config: Parameter[str],
    run: Parameter[str],
    name: Parameter[str],
    work_dir: Parameter[str],
    learning_version: Parameter[int],
    pretrained: InputArtifact[Model] = None,
    start: Parameter[str] = '[]',
    start_fingerprint: Parameter[str] = '',
) -> None:
    """Trains on the split `train` and leaves a SavedModel in the Model artifact.

    Args:
        examples: Labelled records with `dataset.json` beside their splits.
        model: The SavedModel, `path_utils.serving_model_dir(model.uri)`.
        config: A FinetuneConfig as JSON.
        run: A RunSpec as JSON.
        name: Name of the served model, for its warm-up requests.
        work_dir: Stable folder for checkpoints and logs; a killed run goes on there.
        learning_version: Part of the cache key alone.
        pretrained: What `Pretrainer` left, to start from.
        start: Paths of the models to start from instead, as a JSON list; none is from scratch.
        start_fingerprint: Of these models; part of the cache key alone.
    """
    del learning_version, start_fingerprint
    models = json.loads(start)
    if pretrained:
        models = [path_utils.serving_model_dir(pretrained.uri)]
    training = runs.finetuning(examples.uri, FinetuneConfig.from_json(config), models)
    trained = train(training, work_dir, run, model)
    export_saved_model(trained.model, path_utils.serving_model_dir(model.uri), name)
