"""Settings that are named on the command line: a recipe with changes, or a model by its size."""

import os
from typing import TypeVar

import click

from avmae_tf.config import (
    FINETUNE_RECIPES,
    PRETRAIN_RECIPES,
    BackboneSpec,
    Bottleneck,
    DecoderSpec,
    TrainingConfig,
    merge,
    read_yaml,
    resolve_recipe,
)
from avmae_tf.storage import is_remote, open_text

Settings = TypeVar('Settings', bound=TrainingConfig)
BOTTLENECK = 'bottleneck'


def read_recipe(
    recipe: str, recipes: dict, changes: tuple[str, ...], config_class: type[Settings]
) -> Settings:
    """A recipe by name or from a YAML file, with `field.of.group=value` changes."""
    if is_remote(recipe) or os.path.isfile(recipe):
        with open_text(recipe) as f:
            settings = read_yaml(f, recipe)
        if not isinstance(settings, dict):
            raise ValueError(f'{recipe}: must be fields with values, got {settings!r}')
        settings = resolve_recipe(settings, recipes)
    else:
        settings = resolve_recipe(recipe, recipes)
    return config_class.model_validate(changed(settings, changes))


def changed(settings: dict, changes: tuple[str, ...]) -> dict:
    """Settings with `field.of.group=value` changes."""
    for change in changes:
        path, equals, value = change.partition('=')
        if not equals:
            raise click.BadParameter(f'{change!r} is not field=value', param_hint='--set')
        nested = read_yaml(value, f'--set {path}')
        for name in reversed(path.split('.')):
            nested = {name: nested}
        settings = merge(settings, nested)
    return settings


def settings_of(
    model: str,
    encoder: str | None,
    decoder: str | None,
    modalities: str | None,
    classes: int | None,
) -> TrainingConfig:
    """The paper's inputs on the backbone `model`: a classifier if there are `classes`.

    MBT fuses from two thirds of the depth on, as in the paper's Base and Large.
    """
    backbone = BackboneSpec.model_validate(model)
    changes = {'backbone': backbone}
    if modalities:
        changes['modalities'] = tuple(name.strip() for name in modalities.split(','))
    if classes is None:
        if encoder == BOTTLENECK:
            raise click.UsageError('--encoder bottleneck is of classifiers and needs --classes')
        changes['decoder'] = DecoderSpec.for_backbone(model, fusion=decoder or 'shared')
        return PRETRAIN_RECIPES['vggsound-base'].replace(**changes, encoder=encoder or 'mid')
    if decoder:
        raise click.UsageError('--decoder is of autoencoders, and --classes asks for a classifier')
    fusion = encoder or BOTTLENECK
    if fusion == BOTTLENECK:
        fusion = Bottleneck(fusion_layer=2 * backbone.num_layers // 3)
    return FINETUNE_RECIPES['vggsound-base'].replace(**changes, fusion=fusion)


def recipe_of(name: str, classes: int | None, changes: tuple[str, ...] = ()) -> TrainingConfig:
    """The settings of pretraining, or, if there are `classes`, of finetuning; with changes."""
    recipes = PRETRAIN_RECIPES if classes is None else FINETUNE_RECIPES
    if name in recipes:
        settings = changed(recipes[name].model_dump(), changes)
        return type(recipes[name]).model_validate(settings)
    if name in FINETUNE_RECIPES:
        raise click.UsageError(f'--recipe {name} is of a classifier and needs --classes')
    known = sorted({*PRETRAIN_RECIPES, *FINETUNE_RECIPES})
    raise ValueError(f'recipe must be one of {known}, got {name!r}')
