"""The pictures of a finished run, drawn from TensorBoard's logs and TFMA's report."""

import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from tensorboard.backend.event_processing import directory_watcher, event_file_loader, io_wrapper

from avmae_tf.config.splits import EVAL, TRAIN
from avmae_tf.storage import replaced
from avmae_tf.training import visuals
from avmae_tf.training.monitoring.charts import COLOURS, FAINT, INK, confusion
from avmae_tf.training.monitoring.tags import name_of


def _values(logs: str) -> Iterator[tuple[int, str, tf.Tensor]]:
    """(step, tag, value) of every summary below a folder of TensorBoard logs."""
    watcher = directory_watcher.DirectoryWatcher(
        logs, event_file_loader.EventFileLoader, io_wrapper.IsTensorFlowEventsFile
    )
    for event in watcher.Load():
        for value in event.summary.value:
            yield event.step, value.tag, tf.make_ndarray(value.tensor)


def scalars(logs: str) -> dict[str, dict[int, float]]:
    """Name to {step: value}; where a run resumed, what it wrote last counts."""
    found: dict[str, dict[int, float]] = {}
    for step, tag, value in _values(logs):
        if value.ndim == 0 and value.dtype.kind == 'f':
            found.setdefault(name_of(tag), {})[step] = float(value)
    return {name: dict(sorted(points.items())) for name, points in found.items()}


def last_reconstructions(logs: str) -> dict[str, list[np.ndarray]]:
    """Modality to the pictures of its last step, uint8 [height, width, 3]."""
    found = {}
    for _, tag, value in _values(logs):
        if modality := visuals.modality_of(tag):
            found[modality] = [tf.io.decode_png(png).numpy() for png in value[2:]]
    return found


def draw_losses(runs: dict[str, str], path: str) -> None:
    """Loss by step of every run, training and held-out, to a PNG."""
    figure = Figure(figsize=(5.2 * len(runs), 3.4))
    axes = figure.subplots(1, len(runs), squeeze=False)
    for axis, (name, logs) in zip(axes[0], runs.items(), strict=True):
        for (label, folder), colour in zip(
            (('training', TRAIN), ('held out', EVAL)), COLOURS, strict=False
        ):
            points = scalars(os.path.join(logs, folder)).get('loss', {})
            marker = 'o' if folder == EVAL else None
            axis.plot(points.keys(), points.values(), label=label, color=colour, marker=marker)
        axis.set_title(name, color=INK, loc='left')
        axis.set_xlabel('step')
        axis.set_ylabel('loss')
        axis.legend(frameon=False)
        axis.spines[['top', 'right']].set_visible(False)
        axis.grid(axis='y', color=FAINT, linewidth=0.6)
    save(figure, path)


def draw_reconstructions(logs: str, path: str, count: int = 3) -> None:
    """Input, masked input and reconstruction of a few clips, as in Figure 5, to a PNG."""
    images = last_reconstructions(os.path.join(logs, TRAIN))
    rows = list(
        zip(
            *[pictures[:count] for _, pictures in sorted(images.items(), reverse=True)], strict=True
        )
    )
    ratios = [picture.shape[1] / picture.shape[0] for picture in rows[0]]
    figure = Figure(figsize=(2.3 * sum(ratios), 2.4 * len(rows)))
    axes = figure.subplots(len(rows), len(ratios), squeeze=False, width_ratios=ratios)
    for row, pictures in zip(axes, rows, strict=True):
        for axis, picture in zip(row, pictures, strict=True):
            axis.imshow(picture, interpolation='nearest')
            axis.set_xticks([])
            third = picture.shape[0] / 3
            axis.set_yticks([third * (i + 0.5) for i in range(3)])
            axis.set_yticklabels(['input', 'masked', 'output'], fontsize=8)
            axis.tick_params(length=0)
            axis.spines[:].set_visible(False)
    for axis in axes[:, 1:].ravel():
        axis.set_yticks([])
    for axis, modality in zip(axes[0], sorted(images, reverse=True), strict=True):
        axis.set_title(modality, loc='left', color=INK)
    save(figure, path)


def confusion_matrix(report: str, num_classes: int) -> np.ndarray:
    """Clips by true (row) and predicted (column) class, out of TFMA's report."""
    import tensorflow_model_analysis as tfma  # twelve seconds

    plots = dict(tfma.load_eval_result(report).plots)[()]['']['']
    matrix = np.zeros([num_classes, num_classes])
    (threshold,) = plots['multiClassConfusionMatrixAtThresholds']['matrices']
    for entry in threshold['entries']:
        row, column = entry.get('actualClassId', 0), entry.get('predictedClassId', 0)
        matrix[row, column] = entry.get('numWeightedExamples', 0.0)
    return matrix


def draw_confusion(matrix: np.ndarray, classes: tuple[str, ...], path: str) -> None:
    """A confusion matrix to a PNG."""
    save(confusion(matrix, classes), path)


def save(figure: Figure, path: str) -> None:
    """Writes a figure to a PNG, whole or not at all."""
    figure.tight_layout()
    with replaced(path) as name:
        figure.savefig(name, format='png', dpi=130)
