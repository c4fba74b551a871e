"""Encoders, decoders and objectives that are tried with each other."""

import tensorflow as tf

from avmae_tf.config import Contrastive, Inpainting, JointReconstruction, Mixture
from avmae_tf.losses.reconstruction import ReconstructionLoss
from avmae_tf.models.builders import blank_inputs, build_avmae

FUSIONS = ('early', 'separate', 'shared', 'mid')
OBJECTIVES = {
    'joint': JointReconstruction(),
    **{d: Inpainting(direction=d) for d in ('video_from_audio', 'audio_from_video', 'both')},
    'mixture': Mixture(weight=0.25),
    'mixture of one': Mixture(inpainting=Inpainting(direction='audio_from_video')),
    'contrastive': Contrastive(),
}
RECONSTRUCTED = {'video_from_audio': ('video',), 'audio_from_video': ('audio',)}


def drawn(model, stddev=0.1):
    """The model with what starts at zero drawn, so that information can flow."""
    for i, variable in enumerate(model.trainable_variables):
        variable.assign_add(tf.random.stateless_normal(variable.shape, [i, 0], stddev=stddev))
    return model


def clips(config, batch=2):
    return {
        m: tf.random.stateless_normal(x.shape, [i, 1])
        for i, (m, x) in enumerate(blank_inputs(config, batch).items())
    }


def run(config, seed=0):
    """(loss, model, inputs, masks, outcome)."""
    model, inputs = drawn(build_avmae(config)), clips(config)
    masks = model.sample_masks(tf.constant([seed, 0]), 2)
    return ReconstructionLoss(config), model, inputs, masks, model(inputs, masks)


def under(model, config):
    """The same model under other settings that need no other variables."""
    model.config = config
    return model


def refusal(encoder, decoder, objective) -> str:
    """What the error must say, '' for a legal combination."""
    if encoder == 'separate' == decoder:
        return r'a separate encoder needs a decoder that couples.*paper, Sec. 3.3'
    if objective not in ('joint', 'contrastive') and encoder in ('separate', 'shared'):
        return rf"encoder that mixes the modalities.*encoder='{encoder}'.*paper, Sec. 3.4"
    return ''
