"""What TensorBoard calls a run."""

import itertools
import time

from avmae_tf.config.naming import short_name
from avmae_tf.storage import names_in
from avmae_tf.training.tasks import Task


def new_name(folder: str, task: Task) -> str:
    """A name for the logs of a run that begins now, which no other in `folder` has.

    Task, recipe and date: 'finetune-vggsound-base-2024-05-31-0930'.
    """
    name = f'{task.name}-{short_name(task.config)}-{time.strftime("%Y-%m-%d-%H%M")}'
    taken, others = names_in(folder), (f'{name}-{i}' for i in itertools.count(2))
    return next(n for n in itertools.chain([name], others) if n not in taken)
