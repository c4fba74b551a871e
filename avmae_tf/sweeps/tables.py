"""Every ablation of the paper as data: rows, columns, and the paper's figures beside ours.

Table 7 compares with other systems; its own rows are those of Tables 4, 9 and 16.
"""

from avmae_tf.sweeps.cells import (
    HOURS,
    TOP1,
    Cell,
    Finetuning,
    Pretraining,
    Sweep,
    all_columns,
    alone,
    finetuned,
    inpainting,
    mae,
)
from avmae_tf.sweeps.objectives import SLOW, beyond, figure4, gain

_SINGLE = {'AudioMAE': alone('audio'), 'VideoMAE': alone('video'), 'Audiovisual MAE': mae()}
_EQUAL_STEPS = {'VGGSound': ('vggsound', 800), 'AudioSet': ('audioset', 80)}


def _pair(encoder: str, decoder: str) -> str:
    return f'{encoder} encoder, {decoder} decoder'


def _table1():
    figures = {
        ('early', 'shared'): (55.5, 46.5, 62.2),
        ('shared', 'shared'): (55.5, 44.7, 62.5),
        ('separate', 'shared'): (55.4, 48.9, 63.0),
        ('mid', 'shared'): (55.8, 48.5, 63.5),
        ('mid', 'early'): (55.5, 48.5, 63.3),
        ('mid', 'separate'): (55.5, 47.4, 63.4),
    }
    for pair, papers in figures.items():
        yield from all_columns(_pair(*pair), [Pretraining(mae(*pair))], papers)


def _table2():
    joint = Pretraining(mae('early'))
    yield from all_columns('joint reconstruction', [joint], (55.5, 46.5, 62.2))
    figures = {
        'video_from_audio': (51.5, 39.9, 58.4),
        'audio_from_video': (52.5, 38.1, 58.2),
        'both': (54.1, 38.6, 58.4),
    }
    for direction, papers in figures.items():
        start = Pretraining(mae('early', objective=inpainting(direction)), rate=SLOW)
        yield from all_columns(f'inpainting, {direction.replace("_", " ")}', [start], papers)


def _table3():
    figures = {
        'AudioMAE': (55.7, 42.1, 58.3),
        'VideoMAE': (52.8, 49.3, 62.1),
        'Audiovisual MAE': (55.8, 48.5, 63.5),
    }
    yield from all_columns('from scratch', [], (None, None, 51.0))  # the latter of Table 9
    for row, papers in figures.items():
        yield from all_columns(row, [Pretraining(_SINGLE[row])], papers)
    both = [Pretraining(alone('video')), Pretraining(alone('audio'))]
    yield finetuned('AudioMAE and VideoMAE', both)  # 63.3 after 800 epochs: Table 10


def _table4():
    figures = {'VGGSound': (65.0, 51.2, 45.5), 'AudioSet': (64.7, 51.3, 43.5)}
    for row, (data, epochs) in _EQUAL_STEPS.items():
        start = [Pretraining(data=data, size='large', epochs=epochs)]
        for target, paper in zip(
            ('vggsound', 'as500k', 'epic-kitchens'), figures[row], strict=True
        ):
            run = {'title': target, 'data': target, 'size': 'large'}
            yield finetuned(f'pretrained on {row}', start, paper, **run)


def _table5():
    figures = {
        'vggsound': {200: 63.2, 400: 63.9, 800: 65.0, 1200: 64.9},
        'epic-kitchens': {200: 41.8, 400: 42.5, 800: 45.5, 1200: 46.0},
    }
    for row, by_epochs in figures.items():
        for epochs, paper in by_epochs.items():
            start, title = [Pretraining(size='large', epochs=epochs)], f'{epochs} epochs'
            yield finetuned(row, start, paper, title=title, data=row, size='large')


def _table6():
    figures = {'base': (64.1, 64.2), 'large': (61.4, 65.0)}
    for size, (supervised, ours) in figures.items():
        yield finetuned('ImageNet-21K', [f'image-vit-{size}'], supervised, title=size, size=size)
        start = [Pretraining(size=size, epochs=800)]
        yield finetuned('Audiovisual MAE', start, ours, title=size, size=size)


def _table8():
    figures = {'AudioSet': (82.3, 77.6, 88.6), 'VGGSound': (81.3, 78.2, 90.2)}
    for row, papers in figures.items():
        data, epochs = _EQUAL_STEPS[row]
        start = [Pretraining(data=data, epochs=epochs)]
        yield from all_columns(f'pretrained on {row}', start, papers, data='ave')


def _table9():
    figures = {
        'base': {'scratch': (51.0, 39.9), 'ImageNet-21K': (64.1, 49.6), 'ours': (64.2, 50.0)},
        'large': {'scratch': (41.6, 21.5), 'ImageNet-21K': (61.4, 48.2), 'ours': (65.0, 51.8)},
    }
    for size, rows in figures.items():
        supervised = [f'image-vit-{size}']
        for target, data, epochs, i in (
            ('vggsound', 'vggsound', 800, 0),
            ('as500k', 'audioset', 120, 1),
        ):
            ours = [Pretraining(data=data, size=size, epochs=epochs)]
            starts = {'scratch': [], 'ImageNet-21K': supervised, 'ours': ours}
            for row, start in starts.items():
                run = {'title': target, 'data': target, 'size': size}
                yield finetuned(f'{size}, {row}', start, rows[row][i], **run)


def _table10():
    both = [Pretraining(alone(m), epochs=800) for m in ('video', 'audio')]
    yield finetuned('AudioMAE and VideoMAE', both, 63.3)
    yield finetuned('Audiovisual MAE', [Pretraining(epochs=800)], 64.2)


