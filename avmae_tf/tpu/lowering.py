"""The whole step of training and of testing as a compiler takes them: HLO not yet optimised.

Nothing is computed and no record is read. It is one core's share, without the sum over cores.
"""

import gc
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.compiler.xla.service import hlo_pb2

from avmae_tf.config import FinetuneConfig, MediaSpec, PretrainConfig, RunSpec, heads, splits
from avmae_tf.data.dataset import Dataset, Shard
from avmae_tf.training.tasks import FinetuneTask, PretrainTask
from avmae_tf.training.trainer import Trainer

_UNKNOWN = re.compile(r"(\w+) \(No registered '\w+' OpKernel for XLA")


class Lowered(NamedTuple):
    """A step of `splits.USED`: its HloModuleProto, serialized, or the operations XLA lacks."""

    step: str
    module: bytes = b''
    refused: str = ''


class OneCore(tf.distribute.OneDeviceStrategy):
    """Computes nothing where a step is run, and keeps what its replica would compute.

    What a trainer does around it is the host's work.
    """

    of_replica: Callable[..., Any]

    def run(self, fn: Callable, args: Any = (), kwargs: Any = None, options: Any = None) -> None:
        run = super().run
        self.of_replica = lambda *values: run(fn, args=values)


def undescribed(num_examples: int, classes: heads.Classes) -> Dataset:
    """Records that nobody has written: a trainer reads none before it trains."""
    shard = Shard(path='none', num_examples=num_examples, num_labelled=num_examples)
    return Dataset(
        media=MediaSpec(),
        heads=classes,
        splits={split: (shard,) for split in splits.USED},
        fingerprint='',
    )


def trainer_of(config: PretrainConfig | FinetuneConfig, classes: heads.Classes) -> Trainer:
    """A trainer of one core, which has the batch of `config.schedule` to itself."""
    dataset = undescribed(2 * config.schedule.batch_size, classes)
    kind = PretrainTask if isinstance(config, PretrainConfig) else FinetuneTask
    trainer = Trainer(kind(config, dataset), '', OneCore('CPU:0'), RunSpec())
    trainer.read_from(0)
    return trainer


def lowered(
    config: PretrainConfig | FinetuneConfig,
    classes: heads.Classes,
    steps: Sequence[str] = splits.USED,
) -> Iterator[Lowered]:
    """The steps of training and of testing on one core, whose variables have become arguments.

    Raises:
        ValueError: the settings are illegal with these classes by head.
    """
    trainer = trainer_of(config, classes)
    known = {
        splits.TRAIN: (trainer.train_step, trainer.train_dataset),
        splits.EVAL: (trainer.eval_step, trainer.eval_dataset),
    }
    for name in steps:
        step, batches = known[name]
        step(iter([batches.element_spec]))
        yield lower(name, trainer.strategy.of_replica, batches.element_spec)
    del trainer, known, step, batches
    gc.collect()  # the model's weights


def lower(name: str, step: Callable[[Any], Any], batch: Any) -> Lowered:
    """A step that takes one batch, of such a specification."""

    def whole(*values):
        return step(tf.nest.pack_sequence_as(batch, values))

    compiled = tf.function(whole, jit_compile=True, autograph=False)
    try:
        convert = compiled.experimental_get_compiler_ir(*tf.nest.flatten(batch))
        module = hlo_pb2.HloModuleProto.FromString(
            convert(stage='hlo_serialized', platform_name='CPU')
        )
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        if unknown := sorted(set(_UNKNOWN.findall(str(error)))):
            return Lowered(name, refused=', '.join(unknown))
        raise
    for computation in module.computations:
        for instruction in computation.instructions:
            # JAX's converter to StableHLO knows no copy; a conversion to the same type is one.
            if instruction.opcode == 'copy':
                instruction.opcode = 'convert'
    return Lowered(name, module.SerializeToString())
