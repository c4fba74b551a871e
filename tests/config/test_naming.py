"""Settings are called by the recipe that they are closest to, and by what they change of it."""

import re

import pytest

from avmae_tf.config import FINETUNE_RECIPES, PRETRAIN_RECIPES, SGD
from avmae_tf.config.naming import closest_recipe, flat, short_name

RECIPES = [*PRETRAIN_RECIPES.items(), *FINETUNE_RECIPES.items()]


@pytest.mark.parametrize(('name', 'config'), RECIPES, ids=[name for name, _ in RECIPES])
def test_a_recipe_is_called_by_its_name_or_that_of_its_equal(name, config):
    found, changes = closest_recipe(config)
    assert not changes
    assert found == name or config in (PRETRAIN_RECIPES.get(found), FINETUNE_RECIPES.get(found))


def test_a_changed_recipe_is_called_by_its_name_and_its_changes():
    demo = PRETRAIN_RECIPES['demo']
    schedule = demo.schedule.replace(epochs=50)
    assert closest_recipe(demo.replace(schedule=schedule)) == ('demo', {'schedule.epochs': 50.0})
    assert short_name(demo.replace(schedule=schedule)) == 'demo-epochs=50'
    assert short_name(demo.replace(schedule=schedule, seed=3)) == 'demo-epochs=50-seed=3'
    many = demo.replace(schedule=schedule, seed=3, weight_decay=0.1)
    assert short_name(many) == 'demo-changed'


def test_settings_that_only_the_recipe_has_are_among_the_changes():
    demo = FINETUNE_RECIPES['demo']
    recipe, changes = closest_recipe(demo.replace(optimizer=SGD()))
    assert recipe == 'demo'
    assert changes == {
        'optimizer.kind': 'sgd',
        'optimizer.momentum': 0.9,
        'optimizer.beta_1': None,
        'optimizer.beta_2': None,
    }


def test_a_name_is_one_of_a_folder_wherever_it_is():
    demo = PRETRAIN_RECIPES['demo']
    video = demo.video.replace(patch=(4, 8, 8))
    assert re.fullmatch(r'demo-patch=4_8_8', short_name(demo.replace(video=video)))


def test_settings_are_flat_by_their_dotted_names():
    found = flat(PRETRAIN_RECIPES['demo'])
    assert found['schedule.batch_size'] == 16 and found['encoder.kind'] == 'mid'
    assert not any(isinstance(value, dict) and value for value in found.values())
