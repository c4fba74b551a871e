"""Named settings: the demo, and the tables of the paper."""

from avmae_tf.config.data import AudioSpec, VideoSpec
from avmae_tf.config.model import BackboneSpec, Bottleneck, DecoderSpec, MaskingSpec, Mid
from avmae_tf.config.training import Adam, FinetuneConfig, PretrainConfig, ScheduleSpec

_DEMO_INPUTS = {  # two seconds of small pictures: minutes on two CPU cores
    'video': VideoSpec(num_frames=16, frames_per_second=8.0, size_px=64),
    'audio': AudioSpec(seconds=2.0),
    'backbone': BackboneSpec(width=96, num_layers=4, num_heads=3, mlp_width=384),
}
PRETRAIN_RECIPES = {
    'demo': PretrainConfig(
        **_DEMO_INPUTS,
        decoder=DecoderSpec(width=64, num_layers=2, num_heads=2, mlp_width=256),
        encoder=Mid(fused_layers=1),
        masking=MaskingSpec(video_ratio=0.9, audio_ratio=0.5),
        schedule=ScheduleSpec(
            learning_rate=1e-3,
            reference_batch_size=32,
            batch_size=32,
            epochs=14,
            warmup_epochs=1,
        ),
    ),
}
FINETUNE_RECIPES = {
    'demo': FinetuneConfig(
        **_DEMO_INPUTS,
        fusion=Bottleneck(fusion_layer=2),
        optimizer=Adam(beta_2=0.999),
        layerwise_decay=1.0,
        label_smoothing=0.1,
        stochastic_depth=0.0,
        num_views=1,
        schedule=ScheduleSpec(
            learning_rate=1e-3,
            reference_batch_size=32,
            batch_size=32,
            epochs=8,
            warmup_epochs=1,
        ),
    ),
}


def resolve_recipe(value, recipes: dict) -> dict:
    """Settings of a recipe by its name, or of {'recipe': name, field: value} with changes.

    Raises:
        ValueError: there is no such recipe.
    """
    if isinstance(value, str):
        value = {'recipe': value}
    if not isinstance(value, dict) or 'recipe' not in value:
        return value
    changes = dict(value)
    name = changes.pop('recipe')
    if name not in recipes:
        raise ValueError(f'recipe must be one of {sorted(recipes)}, got {name!r}')
    return merge(recipes[name].model_dump(), changes)


def merge(settings: dict, changes: dict) -> dict:
    """`settings` with `changes`, group by group; a group of another kind is replaced whole."""
    result = dict(settings)
    for name, value in changes.items():
        before = result.get(name)
        same_kind = isinstance(value, dict) and isinstance(before, dict)
        if same_kind and value.get('kind', before.get('kind')) == before.get('kind'):
            value = merge(before, value)
        result[name] = value
    return result
