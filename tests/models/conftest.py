"""A small configuration to change."""

import pytest

from avmae_tf.config import DecoderSpec, MaskingSpec, Mid, PretrainConfig


@pytest.fixture(scope='session')
def settings(pretrain_config):
    """Changes of a small configuration whose visible tokens fit the other sequence."""

    def change(**changes) -> PretrainConfig:
        decoder = changes.pop('decoder', 'shared')
        encoder = changes.pop('encoder', 'early')
        return pretrain_config.replace(
            **{
                'masking': MaskingSpec(audio_ratio=0.8),
                'encoder': Mid(fused_layers=1) if encoder == 'mid' else encoder,
                'decoder': DecoderSpec(
                    width=16,
                    num_layers=2,
                    num_heads=2,
                    mlp_width=32,
                    fusion=Mid(fused_layers=1) if decoder == 'mid' else decoder,
                ),
                **changes,
            }
        )

    return change
