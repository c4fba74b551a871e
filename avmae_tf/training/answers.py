"""What a classifier answered to all held-out clips of a test, and what of it is right.

Shapes: N clips, R rows that are ranked (clips, or their seconds), C classes of a head.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from sklearn.metrics import average_precision_score
from typing_extensions import Self

from avmae_tf.losses.classification import Loss, class_scores

Arrays = Mapping[str, np.ndarray]
LOGITS, LOSS, WEIGHT, PLACE = KEPT = ('logits', 'loss', 'weight', 'place')  # of each clip


def average_precisions(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Average precision [C] of each class: `labels` [R, C] are 0 or 1, `scores` [R, C] rank.

    Not a number for a class that no row has, and for all of them where scores are not finite.
    """
    found = np.full(labels.shape[1], np.nan)
    present = labels.any(axis=0)
    if present.any() and np.isfinite(scores).all():
        found[present] = average_precision_score(
            labels[:, present], scores[:, present], average=None
        )
    return found


def confusions(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Rows by their class (row) and the one that was thought best (column), [C, C].

    A row with several classes counts at each of them.
    """
    best = np.eye(labels.shape[1])[scores.argmax(axis=1)]
    return (labels > 0).T.astype(float) @ best


@dataclasses.dataclass(frozen=True)
class Answers:
    """Scores and targets by head, [N, C], or [N, seconds, C]; each clip's loss and place, [N].

    The place is the number of its record among those of the split's shards.
    """

    scores: Arrays
    targets: Arrays
    losses: np.ndarray
    places: np.ndarray

    @classmethod
    def of(cls, kept: Arrays, head_sizes: Mapping[str, int], loss: Loss) -> Self:
        """From what was KEPT of each clip, beside its targets; logits of all heads lie together."""
        counted = kept[WEIGHT] > 0
        kept = {name: x[counted] for name, x in kept.items()}
        ends = np.cumsum([*head_sizes.values()])[:-1]
        logits = dict(zip(head_sizes, np.split(kept[LOGITS], ends, axis=-1), strict=True))
        return cls(
            scores={h: class_scores(loss, tf.constant(x)).numpy() for h, x in logits.items()},
            targets={head: kept[head] for head in head_sizes},
            losses=kept[LOSS],
            places=kept[PLACE],
        )

    def measures(self) -> dict[str, float]:
        """What all clips together define: mean average precision of each head."""
        names = {head: 'map' if len(self.scores) == 1 else f'map_{head}' for head in self.scores}
        return {name: self.mean_average_precision(head) for head, name in names.items()}

    def ranked(self, head: str) -> tuple[np.ndarray, np.ndarray]:
        """Labels and scores of a head, [R, C] each: a second is a row of its own."""
        scores = self.scores[head]
        rows = (-1, scores.shape[-1])
        return self.targets[head].reshape(rows), scores.reshape(rows)

    def mean_average_precision(self, head: str) -> float:
        """The unweighted mean over the classes that clips have; not a number if there is none."""
        found = average_precisions(*self.ranked(head))
        return np.nan if np.isnan(found).all() else float(np.nanmean(found))

    def most_wrong(self, count: int) -> list[int]:
        """The clips with the highest losses, the worst first: their indices into N."""
        return np.argsort(-self.losses, kind='stable')[:count].tolist()
