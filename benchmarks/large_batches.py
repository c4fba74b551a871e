"""A batch in parts and on two devices, against one at once, and the time it waits for its clips.

Every case runs in a process of its own, so that none has the memory of another.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import Comparison, compare

BATCH, PARTS = 8, 2
BACKBONES = {'parts': 'base', 'devices': 'small', 'waiting': 'base'}
WAITING_BATCH, WAITING_STEPS = 2, 8
PARTS_TARGET, DEVICES_TARGET, WAITING_TARGET = 1.05, 1.10, 0.05
REPEATS = 3
Values = tuple[float, float]  # of the subject and of what it is compared with


def settings(case: str, batch: int):
    """Pretraining of both modalities as in the paper, at another batch."""
    from avmae_tf.config import DecoderSpec, PretrainConfig

    return PretrainConfig(
        backbone=BACKBONES[case],
        decoder=DecoderSpec.for_backbone(BACKBONES[case]),
        schedule={
            'learning_rate': 3e-4, 'reference_batch_size': 512, 'batch_size': batch, 'epochs': 10
        },
    )  # fmt: skip


def in_turns(subject, reference) -> Values:
    """CPU-seconds of a call of each."""
    names = {'unit': 'step', 'count': 1, 'target': 0.0, 'repeats': REPEATS}
    found = compare(subject=('', subject), reference=('', reference), **names)
    return found.subject_value, found.reference_value


def parts(folder: str) -> Values:
    """A step on one batch, which is in memory, in parts and at once: of one model."""
    import tensorflow as tf

    from avmae_tf.models.builders import blank_inputs, build_avmae
    from avmae_tf.models.draws import Draws
    from avmae_tf.training.gradients import mean_gradients
    from avmae_tf.training.optimizers import create_slots, make_optimizer
    from avmae_tf.training.tasks import PretrainTask

    config = settings('parts', BATCH)
    task, model = PretrainTask(config, dataset=None), build_avmae(config)
    variables = task.trainables(model)
    optimizer = make_optimizer(config.optimizer, 3e-4)
    create_slots(optimizer, variables)
    batch = blank_inputs(config, BATCH)
    batch['video'] = tf.cast(batch['video'], tf.uint8)
    number = tf.Variable(0)

    def step_in(count: int):
        @tf.function(autograph=False)
        def step():
            seed = tf.stack([0, number.assign_add(1)])
            draws = Draws(seed, tf.range(BATCH), BATCH)
            _, gradients = mean_gradients(task, model, variables, batch, draws, count)
            optimizer.apply_gradients(zip(gradients, variables, strict=True))

        return step

    return in_turns(step_in(PARTS), step_in(1))


def trainer_on(strategy, case: str, batch: int, folder: str):
    """The trainer of a run on the records in `folder`."""
    from avmae_tf.config import RunSpec
    from avmae_tf.data.dataset import load_dataset
    from avmae_tf.training.tasks import PretrainTask
    from avmae_tf.training.trainer import Trainer

    task = PretrainTask(settings(case, batch), load_dataset(folder))
    trainer = Trainer(task, folder, strategy, RunSpec())
    trainer.read_from(0)
    return trainer


def devices(folder: str) -> Values:
    """A step of a run on two logical devices of the CPU, and on one; the batch is the same."""
    import tensorflow as tf

    from avmae_tf.training import devices

    os.environ[devices.CPU_DEVICES] = '2'
    devices.configure_cpu_devices()
    strategies = devices.default_strategy(), tf.distribute.OneDeviceStrategy('CPU:0')
    two, one = (trainer_on(strategy, 'devices', BATCH, folder) for strategy in strategies)
    return in_turns(lambda: two.train(tf.constant(1)), lambda: one.train(tf.constant(1)))


def waiting(folder: str) -> Values:
    """Seconds by the clock that steps wait for their batch, and all that they take."""
    import tensorflow as tf

    strategy = tf.distribute.OneDeviceStrategy('CPU:0')
    trainer = trainer_on(strategy, 'waiting', WAITING_BATCH, folder)
    step = tf.function(lambda batch: trainer.train_step(iter([batch])), autograph=False)
    batches, waited = iter(trainer.train_dataset), 0.0
    step(next(batches))  # traced
    started = time.perf_counter()
    for _ in range(WAITING_STEPS):
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        step(batch)
        trainer.global_step.numpy()
    return waited / WAITING_STEPS, (time.perf_counter() - started) / WAITING_STEPS


CASES = {'parts': parts, 'devices': devices, 'waiting': waiting}


def case(name: str, folder: Path) -> Values:
    """The values of a case, found in a process of its own."""
    command = [sys.executable, '-m', __name__, name, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare_all(folder: Path) -> list[Comparison]:
    from avmae_tf.config.splits import EVAL, TRAIN
    from avmae_tf.data.dataset import save_dataset
    from benchmarks import input_pipeline

    clips = [input_pipeline.draw_jpegs(label) for label in range(input_pipeline.DRAWN)]
    dataset = input_pipeline.write_records(folder, clips)
    shards = dataset.splits[TRAIN]
    save_dataset(str(folder), dataset.replace(splits={TRAIN: shards, EVAL: shards[:1]}))
    rows = []
    for name, subject, reference, target, scale in (
        ('parts', f'a batch of {BATCH} in {PARTS} parts', 'at once', PARTS_TARGET, 1000.0),
        ('devices', 'two devices of the CPU', 'one, same batch', DEVICES_TARGET, 1000.0),
        ('waiting', 'waiting for clips', 'all of the step', WAITING_TARGET, 1.0),
    ):
        quantity = 'CPU ms' if scale > 1 else 's'
        values = case(name, folder)
        rows.append(Comparison(subject, reference, 'step', *values, target, quantity, scale))
    return rows


if __name__ == '__main__':
    from avmae_tf import console

    console.quiet()
    print(json.dumps(CASES[sys.argv[1]](sys.argv[2])))
