"""A training put together, for the command, the library and the pipeline alike."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from avmae_tf.config import FinetuneConfig, PretrainConfig, RunSpec
from avmae_tf.data.dataset import load_dataset
from avmae_tf.training import loop
from avmae_tf.training.actions import Progress
from avmae_tf.training.checkpoints import RunFolder, run_folder
from avmae_tf.training.start import StartModels
from avmae_tf.training.tasks import FinetuneTask, PretrainTask, Task


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished run: where its model and TensorBoard's logs are, and its last evaluation."""

    model: str
    logs: str
    scalars: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Training:
    """What is trained on the records of a folder, and what it starts from."""

    records: str
    task: Task
    start: StartModels | None = None

    @property
    def _initial(self) -> str:
        return self.start.fingerprint if self.start else ''

    def run(
        self,
        folder: str,
        run: RunSpec,
        *,
        all_logs: str = '',
        progress: Progress,
        say: Callable[[str], None],
    ) -> Trained:
        """Trains in `folder`, or goes on there; a run that is finished returns at once.

        TensorBoard's logs are in a folder of their own below `all_logs`, or `folder`/logs.

        Raises:
            Diverged: a loss or a weight is not finite.
            ValueError: the folder is another run's, or records or all checkpoints are damaged.
        """
        there = RunFolder(folder, all_logs)
        scalars = loop.train(
            self.task,
            self.records,
            there,
            run=run,
            initial=self._initial,
            initialise=self.start.initialiser(say) if self.start else None,
            progress=progress,
            say=say,
        )
        return Trained(there.model, there.logs_of(there.read()), scalars)

    def run_below(self, work_dir: str, run: RunSpec, **callbacks: Any) -> Trained:
        """Trains in the folder below `work_dir` that is this training's alone."""
        there = run_folder(work_dir, self.task.config, self.task.dataset, self._initial)
        return self.run(there.path, run, all_logs=there.all_logs, **callbacks)


def pretraining(records: str, config: PretrainConfig) -> Training:
    """A masked autoencoder on the clips in the folder `records`; labels are not used."""
    return Training(records, PretrainTask(config, load_dataset(records)))


def finetuning(records: str, config: FinetuneConfig, start: Sequence[str] = ()) -> Training:
    """A classifier on the labelled clips in the folder `records`, from the models `start`.

    Raises:
        ValueError: it cannot start from them, or cannot be trained on these labels.
    """
    return Training(
        records, FinetuneTask(config, load_dataset(records)), StartModels(config, tuple(start))
    )
