"""Golden fixtures: the authors' model in numbers, and the configuration of ours that equals it.

Their inputs need be neither square nor of 128 mel bins, so the grids of these configurations are
free, and so are the pairs of encoder and decoder.
"""

import json
import os
import zipfile
from typing import Any, NamedTuple

import numpy as np
import pydantic
import tensorflow as tf

from avmae_tf.config import (
    AUDIO,
    VIDEO,
    BackboneSpec,
    Bottleneck,
    DecoderSpec,
    FinetuneConfig,
    Inpainting,
    JointReconstruction,
    Mid,
    Modality,
    PatchGrid,
    PretrainConfig,
    ScheduleSpec,
    Separate,
)
from avmae_tf.models.masking import Mask
from avmae_tf.storage import open_binary

NAMES = {VIDEO: 'rgb', AUDIO: 'spectrogram'}  # theirs
MODALITY_OF = {name: modality for modality, name in NAMES.items()}
ENCODERS = {
    'concat_and_encode': 'early',
    'separate_encoders': 'separate',
    'same_encoder': 'shared',
    'separate_encoders_and_concat': 'mid',
}
DECODERS = {
    'same_decoder': 'shared',
    'separate_decoders': 'separate',
    'concat_and_decode': 'early',
}
POSITIONS = {'sinusoidal_1d': 'sinusoid', 'learned_1d': 'learned'}
NO_TRAINING = ScheduleSpec(learning_rate=1, reference_batch_size=1, batch_size=1, epochs=1)


