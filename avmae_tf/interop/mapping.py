"""Which pretraining parameter initialises which finetuning parameter: ours against theirs."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from avmae_tf.config import AUDIO, MODALITIES, VIDEO, BackboneSpec, Bottleneck, DecoderSpec, Mid
from avmae_tf.interop.comparison import Comparison, exact
from avmae_tf.interop.fixtures import (
    NO_TRAINING,
    Fixture,
    FixtureFinetuneConfig,
    FixturePretrainConfig,
    FreeGrid,
)
from avmae_tf.interop.scenic import SUFFIXES, Table, table_of
from avmae_tf.models.builders import build_avmae, build_classifier
from avmae_tf.models.classifier import Classifier
from avmae_tf.training.warm_start import warm_start

ENCODERS = ('separate', 'midfusion', 'early', 'shared')
STREAMS = {'av': MODALITIES, 'video': (VIDEO,), 'audio': (AUDIO,)}
AS_DRAWN = 'RANDOM_INIT'
GRIDS = {
    VIDEO: FreeGrid(extent=(2, 4, 4, 3), patch=(2, 2, 2, 3)),
    AUDIO: FreeGrid(extent=(4, 4, 1), patch=(2, 2, 1)),
}


def small_settings(num_layers: int, modalities: Sequence[str] = MODALITIES) -> dict:
    """Settings of a model of which only the names matter."""
    return {
        'modalities': modalities,
        'grids': {m: GRIDS[m] for m in modalities},
        'backbone': BackboneSpec(width=4, num_layers=num_layers, num_heads=2, mlp_width=4),
        'schedule': NO_TRAINING,
    }


def small_classifier(num_layers: int, modalities: Sequence[str]) -> Classifier:
    """An MBT classifier of which only the names matter."""
    fusion = Bottleneck(fusion_layer=num_layers - 1, num_bottlenecks=2)
    settings = FixtureFinetuneConfig(**small_settings(num_layers, modalities), fusion=fusion)
    return build_classifier(settings, {'label': 3})


def number_of_blocks(names: Iterable[str]) -> int:
    """How many `encoderblock_<i>` the names have."""
    return 1 + max(int(i) for i in re.findall(r'encoderblock_(\d+)', ' '.join(names)))


def _mark(table: Table, first: int) -> dict[str, int]:
    """Fills each parameter with a number of its own."""
    marks = {name: first + i for i, name in enumerate(table)}
    values = {id(leaf.variable): leaf.variable.numpy().copy() for leaf in table.values()}
    for name, leaf in table.items():
        values[id(leaf.variable)][..., leaf.columns] = marks[name]
    for leaf in table.values():
        leaf.variable.assign(values[id(leaf.variable)])
    return marks


def _sources(encoder: str, streams: str, targets, sources) -> dict[str, str]:
    """Target to source of our own warm start."""
    joint = [n for n in sources if n.startswith('Transformer_concat/encoderblock')]
    kind = Mid(fused_layers=number_of_blocks(joint)) if encoder == 'midfusion' else encoder
    num_layers = number_of_blocks(targets)
    pretrained = build_avmae(
        FixturePretrainConfig(
            **small_settings(num_layers),
            encoder=kind,
            decoder=DecoderSpec(width=4, num_layers=1, num_heads=1, mlp_width=4),
        )
    )
    model = small_classifier(num_layers, STREAMS[streams])
    given, table = table_of(pretrained, SUFFIXES), table_of(model, SUFFIXES)
    names = {mark: name for name, mark in _mark(given, 1).items()}
    _mark(table, -len(table))
    warm_start(model, pretrained)
    found = {}
    for name, leaf in table.items():
        (mark,) = np.unique(leaf.of(leaf.variable.numpy()))
        found[name] = names.get(int(mark), AS_DRAWN)
    return found


def check_mapping(fixture: Fixture) -> list[Comparison]:
    """Every `mapping/<encoder>-><streams>/inflate<channels>/<literal|intended>`."""
    report = []
    groups = sorted({name.rpartition('/')[0] for name in fixture.group('mapping/')})
    for group in groups:
        pair, channels, reading = group.split('/')
        encoder, streams = pair.split('->')
        if reading != 'intended' or channels != 'inflate1':
            why = (
                'as published, with its name mismatch'
                if channels == 'inflate1'
                else ('a spectrogram of three channels, which ours never has')
            )
            report.append(Comparison(f'mapping/{group}', None, note=why))
            continue
        if encoder not in ENCODERS or streams not in STREAMS:
            raise ValueError(f'{fixture.path}: mapping/{group} is of an unknown encoder or stream')
        targets, sources = (
            [str(x) for x in fixture.arrays[f'mapping/{group}/{side}']]
            for side in ('target', 'source')
        )
        ours = _sources(encoder, streams, targets, sources)
        theirs = dict(zip(targets, sources, strict=True))
        if 'bottleneck' not in ours:  # nothing reads it in a single stream
            theirs.pop('bottleneck', None)
        wrong = sorted(n for n in ours.keys() | theirs.keys() if ours.get(n) != theirs.get(n))
        note = f'differs for {", ".join(wrong)}' if wrong else f'{len(theirs)} parameters'
        report.append(exact(f'mapping/{group}', not wrong, note))
    return report
