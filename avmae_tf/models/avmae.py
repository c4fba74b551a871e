"""The audiovisual masked autoencoder, told in the order of the paper (Sec. 3, Fig. 1).

Shapes: B clips, N tokens of one modality, V visible, P values of a patch, D encoder width,
E decoder width.
"""

import tensorflow as tf
import tf_keras as keras

from avmae_tf.config import PretrainConfig
from avmae_tf.models.blocks import fold_in
from avmae_tf.models.fusion import Tokens, build_fusion
from avmae_tf.models.masking import Mask, gather_tokens, random_mask
from avmae_tf.models.patches import PatchEmbedding, patchify, sinusoid


class AVMAE(keras.layers.Layer):
    """Encoder and decoder of both modalities; an objective decides what the decoder is given."""

    def __init__(self, config: PretrainConfig, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        backbone, decoder = config.backbone, config.decoder
        grids = {m: config.inputs(m) for m in config.modalities}
        self.embeddings = {
            m: PatchEmbedding(grids[m], backbone.width, name=f'{m}_embedding') for m in grids
        }
        self.encoder = build_fusion(config.encoder, backbone, grids, name='encoder')
        self.decoder_projections = {
            m: keras.layers.Dense(decoder.width, name=f'{m}_decoder_projection') for m in grids
        }
        self.mask_tokens = {
            m: self.add_weight(name=f'{m}_mask_token', shape=[decoder.width], initializer='zeros')
            for m in grids
        }
        self.decoder_positions = {m: sinusoid(grids[m].num_tokens, decoder.width) for m in grids}
        self.decoder = build_fusion(decoder.fusion, decoder.backbone, grids, name='decoder')
        self.predictions = {
            m: keras.layers.Dense(
                grids[m].patch_values, kernel_initializer='zeros', name=f'{m}_prediction'
            )
            for m in grids
        }

    def patchify(self, inputs: dict[str, tf.Tensor]) -> Tokens:
        """Inputs to patches [B, N, P]: what is embedded and what is to be reconstructed."""
        return {m: patchify(inputs[m], self.config.inputs(m)) for m in self.config.modalities}

    def draw_masks(self, seed: tf.Tensor, batch: int) -> dict[str, Mask]:
        """u = Mask(v; alpha), by modality."""
        masks = {}
        for i, m in enumerate(self.config.modalities):
            num_tokens = self.config.inputs(m).num_tokens
            masks[m] = random_mask(
                fold_in(seed, i),
                batch=batch,
                num_tokens=num_tokens,
                num_masked=self.config.masking.num_masked(m, num_tokens),
            )
        return masks

    def encode(self, patches: Tokens, masks: dict[str, Mask]) -> Tokens:
        """e = Encode(u) [B, V, D]: only visible patches are embedded and encoded."""
        tokens = {
            m: self.embeddings[m](gather_tokens(patches[m], masks[m].visible), masks[m].visible)
            for m in masks
        }
        return self.encoder(tokens)

    def project(self, encoded: Tokens) -> Tokens:
        """To the width of the decoder [B, V, E]; the projection belongs to the modality."""
        return {m: self.decoder_projections[m](x) for m, x in encoded.items()}

    def decode(self, sequences: Tokens) -> Tokens:
        """Sequences of projected and mask tokens [B, N, E], positions added, decoded."""
        positioned = {
            m: x + tf.cast(self.decoder_positions[m], x.dtype) for m, x in sequences.items()
        }
        return self.decoder(positioned)

    def predict_patches(self, decoded: Tokens, indices: dict[str, tf.Tensor]) -> Tokens:
        """Values of the patches at `indices` [B, M], float32 [B, M, P]; no others are computed."""
        return {
            m: tf.cast(self.predictions[m](gather_tokens(decoded[m], i)), tf.float32)
            for m, i in indices.items()
        }
