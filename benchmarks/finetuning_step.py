"""A finetuning step and a forward pass of MBT-Base, 32 frames and 8 s, beside matrix products.

Every case runs in a process of its own, so that its peak memory is its own. CPU seconds, so that
what else runs on the machine counts little.
"""

import json
import sys
import time
from pathlib import Path

from benchmarks.measure import Comparison, alone, beside_products, peak_gib

CLASSES = 309  # VGGSound
REPEATS = 3
SHARE = 0.8  # of the products' rate, at least
LIMITS_GIB = {'step 1': 6.0, 'step 4': 14.0, 'forward 1': 3.0}


def measure(what: str, batch: int) -> dict[str, float]:
    """CPU seconds, those that the matrix products alone would take, and peak GiB."""
    import tensorflow as tf

    from avmae_tf.config import FINETUNE_RECIPES
    from avmae_tf.config.heads import LABEL
    from avmae_tf.data.dataset import Dataset
    from avmae_tf.models.builders import blank_inputs
    from avmae_tf.models.cost import finetuning_flops
    from avmae_tf.training.optimizers import clip, make_optimizer
    from avmae_tf.training.tasks import FinetuneTask

    config = FINETUNE_RECIPES['vggsound-base']
    dataset = Dataset.model_construct(heads={LABEL: tuple(map(str, range(CLASSES)))})
    task = FinetuneTask(config, dataset)
    model = task.build()
    variables = task.trainables(model)
    factors = zip(variables, task.rate_factors(model), strict=True)
    optimizer = make_optimizer(config.optimizer, 1e-3, factors)
    inputs = blank_inputs(config, batch)
    clips = {**inputs, LABEL: tf.one_hot([0] * batch, CLASSES)}

    @tf.function
    def step(number):
        with tf.GradientTape() as tape:
            loss, _ = task.train_loss(model, clips, tf.stack([0, number]))
        gradients, _ = clip(tape.gradient(loss, variables), config.clip_norm)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    @tf.function
    def forward(number):
        return model({m: x + tf.cast(number, x.dtype) for m, x in inputs.items()})['video']

    run, passes = {'step': (step, 3), 'forward': (forward, 1)}[what]
    seconds, rate = beside_products(
        lambda number: run(tf.constant(number)).numpy(), time.process_time, REPEATS
    )
    operations = passes * batch * sum(finetuning_flops(config, CLASSES).values())
    return {'seconds': seconds, 'products': operations / rate, 'peak': peak_gib()}


def compare_all(folder: Path) -> list[Comparison]:
    rows = []
    for case, limit in LIMITS_GIB.items():
        found, subject = alone(__name__, *case.split()), f'MBT-Base, {case}'
        rows += [
            Comparison(
                *(subject, 'its matrix products', 'call', found['seconds'], found['products']),
                *(1 / SHARE, 'CPU s', 1.0),
            ),
            Comparison(subject, 'the limit', 'call', found['peak'], limit, 1.0, 'GiB', 1.0),
        ]
    return rows


if __name__ == '__main__':
    from avmae_tf import console

    console.quiet()
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
