"""The audiovisual masked autoencoder, told in the order of the paper (Sec. 3, Fig. 1).

Shapes: B clips, N tokens of one modality, V visible, M reconstructed, P values of a patch,
D encoder width, E decoder width.
"""

from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras as keras

from avmae_tf.config import MODALITIES, Objective, PretrainConfig
from avmae_tf.models.dense import Dense
from avmae_tf.models.draws import fold_in
from avmae_tf.models.fusion import Tokens, build_fusion
from avmae_tf.models.masking import Mask, gather_tokens, sample_mask
from avmae_tf.models.patches import PatchEmbedding, patchify, sinusoid, standardise, to_values
from avmae_tf.models.sequences import build_sequences


class Reconstruction(NamedTuple):
    """Predicted patches beside the true ones, by modality."""

    predicted: Tokens  # float32 [B, M, P]
    target: Tokens  # [B, M, P], standardised if the settings say so
    indices: dict[str, tf.Tensor]  # which tokens these are, [B, M]
    shares: dict[str, tf.Tensor]  # of each token in the loss, [M]
    pooled: Tokens | None = None  # float32 [B, D], of an objective that contrasts them


class AVMAE(keras.layers.Layer):
    """Masked inputs of both modalities to the patches that were hidden.

    `model(inputs, masks)` is all of it; the methods are its steps, in order.
    """

    def __init__(self, config: PretrainConfig, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)  # targets stay float32
        self.config = config
        backbone, decoder = config.backbone, config.decoder
        grids = {m: config.inputs(m) for m in config.modalities}
        self.embeddings = {
            m: PatchEmbedding(
                grids[m], backbone.width, positions=config.positions, name=f'{m}_embedding'
            )
            for m in grids
        }
        self.modality_tokens = {
            part: {m: self._modality_token(f'{m}_{part}', width) for m in grids}
            for part, width in (('encoder', backbone.width), ('decoder', decoder.width))
            if config.modality_tokens
        }
        blocks = {'rematerialise': config.rematerialise}
        self.encoder = build_fusion(config.encoder, backbone, grids, name='encoder', **blocks)
        self.decoder_projections = {
            m: Dense(decoder.width, name=f'{m}_decoder_projection') for m in grids
        }
        self.mask_tokens = {
            m: self.add_weight(name=f'{m}_mask_token', shape=[decoder.width], initializer='zeros')
            for m in grids
        }
        self.decoder_positions = {m: sinusoid(grids[m].num_tokens, decoder.width) for m in grids}
        self.decoder = build_fusion(
            decoder.fusion, decoder.backbone, grids, name='decoder', **blocks
        )
        self.predictions = {
            m: Dense(grids[m].patch_values, kernel_initializer='zeros', name=f'{m}_prediction')
            for m in grids
        }

    def _modality_token(self, name: str, width: int) -> tf.Variable:
        normal = keras.initializers.RandomNormal(stddev=0.02)
        return self.add_weight(name=f'{name}_modality_token', shape=[width], initializer=normal)

    def sample_masks(self, seed: tf.Tensor, batch: int) -> dict[str, Mask]:
        """Masks of `batch` clips by modality, from `seed` [2] alone."""
        masks, spec = {}, self.config.masking
        for i, m in enumerate(self.config.modalities):
            grid = self.config.inputs(m)
            masks[m] = sample_mask(
                fold_in(seed, i),
                batch=batch,
                num_tokens=grid.num_tokens,
                num_masked=spec.num_masked(m, grid),
                num_steps=spec.num_steps(m, grid),
            )
        return masks

    def call(self, inputs: dict[str, tf.Tensor], masks: dict[str, Mask]) -> Reconstruction:
        """Inputs [B, *input_shape] by modality to what the objective reconstructs of them.

        Frames are uint8, or floats in [-1, 1].
        """
        patches = self.patchify(inputs)
        pooled = None
        if self.config.objective.contrast:
            encoded, alone = self.encoder.with_each_alone(self.visible_tokens(patches, masks))
            pooled = pool(alone)
        else:
            encoded = self.encode(patches, masks)
        outcome = joined(
            [
                self.reconstruct(part, share, patches, encoded, masks)
                for part, share in self.config.objective.parts
            ]
        )
        return outcome._replace(pooled=pooled)

    def embed(self, inputs: dict[str, tf.Tensor]) -> Tokens:
        """The mean token of each modality, float32 [B, D], encoded whole and without the other."""
        patches = self.patchify(inputs)
        tokens = self.add_modality('encoder', {m: self.embeddings[m](patches[m]) for m in patches})
        return pool({m: self.encoder({m: x})[m] for m, x in tokens.items()})

    def patchify(self, inputs: dict[str, tf.Tensor]) -> Tokens:
        """v: patches [B, N, P], embedded and, scaled, what is to be reconstructed."""
        return {m: patchify(inputs[m], self.config.inputs(m)) for m in self.config.modalities}

    def encode(self, patches: Tokens, masks: dict[str, Mask]) -> Tokens:
        """e = Encode(u) [B, V, D]: only visible patches are embedded and encoded."""
        return self.encoder(self.visible_tokens(patches, masks))

    def visible_tokens(self, patches: Tokens, masks: dict[str, Mask]) -> Tokens:
        """u = Mask(v) [B, V, D], embedded."""
        tokens = {
            m: self.embeddings[m](gather_tokens(patches[m], masks[m].visible), masks[m].visible)
            for m in masks
        }
        return self.add_modality('encoder', tokens)

    def reconstruct(
        self,
        objective: Objective,
        share: float,
        patches: Tokens,
        encoded: Tokens,
        masks: dict[str, Mask],
    ) -> Reconstruction:
        """From the encoded tokens [B, V, D] the patches that `objective` asks for.

        They have `share` of the loss, in equal parts.
        """
        sources = objective.sources(self.config.modalities, self.config.decoder.fusion)
        given = {m: self.decoder_projections[source](encoded[source])
                 for m, source in sources.items()}  # fmt: skip
        hidden = {m: tf.cast(self.mask_tokens[m], x.dtype) for m, x in given.items()}
        sequences, indices = build_sequences(objective, given, hidden, masks)
        predicted = self.predict(self.decode(sequences), indices)
        target = {m: to_values(gather_tokens(patches[m], i)) for m, i in indices.items()}
        if self.config.standardise_targets:
            target = {m: standardise(x) for m, x in target.items()}
        shares = {m: tf.fill([i.shape[1]], share / max(i.shape[1], 1)) for m, i in indices.items()}
        return Reconstruction(predicted, target, indices, shares)

    def decode(self, sequences: Tokens) -> Tokens:
        """Sequences of projected and mask tokens [B, N, E], positions added, decoded."""
        positioned = {
            m: x + tf.cast(self.decoder_positions[m], x.dtype) for m, x in sequences.items()
        }
        return self.decoder(self.add_modality('decoder', positioned))

    def predict(self, decoded: Tokens, indices: dict[str, tf.Tensor]) -> Tokens:
        """Values of the patches at `indices` [B, M], float32 [B, M, P]; no others are computed."""
        return {
            m: tf.cast(self.predictions[m](gather_tokens(decoded[m], i)), tf.float32)
            for m, i in indices.items()
        }

    def add_modality(self, part: str, tokens: Tokens) -> Tokens:
        """Adds a modality's vector to its tokens in the encoder or decoder, if there are any."""
        vectors = self.modality_tokens.get(part)
        if not vectors:
            return tokens
        return {m: x + tf.cast(vectors[m], x.dtype) for m, x in tokens.items()}


def pool(tokens: Tokens) -> Tokens:
    """Tokens [B, N, D] to their mean, float32 [B, D]."""
    return {m: tf.reduce_mean(tf.cast(x, tf.float32), axis=1) for m, x in tokens.items()}


def joined(parts: list[Reconstruction]) -> Reconstruction:
    """Reconstructions of the same clips as one, those of a modality side by side."""
    if len(parts) == 1:
        return parts[0]

    def side_by_side(field: str, axis: int):
        found = {
            m: [x[m] for x in (getattr(p, field) for p in parts) if m in x] for m in MODALITIES
        }
        return {m: tf.concat(xs, axis) for m, xs in found.items() if xs}

    axes = {'predicted': 1, 'target': 1, 'indices': 1, 'shares': 0}
    return Reconstruction(**{field: side_by_side(field, axis) for field, axis in axes.items()})
