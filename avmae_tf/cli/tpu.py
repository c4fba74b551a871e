"""`avmae inspect --tpu`: a recipe's steps, compiled by Google's TPU compiler, as a table."""

from collections.abc import Sequence

from rich.table import Table

from avmae_tf import console
from avmae_tf.config import FinetuneConfig, TrainingConfig, heads


def compile_recipe(
    settings: TrainingConfig, classes: int | None, names: Sequence[str]
) -> list[dict]:
    """What `tpu.compiler` says of each step for the topologies of these names, as plain values.

    Raises:
        ValueError: there is no such topology, no compiler, or the batch does not divide.
    """
    from avmae_tf.tpu import chips, compiler

    topologies = [chips.topology_of(name) for name in names]
    labels = {}
    if isinstance(settings, FinetuneConfig):
        head = heads.EVENT if settings.segments > 1 else heads.LABEL
        labels = {head: tuple(map(str, range(classes or 0)))}
    found = compiler.compile_steps(settings, labels, topologies, console.say)
    return [step.model_dump() for step in found]


def table(steps: list[dict]) -> Table:
    """A row for each step and topology, in figures of one core."""
    names = ('clips', 'peak GiB', 'GiB moved', 'ms', 'of peak', 'compiled in', 'outcome')
    result = Table('a core of', 'step', box=None, pad_edge=False)
    for name in names:
        result.add_column(name, justify='right' if name != names[-1] else 'left')
    for step in steps:
        outcome = ': '.join(filter(None, (step['outcome'], step['reason'])))
        figures = [f'{step["peak_gib"]:.2f}' if step['peak_gib'] else '', *[''] * 3]
        if step['outcome'] == 'compiles':
            least = '≥ ' if step['unpriced'] else ''
            most = '≤ ' if step['unpriced'] else ''
            figures[1:] = (
                f'{step["moved_gib"]:.1f}',
                f'{least}{step["milliseconds"]:.1f}',
                f'{most}{step["share_of_peak"]:.1%}',
            )
        seconds = f'{step["cpu_seconds"]:.0f} CPU s'
        result.add_row(
            step['topology'], step['step'], str(step['clips']), *figures, seconds, outcome
        )
    return result
