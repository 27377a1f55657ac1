"""A copy with changes is checked as a whole, like any other input."""

import pytest

from ganatomy.errors import Refused
from ganatomy.recipes import RECIPES, get_recipe

DOORS = {
    "replace": lambda value, **changes: value.replace(**changes),
    "model_copy": lambda value, **changes: value.model_copy(update=changes),
    "copy": lambda value, **changes: value.copy(update=changes),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"objectve": ()}, "there is no field objectve; did you mean objectives?"),
        ({"latent": "wide"}, "latent: .*integer"),
        ({"latent": 0}, "latent: .*greater than or equal to 1"),
        ({"shape": (250, 256, 256)}, "every axis must be a multiple of 16"),
        ({"optimizers": {}}, "the objectives train"),
    ],
)
def test_a_wrong_copy_is_refused_by_every_door(door, changes, sentence):
    with pytest.raises(Refused, match=sentence):
        DOORS[door](get_recipe("hagan"), **changes)


def test_a_wrong_copy_of_a_part_is_refused():
    with pytest.raises(Refused, match=r"no field featurs; did you mean features\?"):
        get_recipe("hagan").networks["generator"].replace(featurs=8)


@pytest.mark.parametrize("name", RECIPES)
def test_a_copy_without_changes_is_equal_and_a_right_change_is_taken(name):
    recipe = get_recipe(name)
    assert recipe.replace() == recipe.model_copy() == recipe
    other = recipe.replace(total_kimg=1.0)
    assert other.total_kimg == 1
    assert recipe.total_kimg != 1
    assert other.replace(total_kimg=recipe.total_kimg) == recipe
