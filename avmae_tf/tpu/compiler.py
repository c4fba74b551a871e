"""Google's TPU compiler, asked about a recipe's steps."""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import avmae_tf
from avmae_tf.config import FinetuneConfig, PretrainConfig, Spec, splits
from avmae_tf.config.heads import Classes
from avmae_tf.models.cost import STEP_IN_PASSES, finetuning_flops, pretraining_flops
from avmae_tf.tpu.chips import Topology

if TYPE_CHECKING:
    from avmae_tf.tpu.lowering import Lowered

ROOT = Path(avmae_tf.__file__).parents[1]
ENVIRONMENT = (
    'AVMAE_TPU_COMPILER'  # environment variable: where it is, if not in `.tpu` of the tree
)


class Compiled(Spec):
    """What the compiler says of one step on one core; GiB, and counts of one execution."""

    outcome: Literal['compiles', 'too large', 'refused', 'crashed']
    reason: str = ''  # the refused operation, or how the compiler died
    peak_gib: float = 0.0  # arguments, code and what lives at once; what a core would need
    arguments_gib: float = 0.0  # weights, state of the optimizer, the batch
    temporary_gib: float = 0.0
    code_gib: float = 0.0
    compiler_tflop: float = 0.0  # a loop's body counts once, recomputation counts
    moved_gib: float = 0.0  # to and from the core's memory; a loop's body counts once
    cycles: int = 0  # the compiler's estimate
    unpriced: int = 0  # instructions that it prices not, so that `cycles` is a lower bound
    instructions: int = 0
    quick: bool = False  # with the least effort: memory is about right, `cycles` are left out
    cpu_seconds: float = 0.0  # of compiling
    compiler_gib: float = 0.0  # its memory


class CompiledStep(Compiled):
    """The same with what was compiled."""

    step: str  # of `splits.USED`: training, testing
    topology: str
    clips: int  # of a core
    milliseconds: float = 0.0  # `cycles` at the chip's clock
    share_of_peak: float = 0.0  # FLOPs that the mathematics needs, of those in that time


def environment() -> Path:
    """Python of the compiler's environment; raises ValueError where there is none."""
    folder = Path(os.environ.get(ENVIRONMENT) or ROOT / '.tpu')
    if not (folder / 'ready').exists():
        raise ValueError(
            f"{folder}: Google's TPU compiler is not installed here; `make setup-tpu` installs it "
            f'(700 MB), or name its folder in {ENVIRONMENT}'
        )
    return folder / 'bin/python'


def compile_module(module: bytes, topology: str, *, quick: bool = False) -> Compiled:
    """Compiles HLO for one core of a topology, in a process of its own.

    A `quick` compilation looks for no good program, and takes a third of the time.
    """
    variables = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}  # TensorFlow's
    with tempfile.NamedTemporaryFile(suffix='.hlo') as f:
        f.write(module)
        f.flush()
        done = subprocess.run(
            [environment(), '-m', 'avmae_tf.tpu.ahead', f.name, topology, '-1' if quick else '0'],
            capture_output=True,
            text=True,
            env={**variables, 'PYTHONPATH': str(ROOT)},
        )
    if done.returncode == 0:
        found = json.loads(done.stdout.splitlines()[-1]) | {'quick': quick}
        return Compiled.model_validate(found | {'cycles': 0, 'unpriced': 0} if quick else found)
    if done.returncode < 0:
        why = signal.Signals(-done.returncode).name
    else:
        why = next((x for x in reversed(done.stderr.splitlines()) if x.strip()), 'no message')
    return Compiled(outcome='crashed', reason=why)


def flops_of(config: PretrainConfig | FinetuneConfig, classes: Classes, step: str) -> int:
    """What the matrix products of a step need for a clip, nothing computed twice."""
    if isinstance(config, PretrainConfig):
        passes, views = pretraining_flops(config), 1
    else:
        passes = finetuning_flops(config, sum(map(len, classes.values())))
        views = config.num_views * config.num_crops
    forward = sum(passes.values())
    return STEP_IN_PASSES * forward if step == splits.TRAIN else views * forward


def compile_step(
    lowered: 'Lowered',
    topology: Topology,
    config: PretrainConfig | FinetuneConfig,
    classes: Classes,
    *,
    quick: bool = False,
) -> CompiledStep:
    """Compiles a step of `config`, whose batch is one core's, in time and share of the peak."""
    found = Compiled(outcome='refused', reason=lowered.refused)
    if lowered.module:
        found = compile_module(lowered.module, topology.name, quick=quick)
    clips, seconds = config.schedule.batch_size, found.cycles / topology.chip.clock_hz
    flops = clips * flops_of(config, classes, lowered.step)
    return CompiledStep(
        **found.model_dump(),
        step=lowered.step,
        topology=topology.name,
        clips=clips,
        milliseconds=1e3 * seconds,
        share_of_peak=flops / seconds / topology.chip.peak_flops if seconds else 0.0,
    )


def compile_steps(
    config: PretrainConfig | FinetuneConfig,
    classes: Classes,
    topologies: list[Topology],
    say: Callable[[str], None],
) -> Iterator[CompiledStep]:
    """Each step of a recipe compiled for each topology, whose cores share its batch.

    Raises:
        ValueError: there is no compiler, the settings are illegal with these classes by head, or
            the batch is no multiple of the cores.
    """
    environment()
    batch = config.schedule.batch_size
    for topology in topologies:
        if batch % topology.num_cores:
            raise ValueError(
                f'schedule.batch_size must be a multiple of the {topology.num_cores} cores of '
                f'{topology.name}, got {batch}'
            )
    from avmae_tf.tpu import lowering  # TensorFlow: only now that there is something to do

    for clips in sorted({batch // topology.num_cores for topology in topologies}):
        schedule = config.schedule.replace(batch_size=clips)
        wanted = [t for t in topologies if batch // t.num_cores == clips]
        say(f'tracing the steps with {clips} clips a core')
        of_core = config.replace(schedule=schedule)
        for lowered in lowering.lowered(of_core, classes):
            for topology in wanted:
                say(f'compiling the {lowered.step} step for {topology.name}')
                yield compile_step(lowered, topology, of_core, classes)
