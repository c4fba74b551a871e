"""Finished models on disk, and the folder of a run that may be killed and goes on.

A model folder holds `weights.*` (a TensorFlow checkpoint of the model alone) and `model.json`,
written last: a folder without it is not a model.
"""

import os
from typing import ClassVar

import pydantic
import tensorflow as tf

from avmae_tf.config import FinetuneConfig, MediaSpec, PretrainConfig, TrainingConfig
from avmae_tf.config.descriptions import Description
from avmae_tf.config.heads import Classes
from avmae_tf.config.migrations import MODEL_FILE, RUN_FILE
from avmae_tf.data.dataset import Dataset
from avmae_tf.models.avmae import AVMAE
from avmae_tf.models.builders import build_avmae, build_classifier
from avmae_tf.models.classifier import Classifier
from avmae_tf.storage import exists, fingerprint, folders_in, read_settings, short_hash, write_text
from avmae_tf.training.saving import check_weights, fault_of, not_finite
from avmae_tf.versions import LEARNING_VERSION

WEIGHTS = 'weights'


class TrainedDescription(Description):
    """The description of an autoencoder or a classifier: it has the settings of one of the two."""

    pretrain: PretrainConfig | None = None
    finetune: FinetuneConfig | None = None

    @property
    def config(self) -> TrainingConfig:
        return self.pretrain or self.finetune

    @property
    def kind(self) -> str:
        return kind_of(self.config)

    @pydantic.model_validator(mode='after')
    def _one_configuration(self):
        if (self.pretrain is None) == (self.finetune is None):
            raise ValueError('must have the settings of pretraining or of finetuning')
        return self


def kind_of(config: TrainingConfig) -> str:
    """Which of the two fields of a description settings belong in: 'pretrain' or 'finetune'."""
    return 'pretrain' if isinstance(config, PretrainConfig) else 'finetune'


class ModelDescription(TrainedDescription):
    """What `model.json` holds: the settings of a model, and its data's."""

    FILE: ClassVar[str] = MODEL_FILE
    media: MediaSpec
    heads: Classes = pydantic.Field(default_factory=dict)  # of a classifier


def save_model(folder: str, model: AVMAE | Classifier, dataset: Dataset) -> None:
    """Writes the weights, then the description that makes the folder a model.

    Raises:
        ValueError: they are not finite.
    """
    if name := not_finite(model.variables):
        raise ValueError(f'{folder}: {name} is not finite, and such a model is of no use')
    tf.train.Checkpoint(model=model).write(os.path.join(folder, WEIGHTS))
    description = ModelDescription(
        **{kind_of(model.config): model.config},
        media=dataset.media,
        heads={} if isinstance(model, AVMAE) else dataset.heads,
    )
    write_text(os.path.join(folder, MODEL_FILE), description.to_json())


def is_model(path: str) -> bool:
    """Whether `path` is the folder of a finished model."""
    return exists(os.path.join(path, MODEL_FILE))


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
    """A hash of a model's settings and weights, wherever its folder is.

    Of the description as it was written: that it is read otherwise makes no other model of it.
    """
    # The index holds a checksum of each tensor.
    return fingerprint(os.path.join(folder, name) for name in (MODEL_FILE, f'{WEIGHTS}.index'))


class RunState(TrainedDescription):
    """What `run.json` holds: what a run was started with, and whether it came to its end."""

    FILE: ClassVar[str] = RUN_FILE
    dataset: str  # fingerprint of the records
    initial: str = ''  # fingerprint of what it was warm-started from
    name: str = ''  # of its logs, for people; '' if an earlier version began it
    learning_version: int  # of the code that it was last started with
    finished: bool = False
    scalars: dict[str, float] = pydantic.Field(default_factory=dict)  # of the last evaluation

    @classmethod
    def of(cls, config: TrainingConfig, dataset: Dataset, initial: str = '') -> 'RunState':
        """The state of a run that is about to start."""
        return cls(
            **{kind_of(config): config},
            dataset=dataset.fingerprint,
            initial=initial,
            learning_version=LEARNING_VERSION,
        )

    @property
    def key(self) -> str:
        """A name for a new folder: equal for equal settings, data, initial model and learning."""
        parts = (self.config.to_json(), self.dataset, self.initial, str(self.learning_version))
        return short_hash(['\n'.join(parts).encode()])

    def differences(self, other: 'RunState') -> list[str]:
        """Names of the settings, and of `dataset` and `initial`, in which two runs differ."""
        ours, theirs = (state.config.model_dump(mode='json') for state in (self, other))
        settings = [n for n in {*ours, *theirs} if ours.get(n) != theirs.get(n)]
        starts = [n for n in ('dataset', 'initial') if getattr(self, n) != getattr(other, n)]
        return sorted(settings + starts)


