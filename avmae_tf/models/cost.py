"""What a clip costs: floating-point operations of one forward pass, counted analytically.

A multiplication and an addition count as two; a training step costs three forward passes. Matrix
products alone are counted: all else is below a hundredth of them. N tokens, D width, H MLP width.
"""

from collections import Counter

from avmae_tf.config import BackboneSpec, FinetuneConfig, Fusion, Objective, PretrainConfig

STEP_IN_PASSES = 3  # FLOPs of a training step, in forward passes


def block_flops(backbone: BackboneSpec, num_tokens: int) -> int:
    """4 projections of D x D, scores and values of N x N, two products of the MLP."""
    n, d = num_tokens, backbone.width
    return 8 * n * d * d + 4 * n * n * d + 4 * n * d * backbone.mlp_width


def fusion_flops(spec: Fusion, backbone: BackboneSpec, tokens: dict[str, int]) -> int:
    """All blocks of a fusion on `tokens` tokens of each modality."""
    passes = spec.passes(backbone.num_layers, tokens)
    return sum(num_blocks * block_flops(backbone, n) for num_blocks, n in passes)


def pretraining_flops(settings: PretrainConfig) -> dict[str, int]:
    """FLOPs of a clip by part, for any objective; a mixture decodes twice."""
    visible, width = settings.num_visible_tokens, settings.backbone.width
    values = {m: settings.inputs(m).patch_values for m in visible}
    decoding = Counter()
    for part, _ in settings.objective.parts:
        decoding.update(_decoding(settings, part))
    return {
        'embedding': sum(2 * n * values[m] * width for m, n in visible.items()),
        'encoder': fusion_flops(settings.encoder, settings.backbone, visible),
        **_contrast(settings),
        **decoding,
    }


def _contrast(settings: PretrainConfig) -> dict[str, int]:
    """Of the blocks that run once more, on each modality by itself.

    The products between clips are left out: they depend on the batch, and are few.
    """
    if not settings.objective.contrast:
        return {}
    backbone, visible = settings.backbone, settings.num_visible_tokens
    passes = settings.encoder.passes
    together = Counter(passes(backbone.num_layers, visible))
    apart = Counter(p for m, n in visible.items() for p in passes(backbone.num_layers, {m: n}))
    return {
        'each modality alone': sum(
            times * num_blocks * block_flops(backbone, n)
            for (num_blocks, n), times in (apart - together).items()
        )
    }


def _decoding(settings: PretrainConfig, objective: Objective) -> dict[str, int]:
    """Of the projections, the decoder and the patches that one objective asks for."""
    width, decoder = settings.backbone.width, settings.decoder
    sources = objective.sources(settings.modalities, decoder.fusion)
    given = {m: settings.num_visible_tokens[source] for m, source in sources.items()}
    decoded = {m: settings.num_tokens[m] for m in sources}
    values = {
        m: (decoded[m] - given[m]) * settings.inputs(m).patch_values
        for m in objective.reconstructed(settings.modalities)
    }
    return {
        'decoder projection': sum(2 * n * width * decoder.width for n in given.values()),
        'decoder': fusion_flops(decoder.fusion, decoder.backbone, decoded),
        'prediction': sum(2 * n * decoder.width for n in values.values()),
    }


def finetuning_flops(settings: FinetuneConfig, num_classes: int) -> dict[str, int]:
    """FLOPs of one view of a clip by part; `num_classes` of all heads."""
    grids = {m: settings.inputs(m) for m in settings.modalities}
    width, segments, tokens = settings.backbone.width, settings.segments, settings.num_tokens
    return {
        'embedding': sum(2 * tokens[m] * grids[m].patch_values * width for m in grids),
        'encoder': fusion_flops(settings.fusion, settings.backbone, tokens),
        'pooling': sum(2 * segments * n * width for n in tokens.values()),
        'head': 2 * len(grids) * segments * width * num_classes,
    }
