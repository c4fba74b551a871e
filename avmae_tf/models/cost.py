"""What a clip costs: floating-point operations of one forward pass, counted analytically.

A multiplication and an addition count as two; a training step costs three forward passes. Matrix
products alone are counted: all else is below a hundredth of them. N tokens, D width, H MLP width.
"""

from collections import Counter

from avmae_tf import config
from avmae_tf.config import (
    COUPLING,
    BackboneSpec,
    FinetuneConfig,
    PretrainConfig,
    TrainingConfig,
    other_modality,
)


def block_flops(backbone: BackboneSpec, num_tokens: int) -> int:
    """4 projections of D x D, scores and values of N x N, two products of the MLP."""
    n, d = num_tokens, backbone.width
    return 8 * n * d * d + 4 * n * n * d + 4 * n * d * backbone.mlp_width


def fusion_flops(spec, backbone: BackboneSpec, tokens: dict[str, int]) -> int:
    """All blocks of a fusion on `tokens` tokens of each modality."""
    depth, joint = backbone.num_layers, sum(tokens.values())
    apart = sum(block_flops(backbone, n) for n in tokens.values())
    match spec:
        case config.Early():
            return depth * block_flops(backbone, joint)
        case config.Separate() | config.Shared():
            return depth * apart
        case config.Mid(fused_layers=fused):
            return (depth - fused) * apart + fused * block_flops(backbone, joint)
        case config.Bottleneck(fusion_layer=start, num_bottlenecks=extra):
            fused = depth - start if len(tokens) > 1 else 0
            with_extra = sum(block_flops(backbone, n + extra) for n in tokens.values())
            return (depth - fused) * apart + fused * with_extra
    raise TypeError(f'not a fusion: {spec!r}')


def all_tokens(settings: TrainingConfig) -> dict[str, int]:
    """Tokens of a clip by modality."""
    return {m: settings.inputs(m).num_tokens for m in settings.modalities}


def visible_tokens(settings: PretrainConfig) -> dict[str, int]:
    """Tokens that the encoder of an autoencoder sees, by modality."""
    return {
        m: n - settings.masking.num_masked(m, settings.inputs(m))
        for m, n in all_tokens(settings).items()
    }


def pretraining_flops(settings: PretrainConfig) -> dict[str, int]:
    """FLOPs of a clip by part, for any objective; a mixture decodes twice."""
    visible, width = visible_tokens(settings), settings.backbone.width
    values = {m: settings.inputs(m).patch_values for m in visible}
    match settings.objective:
        case config.Inpainting(reconstructed=reconstructed):
            decoding = _inpainting(settings, visible, reconstructed)
        case config.Mixture(inpainting=inpainting):
            decoding = Counter(_joint_reconstruction(settings, visible))
            decoding.update(_inpainting(settings, visible, inpainting.reconstructed))
        case config.JointReconstruction():
            decoding = _joint_reconstruction(settings, visible)
    return {
        'embedding': sum(2 * n * values[m] * width for m, n in visible.items()),
        'encoder': fusion_flops(settings.encoder, settings.backbone, visible),
        **decoding,
    }


def _joint_reconstruction(settings: PretrainConfig, visible: dict[str, int]) -> dict[str, int]:
    tokens = all_tokens(settings)
    hidden = {m: n - visible[m] for m, n in tokens.items()}
    return _decoding(settings, given=visible, decoded=tokens, predicted=hidden)


def _inpainting(settings: PretrainConfig, visible: dict[str, int], reconstructed) -> dict[str, int]:
    coupled = isinstance(settings.decoder.fusion, COUPLING)
    tokens = all_tokens(settings)
    decoded = {m: tokens[m] for m in (settings.modalities if coupled else reconstructed)}
    given = {m: visible[other_modality(m)] for m in decoded}
    predicted = {m: decoded[m] - given[m] for m in reconstructed}
    return _decoding(settings, given=given, decoded=decoded, predicted=predicted)


def _decoding(settings: PretrainConfig, *, given, decoded, predicted) -> dict[str, int]:
    """Of encoded tokens that are `given`, sequences that are `decoded`, patches `predicted`."""
    width, decoder = settings.backbone.width, settings.decoder
    values = {m: settings.inputs(m).patch_values for m in predicted}
    return {
        'decoder projection': sum(2 * n * width * decoder.width for n in given.values()),
        'decoder': fusion_flops(decoder.fusion, decoder.backbone, decoded),
        'prediction': sum(2 * n * decoder.width * values[m] for m, n in predicted.items()),
    }


def finetuning_flops(settings: FinetuneConfig, num_classes: int) -> dict[str, int]:
    """FLOPs of one view of a clip by part; `num_classes` of all heads."""
    grids = {m: settings.inputs(m) for m in settings.modalities}
    width, segments, tokens = settings.backbone.width, settings.segments, all_tokens(settings)
    return {
        'embedding': sum(2 * tokens[m] * grids[m].patch_values * width for m in grids),
        'encoder': fusion_flops(settings.fusion, settings.backbone, tokens),
        'pooling': sum(2 * segments * n * width for n in tokens.values()),
        'head': 2 * len(grids) * segments * width * num_classes,
    }
