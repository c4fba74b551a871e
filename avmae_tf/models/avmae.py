"""The audiovisual masked autoencoder, told in the order of the paper (Sec. 3, Fig. 1).

Shapes: B clips, N tokens of one modality, V visible, P values of a patch, D encoder width,
E decoder width.
"""

import tensorflow as tf
import tf_keras as keras

from avmae_tf.config import PretrainConfig
from avmae_tf.models.blocks import fold_in
from avmae_tf.models.fusion import Tokens, build_fusion
from avmae_tf.models.masking import Mask, draw_mask, gather_tokens
from avmae_tf.models.patches import PatchEmbedding, patchify, sinusoid


class AVMAE(keras.layers.Layer):
    """Encoder and decoder of both modalities; an objective decides what the decoder is given."""

    def __init__(self, config: PretrainConfig, **kwargs):
        super().__init__(**kwargs)
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
            m: keras.layers.Dense(decoder.width, name=f'{m}_decoder_projection') for m in grids
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
            m: keras.layers.Dense(
                grids[m].patch_values, kernel_initializer='zeros', name=f'{m}_prediction'
            )
            for m in grids
        }

    def _modality_token(self, name: str, width: int) -> tf.Variable:
        normal = keras.initializers.RandomNormal(stddev=0.02)
        return self.add_weight(name=f'{name}_modality_token', shape=[width], initializer=normal)

    def add_modality(self, part: str, tokens: Tokens) -> Tokens:
        """Adds a modality's vector to its tokens in the encoder or decoder, if there are any."""
        vectors = self.modality_tokens.get(part)
        if not vectors:
            return tokens
        return {m: x + tf.cast(vectors[m], x.dtype) for m, x in tokens.items()}

    def patchify(self, inputs: dict[str, tf.Tensor]) -> Tokens:
        """Inputs to patches [B, N, P]: what is embedded and what is to be reconstructed."""
        return {m: patchify(inputs[m], self.config.inputs(m)) for m in self.config.modalities}

    def draw_masks(self, seed: tf.Tensor, batch: int) -> dict[str, Mask]:
        """u = Mask(v; alpha), by modality."""
        masks, spec = {}, self.config.masking
        for i, m in enumerate(self.config.modalities):
            grid = self.config.inputs(m)
            masks[m] = draw_mask(
                fold_in(seed, i),
                batch=batch,
                num_tokens=grid.num_tokens,
                num_masked=spec.num_masked(m, grid),
                num_steps=spec.num_steps(m, grid),
            )
        return masks

    def encode(self, patches: Tokens, masks: dict[str, Mask]) -> Tokens:
        """e = Encode(u) [B, V, D]: only visible patches are embedded and encoded."""
        tokens = {
            m: self.embeddings[m](gather_tokens(patches[m], masks[m].visible), masks[m].visible)
            for m in masks
        }
        return self.encoder(self.add_modality('encoder', tokens))

    def project(self, encoded: Tokens) -> Tokens:
        """To the width of the decoder [B, V, E]; the projection belongs to the modality."""
        return {m: self.decoder_projections[m](x) for m, x in encoded.items()}

    def decode(self, sequences: Tokens) -> Tokens:
        """Sequences of projected and mask tokens [B, N, E], positions added, decoded."""
        positioned = {
            m: x + tf.cast(self.decoder_positions[m], x.dtype) for m, x in sequences.items()
        }
        return self.decoder(self.add_modality('decoder', positioned))

    def predict_patches(self, decoded: Tokens, indices: dict[str, tf.Tensor]) -> Tokens:
        """Values of the patches at `indices` [B, M], float32 [B, M, P]; no others are computed."""
        return {
            m: tf.cast(self.predictions[m](gather_tokens(decoded[m], i)), tf.float32)
            for m, i in indices.items()
        }