def _table11():
    figures = {
        0.7: {0.3: 62.4, 0.5: 63.4, 0.7: 62.2, 0.8: 61.6},
        0.9: {0.3: 63.3, 0.5: 63.0, 0.7: 63.5, 0.8: 62.3},
        0.95: {0.3: 63.0, 0.5: 63.0, 0.7: 63.0, 0.8: 62.8},
    }
    for video, by_audio in figures.items():
        for audio, paper in by_audio.items():
            masking = {'video_ratio': video, 'audio_ratio': audio}
            start = [Pretraining(mae('separate', masking=masking))]
            yield finetuned(f'video {video}', start, paper, title=f'audio {audio}')


def _masked(modality, column, papers):
    for ratio, paper in papers.items():
        start = [Pretraining(alone(modality, **{f'{modality}_ratio': ratio}))]
        yield finetuned(f'{modality} {ratio}', start, paper, column=column)


def _table12():
    return _masked('audio', 'A', {0.3: 55.1, 0.5: 55.7, 0.7: 55.5, 0.8: 55.3})


def _table13():
    return _masked('video', 'V', {0.7: 49.1, 0.9: 49.3, 0.95: 49.5})


def _table14():
    figures = {
        ('early', 'shared'): (59.4, 62.2),
        ('early', 'separate'): (58.1, 61.1),
        ('separate', 'shared'): (60.4, 63.0),
        ('shared', 'separate'): (58.7, 61.3),
    }
    for pair, (same, mbt) in figures.items():
        start = [Pretraining(mae(*pair))]
        fusion = {'fusion': {'kind': pair[0]}}
        yield finetuned(_pair(*pair), start, same, title='pretraining encoder', changes=fusion)
        yield finetuned(_pair(*pair), start, mbt, title='MBT')


def _table15():
    for layers, paper in {1: 63.4, 2: 63.5, 3: 63.2, 4: 63.1}.items():
        start = [Pretraining(mae({'kind': 'mid', 'fused_layers': layers}))]
        yield finetuned(f'S = {layers}', start, paper)


def _table16():
    """Of the separate encoders we know one figure of the three."""
    figures = {'separate': (None, 30.3, None), 'mid': (46.6, 31.1, 51.8)}
    for encoder, papers in figures.items():
        start = [Pretraining(mae(encoder), data='audioset', size='large', epochs=120)]
        yield from all_columns(f'{encoder} encoder', start, papers, data='as500k', size='large')


def _table17():
    figures = {
        'half, 800 epochs': ('vggsound-half', 800, (55.5, 48.5, 63.4)),
        'all, 400 epochs': ('vggsound', 400, (55.8, 48.5, 63.5)),
    }
    for row, (data, epochs, papers) in figures.items():
        yield from all_columns(row, [Pretraining(data=data, epochs=epochs)], papers)


def _table18():
    figures = {
        ('early', 'shared'): (26.2, 55.5),
        ('shared', 'shared'): (27.6, 55.5),
        ('separate', 'shared'): (27.6, 55.4),
        ('mid', 'shared'): (27.8, 55.8),
    }
    starts = {_pair(*pair): [Pretraining(mae(*pair))] for pair in figures}
    papers = {'from scratch': (None, None), **dict(zip(starts, figures.values(), strict=True))}
    for row, (probe, full) in papers.items():
        start, frozen = starts.get(row, []), {'freeze_encoder': True}
        yield finetuned(row, start, probe, title='linear probe', column='A', changes=frozen)
        yield finetuned(row, start, full, title='finetuning', column='A')


def _table19():
    starts = {row: [Pretraining(changes, epochs=800)] for row, changes in _SINGLE.items()}
    starts['AudioMAE and VideoMAE'] = starts['VideoMAE'] + starts['AudioMAE']
    figures = {
        'AudioMAE': (59.0, 58.3),
        'VideoMAE': (84.4, 62.1),
        'AudioMAE and VideoMAE': (143.4, 63.3),
        'Audiovisual MAE': (89.2, 64.2),
    }
    for row, (hours, accuracy) in figures.items():
        run = Finetuning(tuple(starts[row]))
        yield Cell(row, 'hours of pretraining', run, HOURS, hours)
        yield Cell(row, 'AV', run, TOP1, accuracy)


_TITLES = {
    'table1': ('Pretraining architectures', _table1),
    'table2': ('Pretraining objectives', _table2),
    'table3': ('One modality and both in pretraining', _table3),
    'table4': ('Transfer between data sets', _table4),
    'table5': ('Epochs of pretraining', _table5),
    'table6': ('Size of the backbone', _table6),
    'table8': ('Event localisation on AVE', _table8),
    'table9': ('Pretraining methods by size', _table9),
    'table10': ('Two MAEs apart, and one of both', _table10),
    'table11': ('Masking ratios, both modalities', _table11),
    'table12': ('Masking ratio, audio alone', _table12),
    'table13': ('Masking ratio, video alone', _table13),
    'table14': ('Architecture of finetuning', _table14),
    'table15': ('Joint layers of mid fusion', _table15),
    'table16': ('Encoders on AudioSet', _table16),
    'table17': ('Half of the data, twice the epochs', _table17),
    'table18': ('Linear probes on audio', _table18),
    'table19': ('Cost of pretraining', _table19),
    'gain': ('What pretraining gives', gain),
    'figure4': ('Learning rates of two objectives', figure4),
    'beyond': ('Objectives beyond the paper', beyond),
}
SWEEPS = {name: Sweep(title, tuple(make())) for name, (title, make) in _TITLES.items()}
