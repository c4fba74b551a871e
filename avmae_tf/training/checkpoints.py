"""Finished models on disk, and the folder of a run that may be killed and goes on.

A model folder holds `weights.*` (a TensorFlow checkpoint of the model alone) and `model.json`,
written last: a folder without it is not a model.
"""

import os
from pathlib import Path

import pydantic
import tensorflow as tf

import avmae_tf
from avmae_tf.config import FinetuneConfig, MediaSpec, PretrainConfig, Spec, TrainingConfig
from avmae_tf.data.dataset import Classes, Dataset
from avmae_tf.models.avmae import AVMAE
from avmae_tf.models.builders import build_avmae, build_classifier
from avmae_tf.models.classifier import Classifier
from avmae_tf.storage import fingerprint, read_settings, short_hash, write_text
from avmae_tf.training.saving import check_weights, fault_of, not_finite

MODEL_FILE, WEIGHTS = 'model.json', 'weights'
RUN_FILE = 'run.json'
LEARNING = ('config', 'data', 'models', 'losses', 'training')


class ModelDescription(Spec):
    """What `model.json` holds: exactly one of the two configurations, and its data's."""

    pretrain: PretrainConfig | None = None
    finetune: FinetuneConfig | None = None
    media: MediaSpec
    heads: Classes = pydantic.Field(default_factory=dict)  # of a classifier


def save_model(folder: str, model: AVMAE | Classifier, dataset: Dataset):
    """Writes the weights, then the description that makes the folder a model.

    Raises:
        ValueError: they are not finite.
    """
    if name := not_finite(model.variables)():
        raise ValueError(f'{folder}: {name} is not finite, and such a model is of no use')
    tf.train.Checkpoint(model=model).write(os.path.join(folder, WEIGHTS))
    kind = 'pretrain' if isinstance(model, AVMAE) else 'finetune'
    description = ModelDescription(
        **{kind: model.config},
        media=dataset.media,
        heads=dataset.heads if kind == 'finetune' else {},
    )
    write_text(os.path.join(folder, MODEL_FILE), description.to_json())


def is_model(path: str) -> bool:
    return tf.io.gfile.exists(os.path.join(path, MODEL_FILE))


def describe_model(folder: str) -> ModelDescription:
    """Reads `model.json`; raises ValueError that names the folder and the fix."""
    path = os.path.join(folder, MODEL_FILE)
    if not is_model(folder):
        raise ValueError(
            f'{folder}: no {MODEL_FILE} here; give the folder that `avmae pretrain` or '
            '`avmae finetune` wrote its model to'
        )
    return read_settings(path, ModelDescription, 'train, import or copy the model again')


def load_model(folder: str) -> AVMAE | Classifier:
    """Builds the model of a folder with its weights; every variable must be matched.

    Raises:
        ValueError: there is no model, or its weights are damaged or not finite.
    """
    description = describe_model(folder)
    check_weights(os.path.join(folder, WEIGHTS))
    if description.pretrain:
        model = build_avmae(description.pretrain)
    else:
        model = build_classifier(
            description.finetune, {h: len(classes) for h, classes in description.heads.items()}
        )
    status = tf.train.Checkpoint(model=model).read(os.path.join(folder, WEIGHTS))
    status.assert_existing_objects_matched().assert_consumed()
    return model


def model_fingerprint(folder: str) -> str:
    """A hash of a model's settings and weights, wherever its folder is."""
    # The index holds a checksum of each tensor.
    return fingerprint(os.path.join(folder, name) for name in (MODEL_FILE, f'{WEIGHTS}.index'))


def source_fingerprint() -> str:
    """A hash of the code that decides what is learned."""
    root = Path(avmae_tf.__file__).parent
    return fingerprint(
        str(path) for name in LEARNING for path in sorted((root / name).rglob('*.py'))
    )


class RunState(Spec):
    """What a run's folder was started with, and whether it came to its end."""

    config: dict
    dataset: str  # fingerprint of the records
    initial: str = ''  # fingerprint of what it was warm-started from
    source: str  # fingerprint of the code it finished with
    finished: bool = False
    scalars: dict[str, float] = pydantic.Field(default_factory=dict)  # of the final test


def run_key(config: TrainingConfig, dataset: Dataset, initial: str = '') -> str:
    """A name for the folder of a run: equal for equal settings, data and initial model."""
    text = '\n'.join((config.to_json(), dataset.fingerprint, initial))
    return short_hash([text.encode()])


class RunFolder:
    """The stable place of a run: checkpoints while it goes on, logs, and the model at its end."""

    def __init__(self, path: str):
        self.path = path
        self.checkpoints = os.path.join(path, 'checkpoints')
        self.logs = os.path.join(path, 'logs')
        self.model = os.path.join(path, 'model')

    def open(self, state: RunState) -> RunState | None:
        """Makes way for a run; if that very run is finished there already, how it ended.

        An unfinished run goes on, whatever the code, and so does a finished one whose model is
        damaged; a finished one whose code has changed since starts anew. Raises ValueError if the
        folder holds a run with other settings.
        """
        path = os.path.join(self.path, RUN_FILE)
        if tf.io.gfile.exists(path):
            before = read_settings(path, RunState, 'give another folder, or delete this one')
            changed = [
                name
                for name in {*before.config, *state.config}
                if before.config.get(name) != state.config.get(name)
            ] + [n for n in ('dataset', 'initial') if getattr(before, n) != getattr(state, n)]
            if changed:
                raise ValueError(
                    f'{self.path}: holds a run with another {", ".join(sorted(changed))}; '
                    'give another folder, or delete this one'
                )
            if before.finished and before.source == state.source:
                whole = is_model(self.model) and not fault_of(os.path.join(self.model, WEIGHTS))
                return before if whole else None
            if before.finished:
                for folder in (self.checkpoints, self.logs, self.model):
                    if tf.io.gfile.exists(folder):
                        tf.io.gfile.rmtree(folder)
        return None

    def claim(self, state: RunState):
        """From here on the folder is that run's: what can be refused has been."""
        self._write(state)

    def finish(self, state: RunState, scalars: dict[str, float]):
        self._write(state.replace(finished=True, scalars=scalars))

    def _write(self, state: RunState):
        write_text(os.path.join(self.path, RUN_FILE), state.to_json())