class RunFolder:
    """The stable place of a run: checkpoints while it goes on, logs, and the model at its end."""

    def __init__(self, path: str, all_logs: str = ''):
        self.path = path
        self.checkpoints = os.path.join(path, 'checkpoints')
        self.all_logs = all_logs or os.path.join(path, 'logs')
        self.model = os.path.join(path, 'model')

    def logs_of(self, state: RunState) -> str:
        """The folder of TensorBoard's logs; earlier versions gave it no name."""
        return os.path.join(self.all_logs if state.name else f'{self.path}/logs', state.name)

    def read(self) -> RunState | None:
        """The state of the run in the folder, None if there is none; ValueError where damaged."""
        path = os.path.join(self.path, RUN_FILE)
        if not exists(path):
            return None
        return read_settings(path, RunState, 'give another folder, or delete this one')

    def open(self, state: RunState) -> RunState | None:
        """The state of this run if the folder holds it, unfinished or finished; None if it is free.

        A finished run whose model is damaged counts as unfinished. Nothing is deleted or changed.

        Raises:
            ValueError: the folder holds a run with other settings, or a finished one that learned
                by another version of this program, or a model of no run.
        """
        before = self.read()
        if before is None:
            if is_model(self.model):
                raise ValueError(
                    f'{self.model}: is a model of no run in {self.path}, and would be overwritten; '
                    'give another folder'
                )
            return None
        if changed := state.differences(before):
            raise ValueError(
                f'{self.path}: holds a run with another {", ".join(changed)}; '
                'give another folder, or delete this one'
            )
        if not before.finished:
            return before
        if before.learning_version != state.learning_version:
            raise ValueError(
                f'{self.path}: holds a finished run of learning version '
                f'{before.learning_version}, and this program has {state.learning_version}, which '
                f'learns otherwise; use the model in {self.model} as it is, or give another folder '
                'to train anew'
            )
        whole = is_model(self.model) and not fault_of(os.path.join(self.model, WEIGHTS))
        return before.replace(finished=whole)

    def holds(self, state: RunState) -> bool:
        """Whether the folder holds this run, begun by any version that learns alike."""
        try:
            before = self.read()
        except ValueError:  # damaged: nobody can say what it was, so it is left alone
            return False
        alike = before and before.learning_version == state.learning_version
        return bool(alike) and not state.differences(before)

    def claim(self, state: RunState) -> None:
        """Writes the state, from which on the folder is this run's."""
        self._write(state)

    def finish(self, state: RunState, scalars: dict[str, float]) -> None:
        """Writes that the run is finished, with the scalars of its last evaluation."""
        self._write(state.replace(finished=True, scalars=scalars))

    def _write(self, state: RunState):
        write_text(os.path.join(self.path, RUN_FILE), state.to_json())


def run_folder(
    work_dir: str, config: TrainingConfig, dataset: Dataset, initial: str = ''
) -> RunFolder:
    """The folder of a run in `work_dir`: the one that holds it already, else one of a new name.

    A setting that came since makes another name for the same run, so that names do not decide.
    """
    state = RunState.of(config, dataset, initial)
    new = os.path.join(work_dir, f'{state.kind}-{state.key}')
    others = (p for p in folders_in(work_dir) if os.path.basename(p).startswith(f'{state.kind}-'))
    found = (p for p in (new, *others) if RunFolder(p).holds(state))
    return RunFolder(next(found, new), os.path.join(work_dir, 'logs'))
