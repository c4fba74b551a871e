"""A pretraining step (ViT-Base, Mid) beside the machine's own matrix products.

Every case runs in a process of its own, so that its peak memory is its own; within it, steps and
products of 4096 x 4096 float32 matrices take turns.
"""

import json
import sys
from pathlib import Path

from benchmarks.measure import Comparison, alone, beside_products, peak_gib

MODALITIES = {'audio': ('audio',), 'video': ('video',), 'audiovisual': ('video', 'audio')}
BATCHES = (2, 8)
REPEATS = 5
STEPS_OF_LEARNING = 50
LEARNS = ('audiovisual', 2)  # where the loss is compared
SHARE = 0.7  # of the products' rate, at least
MEMORY_GIB = 8.0
TOGETHER = 1.1  # both modalities, beside one after the other
LOSS = 1.01


def smooth_clips(shapes: dict) -> dict:
    """Inputs [B, ...] in [-1, 1] that can be filled in: noise of an eighth of the resolution."""
    import tensorflow as tf

    clips = {}
    for m, shape in shapes.items():
        batch, *frames, height, width, channels = shape
        rows = batch * (frames[0] if frames else 1)
        noise = tf.random.stateless_uniform([rows, height // 8, width // 8, channels], [1, 2], -1)
        clips[m] = tf.reshape(tf.image.resize(noise, [height, width], 'bicubic'), shape)
    return clips


def measure(name: str, batch: int, precision: str) -> dict[str, float]:
    """Seconds of a step, seconds that its products alone would take, peak GiB, loss."""
    import tensorflow as tf

    from avmae_tf.config import DecoderSpec, PretrainConfig
    from avmae_tf.models.builders import blank_inputs, build_avmae
    from avmae_tf.models.cost import pretraining_flops
    from avmae_tf.training.optimizers import make_optimizer
    from avmae_tf.training.tasks import PretrainTask

    tf.random.set_seed(0)
    config = PretrainConfig(
        modalities=MODALITIES[name],
        backbone='base',
        decoder=DecoderSpec.for_backbone('base'),
        schedule={
            'learning_rate': 3e-4, 'reference_batch_size': batch, 'batch_size': batch, 'epochs': 1
        },
        precision=precision,
    )  # fmt: skip
    model, task = build_avmae(config), PretrainTask(config, dataset=None)
    optimizer = make_optimizer(config.optimizer, 3e-4)
    inputs = smooth_clips({m: x.shape for m, x in blank_inputs(config, batch).items()})
    variables = model.trainable_variables

    @tf.function
    def step(number):
        with tf.GradientTape() as tape:
            loss, _ = task.train_loss(model, inputs, tf.stack([0, number]))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    seconds, rate = beside_products(lambda i: step(tf.constant(i)).numpy(), repeats=REPEATS)
    peak = peak_gib()
    learned = {}
    if (name, batch) == LEARNS:
        for i in range(REPEATS + 1, STEPS_OF_LEARNING):
            learned = {'loss': float(step(tf.constant(i)))}
    return {
        'seconds': seconds,
        'products': 3 * batch * sum(pretraining_flops(config).values()) / rate,
        'peak': peak,
        **learned,
    }


def case(name: str, batch: int, precision: str = 'float32') -> dict[str, float]:
    """`measure` in a process of its own."""
    return alone(__name__, name, str(batch), precision)


def compare_all(folder: Path) -> list[Comparison]:
    rows = []
    two, eight = ({name: case(name, batch) for name in MODALITIES} for batch in BATCHES)
    half = case('audiovisual', 2, 'mixed_bfloat16')
    both = two['audiovisual']
    for batch, cases in zip(BATCHES, (two, eight), strict=True):
        for name, found in cases.items():
            subject = f'step, {name}, batch {batch}'
            ours, theirs = found['seconds'], found['products']
            rows.append(
                Comparison(
                    subject, 'its matrix products', 'step', ours, theirs, 1 / SHARE, 's', 1.0
                )
            )
    apart = two['audio']['seconds'] + two['video']['seconds']
    for subject, reference, ours, theirs, target, quantity in (
        ('peak memory, batch 8', 'the limit', eight['audiovisual']['peak'], MEMORY_GIB, 1.0, 'GiB'),
        ('audiovisual', 'audio, then video', both['seconds'], apart, TOGETHER, 's'),
        ('bfloat16', 'float32', half['seconds'], both['seconds'], 1.0, 's'),
        ('loss in bfloat16', 'in float32', half['loss'], both['loss'], LOSS, ''),
    ):
        rows.append(Comparison(subject, reference, 'step', ours, theirs, target, quantity, 1.0))
    return rows


if __name__ == '__main__':
    from avmae_tf import console

    console.quiet()
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
