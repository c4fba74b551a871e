"""A supervised image ViT as a start: the baseline of Tables 6 and 9 (ImageNet-21K, augreg).

The file is the public `.npz`: 'embedding/kernel' [rows, columns, 3, D], 'Transformer/...' and a
learned table of positions for a square of patches behind a class token.
"""

import zipfile
import zlib

import numpy as np

from avmae_tf.config import AUDIO, VIDEO, BackboneSpec, FinetuneConfig, Shared, check_start
from avmae_tf.models.builders import build_classifier
from avmae_tf.models.classifier import Classifier
from avmae_tf.storage import open_binary
from avmae_tf.training.warm_start import resize_positions

_UNREADABLE = (*(ValueError, TypeError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error),)
ATTENTION, MLP = 'MultiHeadDotProductAttention_1', 'MlpBlock_3'


def is_image_vit(path: str) -> bool:
    """Whether `path` is taken for the file of an image ViT, by its name."""
    return path.endswith('.npz')


class _Weights:
    """The arrays of the file; one that is missing is an error that names it."""

    def __init__(self, path: str):
        self.path = path
        try:
            with open_binary(path) as f:
                self.arrays = dict(np.load(f))
        except FileNotFoundError:
            raise ValueError(f'{path}: no such file; give an augreg ViT as .npz') from None
        except _UNREADABLE as error:
            raise ValueError(f'{path}: {error}; give an augreg ViT as .npz') from None
        for name, array in self.arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f'{path}: {name} is not finite; give another file')

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            raise ValueError(f'{self.path}: no array {name!r}; give an augreg ViT as .npz')
        return self.arrays[name]

    def dense(self, name: str, rows: int) -> list[np.ndarray]:
        """Kernel and bias, heads merged into one axis."""
        kernel, bias = self[f'{name}/kernel'], self[f'{name}/bias']
        return [kernel.reshape(rows, -1), bias.reshape(-1)]

    def norm(self, name: str) -> list[np.ndarray]:
        return [self[f'{name}/scale'], self[f'{name}/bias']]


def _backbone_of(weights: _Weights) -> BackboneSpec:
    return BackboneSpec(
        width=weights['embedding/kernel'].shape[-1],
        num_layers=sum(name.endswith('/LayerNorm_0/scale') for name in weights.arrays),
        num_heads=weights[f'Transformer/encoderblock_0/{ATTENTION}/query/kernel'].shape[1],
        mlp_width=weights[f'Transformer/encoderblock_0/{MLP}/Dense_0/bias'].shape[0],
    )


def _settings_of(weights: _Weights, config: FinetuneConfig) -> FinetuneConfig:
    """Those of a classifier that has the file's blocks for both modalities."""
    settings = config.replace(
        backbone=_backbone_of(weights), fusion=Shared(), segments=1, positions='learned'
    )
    check_start(config, [settings], [weights.path])
    patch = weights['embedding/kernel'].shape[:2]
    for modality in config.modalities:
        if (ours := config.inputs(modality).patch)[-2:] != patch:
            raise ValueError(
                f'{weights.path}: the {modality} patch must be that of the image ViT, '
                f'{patch[0]} x {patch[1]}, got {ours}'
            )
    return settings


def image_vit_settings(path: str, config: FinetuneConfig) -> FinetuneConfig:
    """The settings of the encoder that `load_image_vit` makes.

    Raises:
        ValueError: the file is no such ViT, or another one than `config` wants.
    """
    return _settings_of(_Weights(path), config)


def _patch_kernel(kernel: np.ndarray, patch: tuple[int, ...], modality: str) -> np.ndarray:
    """[rows, columns, 3, D] to [values of a patch, D].

    Video: the image lies in the middle frame of a tubelet, the others count nothing (ViViT [6]).
    Audio: as if the spectrogram were repeated over the three colours (MBT [56]).
    """
    width = kernel.shape[-1]
    if modality == AUDIO:
        return kernel.sum(axis=2).reshape(-1, width)
    tubelet = np.zeros([patch[0], *kernel.shape], kernel.dtype)
    tubelet[patch[0] // 2] = kernel
    return tubelet.reshape(-1, width)


def load_image_vit(path: str, config: FinetuneConfig) -> Classifier:
    """An encoder with the weights of the file in both modalities, for `warm_start`.

    Raises:
        ValueError: the file is no such ViT, or another one than `config` wants.
    """
    weights = _Weights(path)
    model = build_classifier(_settings_of(weights, config), {'none': 1})
    positions = weights['Transformer/posembed_input/pos_embedding'][0, 1:]
    side = round(len(positions) ** 0.5)
    for modality, embedding in model.embeddings.items():
        patch = getattr(config, modality).patch
        kernel = _patch_kernel(weights['embedding/kernel'], patch, modality)
        embedding.projection.set_weights([kernel, weights['embedding/bias']])
        square = (1, side, side) if modality == VIDEO else (side, side)
        embedding.positions.assign(resize_positions(positions, square, embedding.grid.grid))
    width = config.backbone.width
    for i, block in enumerate(model.encoder.path(config.modalities[0])):
        name = f'Transformer/encoderblock_{i}'
        maps = [weights.dense(f'{name}/{ATTENTION}/{x}', width) for x in ('query', 'key', 'value')]
        fused = [np.concatenate(parts, axis=-1) for parts in zip(*maps, strict=True)]
        block.attention.query_key_value.set_weights(fused)
        block.attention.out.set_weights(weights.dense(f'{name}/{ATTENTION}/out', width))
        block.attention_norm.set_weights(weights.norm(f'{name}/LayerNorm_0'))
        block.mlp_norm.set_weights(weights.norm(f'{name}/LayerNorm_2'))
        block.mlp.hidden.set_weights(weights.dense(f'{name}/{MLP}/Dense_0', width))
        block.mlp.out.set_weights(weights.dense(f'{name}/{MLP}/Dense_1', config.backbone.mlp_width))
    norm = model.encoder.last_norm(config.modalities[0])
    norm.set_weights(weights.norm('Transformer/encoder_norm'))
    return model
