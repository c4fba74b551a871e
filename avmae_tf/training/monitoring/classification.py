"""What a classifier confuses: pictures and sound after a test on held-out clips."""

import os

import numpy as np
import tensorflow as tf

from avmae_tf.config import SAMPLE_RATE_HZ, splits
from avmae_tf.config.heads import Classes
from avmae_tf.data.dataset import records_at
from avmae_tf.training.actions import Scalars
from avmae_tf.training.answers import Answers, average_precisions, confusions
from avmae_tf.training.monitoring import charts
from avmae_tf.training.monitoring.clips import read_clip, sheet
from avmae_tf.training.monitoring.occasional import Occasional

GROUP = 'classification'  # one for all, since TensorBoard opens only the first two
MOST_WRONG = 6  # clips that are shown and heard
MAX_NAMES = 3  # of a clip's labels


def verdict(answers: Answers, clip: int, classes: Classes) -> str:
    """What a clip is, and what it was taken for: 'dog, taken for cat 0.93'; of each head."""
    said = []
    for head, scores in answers.scores.items():
        true = answers.targets[head][clip].reshape(-1, scores.shape[-1]).max(axis=0)
        mean = scores[clip].reshape(-1, scores.shape[-1]).mean(axis=0)  # over its seconds
        best = int(mean.argmax())
        names = [classes[head][i] for i in np.flatnonzero(true)]
        known = ', '.join(names[:MAX_NAMES]) + (' ...' if len(names) > MAX_NAMES else '')
        said.append(f'{known}, taken for {classes[head][best]} {mean[best]:.2f}')
    return '; '.join(said)


class Classification(Occasional):
    """Confusion matrix and average precision by class of every head, and the most wrong clips."""

    cost = 3.0

    def after_test(self, step: int, scalars: Scalars) -> None:
        trainer = self.running.trainer
        answers = trainer.answers
        if answers is None or not self.is_due(step):
            return
        classes = trainer.task.dataset.heads
        with self.doing(step), self.running.eval_summaries.summary_writer().as_default():
            for head in answers.scores:
                labels, scores = answers.ranked(head)
                precisions = average_precisions(labels, scores)
                for name, figure in {
                    'confusions': charts.confusion(confusions(labels, scores), classes[head]),
                    'average_precision': charts.precision_bars(precisions, classes[head]),
                }.items():
                    tf.summary.image(f'{GROUP}/{name}_{head}', charts.pixels(figure), step=step)
            self._show_most_wrong(answers, classes, step)

    def _show_most_wrong(self, answers: Answers, classes: Classes, step: int):
        trainer, worst = self.running.trainer, answers.most_wrong(MOST_WRONG)
        shards = trainer.task.dataset.shards(splits.EVAL, labelled=trainer.task.labelled)
        paths = {os.path.join(trainer.folder, s.path): s.num_examples for s in shards}
        records = records_at(paths, [int(answers.places[i]) for i in worst])
        titles = [
            f'{rank}  {verdict(answers, i, classes)}  (loss {answers.losses[i]:.2f})'
            for rank, i in enumerate(worst, start=1)
        ]
        tf.summary.image(f'{GROUP}/most_wrong', charts.pixels(sheet(records, titles)), step=step)
        sound = [read_clip(record)['waveform'].numpy() for record in records]
        length = max(1, *map(len, sound))
        padded = np.stack([np.pad(x, (0, length - len(x))) for x in sound])
        tf.summary.audio(
            f'{GROUP}/sound_of_most_wrong',  # of one name with pictures it would not be shown
            padded[..., None],
            SAMPLE_RATE_HZ,
            step=step,
            max_outputs=len(sound),
            description='In the order of the rows of `most_wrong` among the images.',
        )
