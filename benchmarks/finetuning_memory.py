"""Peak memory of a training step of MBT-Base: 32 frames and 8 s, one clip, float32."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import Comparison

CLASSES = 309  # VGGSound
LIMIT_GIB = 12.0


def measure() -> dict[str, float]:
    """Peak GiB of two steps of this process, and the seconds of the second."""
    import tensorflow as tf

    from avmae_tf.config import FINETUNE_RECIPES
    from avmae_tf.config.heads import LABEL
    from avmae_tf.data.dataset import Dataset
    from avmae_tf.models.builders import blank_inputs
    from avmae_tf.training.optimizers import clip, make_optimizer
    from avmae_tf.training.tasks import FinetuneTask

    config = FINETUNE_RECIPES['vggsound-base']
    names = tuple(map(str, range(CLASSES)))
    dataset = Dataset.model_construct(heads={LABEL: names})
    task = FinetuneTask(config, dataset)
    model = task.build()
    variables = task.trainables(model)
    factors = zip(variables, task.rate_factors(model), strict=True)
    optimizer = make_optimizer(config.optimizer, 1e-3, factors)
    batch = {**blank_inputs(config, 1), LABEL: tf.one_hot([0], CLASSES)}

    @tf.function
    def step(number):
        with tf.GradientTape() as tape:
            loss, _ = task.train_loss(model, batch, tf.stack([0, number]))
        gradients, _ = clip(tape.gradient(loss, variables), config.clip_norm)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    step(tf.constant(0)).numpy()
    started = time.perf_counter()
    step(tf.constant(1)).numpy()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {'peak': peak, 'seconds': time.perf_counter() - started}


def compare_all(folder: Path) -> list[Comparison]:
    command = [sys.executable, '-m', __name__]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    subject = f'peak memory, MBT-Base, {found["seconds"]:.0f} s'
    return [Comparison(subject, 'the limit', 'step', found['peak'], LIMIT_GIB, 1.0, 'GiB', 1.0)]


if __name__ == '__main__':
    from avmae_tf import console

    console.quiet()
    print(json.dumps(measure()))
