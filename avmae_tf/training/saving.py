"""Checkpoints that can be trusted: whole on disk, and finite.

A checkpoint is read in full, against its checksums, before anything starts from it. One that is
damaged is said by name and the one before it is taken; one that is not finite is never written.
"""

import contextlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from avmae_tf.storage import names_in
from avmae_tf.training.damage import DAMAGED, OTHER

PREFIX = 'ckpt'
KEPT = 2
_OF_CHECKPOINT = re.compile(rf'({PREFIX}-(\d+))\.(?:index|data-\d+-of-\d+)')
_VALUE = '/.ATTRIBUTES/VARIABLE_VALUE'
Damaged = list[tuple[str, str]]  # prefixes, and what is wrong with them


def not_finite(variables: Iterable[tf.Variable]) -> str | None:
    """The name of the first variable that is not finite, if there is one."""
    floats = _floats(variables)
    return _first_false(_are_finite(floats), floats)


def watch_finite(variables: Iterable[tf.Variable]) -> Callable[[], str | None]:
    """`not_finite` of the same variables again and again, compiled."""
    floats = _floats(variables)
    look = tf.function(lambda: _are_finite(floats), autograph=False)
    return lambda: _first_false(look(), floats)


def _floats(variables: Iterable[tf.Variable]) -> list[tf.Variable]:
    return [v for v in variables if v.dtype.is_floating]


def _are_finite(variables: list[tf.Variable]) -> tf.Tensor:
    return tf.stack([tf.reduce_all(tf.math.is_finite(v)) for v in variables])


def _first_false(finite: tf.Tensor, variables: list[tf.Variable]) -> str | None:
    finite = finite.numpy()
    return None if finite.all() else variables[int(np.argmin(finite))].name.partition(':')[0]


def fault_of(prefix: str) -> str | None:
    """What is wrong with the checkpoint at `prefix`, which is read in full: None if nothing is."""
    try:
        reader = tf.train.load_checkpoint(prefix)
        for name in sorted(reader.get_variable_to_shape_map()):
            value = np.asarray(reader.get_tensor(name))
            if value.dtype.kind not in 'OS' and not np.isfinite(value).all():
                return f'{name.removesuffix(_VALUE)} is not finite'
    except OTHER:
        raise
    except DAMAGED as error:
        return f'is damaged ({str(error).strip().partition(chr(10))[0]})'
    return None


def check_weights(prefix: str) -> None:
    """Raises ValueError where weights are damaged or not finite: by file and variable."""
    if fault := fault_of(prefix):
        diverged = fault.endswith('finite')
        remedy = (
            'train it again, at a lower rate'
            if diverged
            else 'train, import or copy the model again'
        )
        raise ValueError(f'{prefix}: {fault}; {remedy}')


def checkpoints_in(folder: str) -> list[str]:
    """Prefixes of a run's checkpoints by the files that are there, the oldest first."""
    names = names_in(folder)
    found = {match[1]: int(match[2]) for name in names if (match := _OF_CHECKPOINT.match(name))}
    return [os.path.join(folder, name) for name in sorted(found, key=found.get)]


class CheckpointManager(tf.train.CheckpointManager):
    """TensorFlow's, for runs that may be killed and for disks that may lose something.

    Saves after so many steps, whenever so many minutes have passed, and when it is `asked` to.
    Starts from the last checkpoint that is whole, whatever the file that lists them says; `say` is
    told of the others.

    All workers save and restore alike, since variables may be spread over them. What the chief
    saves is kept; the others write to a folder of their own, which is emptied at once. When it is
    time is told by the chief's clock.

    Raises:
        ValueError: there are checkpoints, and none is whole.
    """

    def __init__(
        self,
        checkpoint: tf.train.Checkpoint,
        folder: str,
        *,
        step: tf.Variable,
        steps: int,
        minutes: float,
        init_fn: Callable[[], None],
        say: Callable[[str], None],
        is_chief: bool = True,
        agree: Callable[[Sequence[float]], list[float]] = list,
        asked: Callable[[], bool] = lambda: False,
    ):
        prefixes, damaged = whole_in(folder)
        self.is_chief, self.agree, self.asked = is_chief, agree, asked
        self.seconds, self.saved_at = 60.0 * minutes, time.monotonic()
        if is_chief and (prefixes or damaged):
            _list(folder, prefixes, damaged, say)
        self.scratch = None if is_chief else tempfile.TemporaryDirectory(prefix='avmae-worker-')
        super().__init__(
            checkpoint,
            self.scratch.name if self.scratch else folder,
            max_to_keep=KEPT,
            step_counter=step,
            checkpoint_interval=steps,
            init_fn=init_fn,
        )
        if prefixes and not is_chief:
            self._latest_checkpoint = prefixes[-1]

    def save(
        self, checkpoint_number: Any = None, check_interval: bool = True, options: Any = None
    ) -> str | None:
        """Saves if it is due, or without `check_interval` in any case; returns the path, if any.

        Orbit calls it at every look of the host.
        """
        due = self.is_chief and time.monotonic() - self.saved_at >= self.seconds
        (due,) = self.agree([float(due)])
        path = super().save(
            checkpoint_number, check_interval and not (due or self.asked()), options
        )
        if path:
            self.saved_at = time.monotonic()
            if self.scratch:
                for name in os.listdir(self.scratch.name):
                    os.unlink(os.path.join(self.scratch.name, name))
        return path


def whole_in(folder: str) -> tuple[list[str], Damaged]:
    """Prefixes of the checkpoints up to the last that is whole, and those after it.

    Raises:
        ValueError: there are checkpoints, and none is whole.
    """
    prefixes, damaged = checkpoints_in(folder), []
    while prefixes and (fault := fault_of(prefixes[-1])):
        damaged.append((prefixes.pop(), fault))
    if damaged and not prefixes:
        prefix, fault = damaged[0]
        raise ValueError(
            f'{prefix}: {fault}, and no other checkpoint is whole; copy them again, or delete '
            f'{folder} to start from the first step'
        )
    return prefixes, damaged


def _list(folder: str, prefixes: list[str], damaged: Damaged, say: Callable[[str], None]):
    """Makes the list in `folder` name the last whole checkpoint as the latest."""
    listed = None
    with contextlib.suppress(ValueError):  # bytes that are no text
        listed = tf.train.get_checkpoint_state(folder)
    if listed is None:
        say(f'{folder}/checkpoint: damaged or missing; taking {os.path.basename(prefixes[-1])}')
    for prefix, fault in damaged:
        say(f'{prefix}: {fault}; taking {os.path.basename(prefixes[-1])} before it')
    # The damaged ones come first: they are the first to be swept when others are saved.
    listed = [prefix for prefix, _ in damaged] + prefixes
    tf.compat.v1.train.update_checkpoint_state(
        folder,
        prefixes[-1],
        all_model_checkpoint_paths=listed,
        all_model_checkpoint_timestamps=[float(i + 1) for i in range(len(listed))],
        last_preserved_timestamp=0.0,
    )
