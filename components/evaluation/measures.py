"""Exact measures of classifiers, or the reason why the clips at hand do not define one.

Shapes: N clips, C classes, D width, S seconds, k labels of a clip.
"""

import numpy as np
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from typing_extensions import Self

from avmae_tf.training.answers import average_precisions

NO_LABELS = 'no clip has a label'


class Undefined(float):
    """Not a number, and the reason: it passes through TFMA, and fails every threshold."""

    def __new__(cls, reason: str) -> Self:
        return super().__new__(cls, 'nan')

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __format__(self, spec: str) -> str:
        return f'undefined: {self.reason}'


def mean_average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Unweighted mean over classes of average precision (Sec. 4.1, AudioSet).

    `labels` [N, C] are 0 or 1, `scores` [N, C] rank the clips of a class. A class that no clip
    has is left out.
    """
    if not labels.any():
        return Undefined(NO_LABELS)
    return float(np.nanmean(average_precisions(labels, scores)))


def d_prime(labels: np.ndarray, scores: np.ndarray) -> float:
    """sqrt(2) times the normal quantile of the area under the ROC curve, its mean over classes.

    `labels` [N, C] are 0 or 1. A class that no clip or every clip has is left out.
    """
    ranked = labels.any(axis=0) & ~labels.all(axis=0)
    if not ranked.any():
        return Undefined('there is no class that some clips have and others have not')
    mean_area = roc_auc_score(labels[:, ranked], scores[:, ranked], average='macro')
    if mean_area in (0.0, 1.0):
        return Undefined(f'infinite, since the area under the ROC curve is {mean_area:g}')
    return float(np.sqrt(2.0) * norm.ppf(mean_area))


def share_right(labels: np.ndarray, scores: np.ndarray, k: int = 1) -> float:
    """Whether a label [k] of a clip is among its `k` best `scores` [C]; 0 without labels.

    Of labels [S] and scores [S, C], one label a second: the share of seconds. Not a number where
    scores are not.
    """
    if not np.isfinite(scores).all():
        return np.nan
    best = np.argsort(-scores, axis=-1, kind='stable')[..., :k]
    right = best == labels[:, None] if scores.ndim > 1 else np.isin(best, labels)
    return float(right.any(axis=-1).mean())


def recall_at(k: int, asked: np.ndarray, answers: np.ndarray, chunk: int = 1024) -> float:
    """Share of the rows of `asked` [N, D] whose own row of `answers` [N, D] is among the best `k`.

    Ranked by cosine; a tie counts against the row, so that a model that gives all clips the same
    finds nothing.
    """
    if len(asked) <= k:
        return Undefined(f'{len(asked)} clips are not more than {k}')
    if not (np.isfinite(asked).all() and np.isfinite(answers).all()):
        return Undefined('embeddings of the model are not finite')
    asked, answers = (
        x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        for x in (np.float64(asked), np.float64(answers))
    )
    found = 0
    for start in range(0, len(asked), chunk):
        cosines = asked[start : start + chunk] @ answers.T
        own = np.diagonal(cosines, offset=start)[:, None]
        found += np.count_nonzero(np.count_nonzero(cosines >= own, axis=1) <= k)
    return found / len(asked)
