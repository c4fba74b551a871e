"""RunOutcome: the last component, which says how the run ended, wherever it ran."""

import math
import os
from typing import ClassVar

from tfx.dsl.component.experimental.annotations import InputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import ModelBlessing, ModelEvaluation, PushedModel

from avmae_tf.config.descriptions import Description
from avmae_tf.storage import write_text
from components.evaluation.analysis import read_left_out, read_metrics
from components.outcome.judgement import Shortfall, read_shortfalls
from components.outcome.notice import send_notice

LAST = 'last'  # the run that ended last, under a name that is known before


class Outcome(Description):
    """How a run ended.

    Attributes:
        blessed: whether the model passed the gate.
        compared: whether there was a served model to compare with.
        shortfalls: why it did not pass.
        metrics: of the candidate by name; None where its clips do not define it.
        left_out: clips without a label, on which nothing was measured.
        report: folder of TFMA's report.
        pushed: the version, '' if none.
    """

    FILE: ClassVar[str] = 'outcome.json'
    run: str
    blessed: bool
    compared: bool
    shortfalls: tuple[Shortfall, ...]
    metrics: dict[str, float | None]
    left_out: int
    report: str
    pushed: str = ''

    @property
    def refusal(self) -> str:
        """Why the model was not pushed, in one line."""
        why = '; '.join(map(str, self.shortfalls)) or 'it was not judged'
        return f'not pushed: {why}; report in {self.report}'


@component
def RunOutcome(
    evaluation: InputArtifact[ModelEvaluation],
    blessing: InputArtifact[ModelBlessing],
    pushed_model: InputArtifact[PushedModel],
    folder: Parameter[str],
    run: Parameter[str],
    notify: Parameter[str] = '',
) -> None:
    """Writes the outcome to `folder`, by the name of the run and as that of the last one.

    Never cached, so that every run has one.

    Args:
        evaluation: TFMA's report.
        blessing: What the Evaluator says of the candidate.
        pushed_model: What the Pusher says of its push.
        folder: Where outcomes are kept, a file each.
        run: Id of the run.
        notify: Address that gets a notice of a refusal.
    """
    blessed = bool(blessing.get_int_custom_property('blessed'))
    outcome = Outcome(
        run=run,
        blessed=blessed,
        compared=blessing.has_custom_property('baseline_model_id'),
        shortfalls=() if blessed else tuple(read_shortfalls(evaluation.uri)),
        metrics={
            name: value if math.isfinite(value) else None
            for name, value in read_metrics(evaluation.uri).items()
        },
        left_out=read_left_out(evaluation.uri),
        report=evaluation.uri,
        pushed=pushed_model.get_string_custom_property('pushed_destination') if blessed else '',
    )
    for name in (run, LAST):
        write_text(os.path.join(folder, f'{name}.json'), outcome.to_json())
    if not blessed:
        send_notice(notify, f'{run}: {outcome.refusal}')
