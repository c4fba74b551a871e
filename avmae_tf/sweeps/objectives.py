"""Sweeps that are not tables: the gain by itself, Figure 4, and what the paper leaves to others."""

from collections.abc import Iterator

from avmae_tf.sweeps.cells import (
    LOSS,
    RETRIEVAL,
    Cell,
    Pretraining,
    all_columns,
    finetuned,
    inpainting,
    mae,
)

SLOW = 1.6 / 3.0  # of the rate of Table 20: where inpainting trains, as Figure 4 shows
_RATES = {'1.6e-4': SLOW, '3e-4': 1.0, '1e-3': 10.0 / 3.0}


def gain() -> Iterator[Cell]:
    """The smallest: two rows and a column of Table 3, and what the pretraining itself is worth."""
    run = Pretraining(mae())
    yield finetuned('from scratch', [], 51.0)
    yield finetuned('Audiovisual MAE', [run], 63.5)
    yield Cell('Audiovisual MAE', 'loss', run, LOSS)


def figure4() -> Iterator[Cell]:
    """The paper draws losses: all are alike, but for inpainting at 1e-3, which diverges."""
    for row, objective in (('joint reconstruction', 'joint'), ('inpainting', inpainting('both'))):
        for title, rate in _RATES.items():
            run = Pretraining(mae('early', objective=objective), rate=rate)
            yield Cell(row, f'rate {title}', run, LOSS)


def beyond() -> Iterator[Cell]:
    """Inpainting mixed in (Sec. 5), and a contrastive term (Sec. 2, concurrent work)."""
    chosen = {
        'joint reconstruction': 'joint',
        'mixture, half inpainting': 'mixture',
        'contrastive, weight 0.01': 'contrastive',
        'contrastive, weight 0.1': {'kind': 'contrastive', 'weight': 0.1},
    }
    for row, objective in chosen.items():
        run = Pretraining(mae(objective=objective))
        yield from all_columns(row, [run], (None, None, None))
        for title, metric in RETRIEVAL.items():
            yield Cell(row, title, run, metric)
