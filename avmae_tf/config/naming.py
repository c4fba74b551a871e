"""What settings are called: the recipe that they are closest to, and what they change of it."""

import re
from collections.abc import Iterator
from typing import Any

from avmae_tf.config.base import Spec
from avmae_tf.config.recipes import FINETUNE_RECIPES, PRETRAIN_RECIPES
from avmae_tf.config.training import PretrainConfig, TrainingConfig

MAX_NAMED, MAX_LENGTH = 2, 20  # changes that a name holds, and characters of a value
_ABSENT = object()


def flat(settings: Spec) -> dict[str, Any]:
    """All settings by their dotted names, as JSON has them: {'schedule.epochs': 8.0, ...}."""

    def leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
        if not (isinstance(value, dict) and value):
            yield name, value
            return
        for key, inner in value.items():
            yield from leaves(f'{name}.{key}' if name else key, inner)

    return dict(leaves('', settings.model_dump(mode='json')))


def closest_recipe(config: TrainingConfig) -> tuple[str, dict[str, Any]]:
    """The recipe that differs from `config` in the fewest settings, and those settings.

    They are given as `config` has them; None stands for one that only the recipe has.
    """
    own = flat(config)

    def changes(recipe: TrainingConfig) -> dict[str, Any]:
        other = flat(recipe)
        return {
            name: own.get(name)
            for name in {**own, **other}
            if own.get(name, _ABSENT) != other.get(name, _ABSENT)
        }

    recipes: dict[str, Any] = (
        PRETRAIN_RECIPES if isinstance(config, PretrainConfig) else FINETUNE_RECIPES
    )
    found = ((name, changes(recipe)) for name, recipe in recipes.items())
    return min(found, key=lambda pair: len(pair[1]))


def short_name(config: TrainingConfig) -> str:
    """A name for people: 'vggsound-base', 'demo-epochs=50', 'demo-changed'."""
    recipe, changes = closest_recipe(config)
    if len(changes) > MAX_NAMED:
        return f'{recipe}-changed'
    parts = [recipe]
    for name, value in changes.items():
        shown = f'{value:g}' if isinstance(value, float) else str(value)
        text = re.sub(r'[^\w.-]+', '_', shown).strip('_')
        parts.append(f'{name.rpartition(".")[2]}={text[:MAX_LENGTH]}')
    return '-'.join(parts)
