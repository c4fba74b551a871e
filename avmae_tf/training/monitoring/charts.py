"""Charts of a classifier, for TensorBoard and for files. Shapes: C classes."""

import io

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

INK, FAINT, COLOURS = '#1f2933', '#cbd2d9', ('#2f6fbb', '#d9822b', '#3a9d6e')
MAX_CLASSES = 40  # whose names can still be read
DPI = 110


def confusion(matrix: np.ndarray, classes: tuple[str, ...]) -> Figure:
    """Clips by true (row) and predicted (column) class; of many classes those most often wrong."""
    total = len(classes)
    if total > MAX_CLASSES:
        wrong = matrix * (1 - np.eye(total))
        shown = np.sort(np.argsort(-(wrong.sum(0) + wrong.sum(1)), kind='stable')[:MAX_CLASSES])
        matrix, classes = matrix[np.ix_(shown, shown)], tuple(classes[i] for i in shown)
    size = 2.6 + 0.34 * len(classes)
    figure = Figure(figsize=(size, size))
    axis = figure.subplots()
    axis.imshow(matrix, cmap='Blues')
    ticks = range(len(classes))
    axis.set_xticks(ticks, classes, rotation=90, fontsize=8)
    axis.set_yticks(ticks, classes, fontsize=8)
    axis.set_xlabel('predicted')
    axis.set_ylabel('true')
    if len(classes) < total:
        title = f'the {len(classes)} of {total} classes that are confused most'
        axis.set_title(title, loc='left', color=INK, fontsize=9)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            dark = count > matrix.max() / 2
            axis.text(
                column, row, f'{count:.0f}', ha='center', va='center', fontsize=7,
                color='white' if dark else INK,
            )  # fmt: skip
    axis.spines[:].set_visible(False)
    return figure


def precision_bars(values: np.ndarray, classes: tuple[str, ...]) -> Figure:
    """Average precision [C] by class, the best on top; of many classes the best and the worst.

    Classes that no clip has, whose value is not a number, are left out.
    """
    order = np.argsort(-values, kind='stable')  # what is not a number comes last
    order = order[: np.isfinite(values).sum()]
    half = MAX_CLASSES // 2
    shown = order if len(order) <= MAX_CLASSES else np.concatenate([order[:half], order[-half:]])
    left_out = len(order) - len(shown)
    figure = Figure(figsize=(4.6, 0.8 + 0.22 * len(shown)))
    axis = figure.subplots()
    places = -np.arange(len(shown), dtype=float)
    places[half:] -= 1.0 if left_out else 0.0  # a gap where others are left out
    axis.barh(places, values[shown], color=COLOURS[0], height=0.7)
    axis.set_yticks(places, [classes[i] for i in shown], fontsize=9)
    axis.set_xlim(0.0, 1.12)
    axis.set_ylim(places.min() - 0.8, 0.8)
    for place, value in zip(places, values[shown], strict=True):
        axis.text(value + 0.01, place, f'{value:.2f}', va='center', fontsize=8, color=INK)
    mean = values[order].mean()
    axis.axvline(mean, color=COLOURS[1], linewidth=1.0)
    rest = f'; {left_out} classes between are left out' if left_out else ''
    axis.set_title(f'mean {mean:.3f}{rest}', loc='left', color=INK, fontsize=9)
    axis.spines[['top', 'right', 'left']].set_visible(False)
    axis.tick_params(axis='y', length=0)
    return figure


def pixels(figure: Figure) -> np.ndarray:
    """A figure as uint8 [1, height, width, 3], for an image summary."""
    figure.tight_layout()
    png = io.BytesIO()
    figure.savefig(png, format='png', dpi=DPI)
    return tf.io.decode_png(png.getvalue(), channels=3).numpy()[None]