class Fixture(NamedTuple):
    """One file: its configuration and its arrays by name."""

    path: str
    config: dict
    arrays: dict[str, np.ndarray]

    def group(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays below `prefix`, which ends in a slash, by the rest of their names."""
        return {
            name.removeprefix(prefix): value
            for name, value in self.arrays.items()
            if name.startswith(prefix)
        }

    def by_modality(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays below `prefix`, by our name of their modality."""
        found = self.group(prefix)
        return {m: found[name] for m, name in NAMES.items() if name in found}

    def setting(self, name: str, choices: dict) -> Any:
        """A setting of theirs as ours; raises ValueError that names the file."""
        value = self.config.get(name)
        if value not in choices:
            raise ValueError(f'{self.path}: {name} must be one of {list(choices)}, got {value!r}')
        return choices[value]


def read_fixture(path: str) -> Fixture:
    """Reads a file; raises ValueError if it is not a fixture."""
    try:
        with open_binary(path) as f, np.load(f) as archive:
            arrays = {name: archive[name] for name in archive.files}
        settings = json.loads(str(arrays.pop('config_json')))
    except (OSError, EOFError, zipfile.BadZipFile, ValueError, KeyError, AttributeError) as error:
        raise ValueError(
            f'{path}: cannot be read as a fixture, an .npz file with config_json: {error}'
        ) from error
    return Fixture(path, settings, arrays)


def read_base(fixture: Fixture) -> Fixture:
    """The file beside this one whose parameters and inputs it is about."""
    folder = os.path.dirname(fixture.path)
    return read_fixture(os.path.join(folder, f'{fixture.config["base"]}.npz'))


def masks_of(fixture: Fixture) -> dict[str, Mask]:
    """The masks of a fixture, visible tokens in the order of the encoder."""
    return {
        m: Mask(
            visible=tf.constant(fixture.arrays[f'mask/{name}/kept_indices'], tf.int32),
            masked=tf.constant(fixture.arrays[f'mask/{name}/masked_indices'], tf.int32),
        )
        for m, name in NAMES.items()
        if f'mask/{name}/kept_indices' in fixture.arrays
    }


def inputs_of(fixture: Fixture) -> dict[str, tf.Tensor]:
    """The inputs of a fixture by modality."""
    return {m: tf.constant(x) for m, x in fixture.by_modality('inputs/').items()}


class FreeGrid(PatchGrid):
    """Any extent and any patch; channels are the last axis of both."""

    extent: tuple[int, ...]
    patch: tuple[int, ...]

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.extent

    @property
    def patch_shape(self) -> tuple[int, ...]:
        return self.patch


class FixturePretrainConfig(PretrainConfig):
    """On free grids, any pair of encoder and decoder."""

    grids: dict[Modality, FreeGrid]

    def inputs(self, modality: str) -> PatchGrid:
        return self.grids[modality]

    @pydantic.model_validator(mode='after')
    def _legal(self):
        return self


class FixtureFinetuneConfig(FinetuneConfig):
    """On free grids."""

    grids: dict[Modality, FreeGrid]

    def inputs(self, modality: str) -> PatchGrid:
        return self.grids[modality]


def _grid(modality: str, shape, patch_hwt) -> FreeGrid:
    height, width, frames = patch_hwt
    patch = (frames, height, width, 3) if modality == VIDEO else (height, width, 1)
    return FreeGrid(extent=shape[1:], patch=patch)


def _common(fixture: Fixture) -> dict:
    settings, inputs = fixture.config, fixture.by_modality('inputs/')
    return {
        'modalities': tuple(inputs),
        'grids': {m: _grid(m, x.shape, settings['patch_hwt']) for m, x in inputs.items()},
        'backbone': BackboneSpec(
            width=settings['hidden'],
            num_layers=settings['layers'],
            num_heads=settings['heads'],
            mlp_width=settings['mlp'],
        ),
        'schedule': NO_TRAINING,
    }


def _masking(fixture: Fixture) -> dict:
    ratios = fixture.config['mask_ratio']
    if not isinstance(ratios, dict):
        ratios = {name: ratios for name in MODALITY_OF}
    named = {f'{m}_ratio': ratios[name] for m, name in NAMES.items() if name in ratios}
    return {**named, 'video_kind': fixture.config.get('masking', 'random')}


def _encoder(fixture: Fixture):
    if fixture.config['kind'] == 'mae_vivit':
        return Separate()
    encoder = fixture.setting('encoder', ENCODERS)
    return Mid(fused_layers=fixture.config['fusion_layers']) if encoder == 'mid' else encoder


def pretrain_config(fixture: Fixture) -> FixturePretrainConfig:
    """Of the kinds 'mae' and 'mae_vivit', their unimodal class."""
    settings = fixture.config
    unimodal = settings['kind'] == 'mae_vivit'
    if not unimodal:
        fixture.setting('decoder_posemb', {'sinusoidal_1d': None})
    weights = settings.get('weights', dict.fromkeys(MODALITY_OF, 1.0))
    return FixturePretrainConfig(
        **_common(fixture),
        encoder=_encoder(fixture),
        decoder=DecoderSpec(
            width=settings['decoder_hidden'],
            num_layers=settings['decoder_layers'],
            num_heads=settings['decoder_heads'],
            mlp_width=settings['decoder_mlp'],
            fusion='shared' if unimodal else fixture.setting('decoder', DECODERS),
        ),
        masking=_masking(fixture),
        positions='sinusoid' if unimodal else fixture.setting('encoder_posemb', POSITIONS),
        modality_tokens=settings.get('modality_tokens', False),
        objective=Inpainting() if settings.get('inpainting') else JointReconstruction(),
        standardise_targets=settings.get('standardise_per_patch', False),
        **{f'{m}_weight': weights.get(name, 0.0) for m, name in NAMES.items()},
    )


def finetune_config(fixture: Fixture) -> FixtureFinetuneConfig:
    """Of the kinds 'mbt' and 'vivit_cls', their unimodal class."""
    settings = fixture.config
    if settings['kind'] == 'mbt':
        fixture.setting('use_bottleneck', {True: None})
        own = {
            'fusion': Bottleneck(
                fusion_layer=settings['fusion_layer'], num_bottlenecks=settings['n_bottlenecks']
            ),
            'label_smoothing': settings['label_smoothing'],
        }
    else:
        own = {'fusion': Separate(), 'norm_after_pooling': True}
    return FixtureFinetuneConfig(**_common(fixture), **own, stochastic_depth=0.0)
