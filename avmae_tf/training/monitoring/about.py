"""What a run is: its settings, its data, the code that it runs; and HParams, to compare runs by."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import summary_v2 as hparams

from avmae_tf.config.naming import closest_recipe, flat
from avmae_tf.training.actions import Action, Running, Scalars
from avmae_tf.training.origin import origin
from avmae_tf.versions import LEARNING_VERSION

SHOWN = ('schedule', 'optimizer', 'precision', 'seed')  # among HParams in any case


def table(rows: Iterable[tuple[str, Any]], head: tuple[str, str]) -> str:
    """Rows of two columns as Markdown; what they hold is shown as it is."""

    def cell(value: Any) -> str:
        text = ', '.join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        return f'`{text}`' if text and '`' not in text else text.replace('|', r'\|')

    lines = [f'| {head[0]} | {head[1]} |', '|---|---|']
    return '\n'.join(lines + [f'| {name} | {cell(value)} |' for name, value in rows])


def settings_text(running: Running) -> str:
    """All settings; those that are not the recipe's come first."""
    config = running.trainer.task.config
    recipe, changes = closest_recipe(config)
    rest = {name: value for name, value in flat(config).items() if name not in changes}
    changed = table(changes.items(), ('changed', 'value')) if changes else 'Nothing is changed.'
    return f'Recipe `{recipe}`\n\n{changed}\n\n{table(rest.items(), ("setting", "value"))}'


def run_text(running: Running) -> str:
    """The run's data, devices and code."""
    trainer, code = running.trainer, origin()
    dataset = trainer.task.dataset
    counts = {s: sum(x.num_examples for x in shards) for s, shards in dataset.splits.items()}
    rows = {
        'records': trainer.folder,
        'fingerprint of the records': dataset.fingerprint,
        **{f'clips in {split}': count for split, count in counts.items()},
        **{f'classes of {head}': len(names) for head, names in dataset.heads.items()},
        'stored frames a second': dataset.media.frames_per_second,
        'stored shorter side, pixels': dataset.media.shorter_side_px,
        'steps': trainer.num_steps,
        'strategy': type(trainer.strategy).__name__,
        'replicas': trainer.num_replicas,
        'devices': list(trainer.strategy.extended.worker_devices),
        'avmae-tf': code.version,
        'commit': code.commit or 'unknown',
        'requirements.lock': code.lock or 'unknown',
        'image': code.image or 'none',
        'learning version': LEARNING_VERSION,
        'TensorFlow': tf.__version__,
    }
    return table(rows.items(), ('', ''))


def hyperparameters(config: Any) -> dict[str, Any]:
    """What runs are compared by: the recipe, what it changes, and what is changed most often."""
    recipe, changes = closest_recipe(config)
    shown = {k: v for k, v in flat(config).items() if k.partition('.')[0] in SHOWN}
    chosen: Mapping[str, Any] = {'recipe': recipe, **shown, **changes}
    plain = (bool, int, float, str)
    return {k: v if isinstance(v, plain) else str(v) for k, v in chosen.items()}


class About(Action):
    """Written at the first look of a process: one that resumes may run on other code."""

    def __init__(self, running: Running):
        super().__init__(running)
        self._written = False

    def after_steps(self, step: int, scalars: Scalars) -> None:
        if self._written or not self.running.logs:
            return
        self._written = True
        summaries = self.running.run_summaries
        with summaries.summary_writer().as_default():
            tf.summary.text('run', run_text(self.running), step=step)
            tf.summary.text('settings', settings_text(self.running), step=step)
            shown = hyperparameters(self.running.trainer.task.config)
            hparams.hparams(shown, trial_id=os.path.basename(self.running.logs))
        summaries.flush()
