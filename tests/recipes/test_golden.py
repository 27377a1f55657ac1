"""The losses of the first steps of every recipe, as committed: a change of numbers must be meant.

To accept new numbers: python tests/recipes/test_golden.py, and say why in the commit.
"""

import json
from pathlib import Path

import pytest
import torch

from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.training import loop
from ganatomy.training.state import State

GOLDEN = Path(__file__).with_name("golden.json")
# Of images and of volumes, whose rounding grows faster from step to step. By the ninth step of `wgan-mammogram` the
# rounding of another processor has grown to 7 % of a loss.
STEPS = {2: 8, 3: 5}


class Ramps:
    """Images that depend on their number alone."""

    def __init__(self, conditions):
        self.conditions = conditions

    def read_batch(self, numbers, regions):
        images = tuple(self.region(numbers, region) for region in regions)
        return images, self.conditions.encode([self.conditions.choose_facts({}, n) for n in numbers])

    def region(self, numbers, region):
        *rest, y, x = (torch.linspace(-1, 1, n) for n in region.shape)
        flat = torch.stack([torch.sin(0.37 * n + 2 * y[:, None]) * torch.cos(0.11 * n + 3 * x) for n in numbers])
        images = flat if not rest else flat[:, None] * torch.cos(2 * rest[0])[:, None, None]
        planes = slice(region.start, None if region.depth is None else region.start + region.depth)
        return images[:, None, planes]


def losses(name):
    torch.set_num_threads(1)
    recipe = get_recipe(name).make_tiny()
    torch.manual_seed(0)
    weights = {role: recipe.networks[role].build(recipe.space).state_dict() for role in recipe.pretrained_roles}
    state = State(recipe, 0, torch.device("cpu"), weights)
    source = Ramps(recipe.condition_space)
    steps = loop.run_steps(state, source, 0, lambda state: state.steps < STEPS[len(recipe.shape)])
    return [{key: round(value.item(), 6) for key, value in terms.items()} for terms in steps]


@pytest.mark.parametrize("name", RECIPES)
def test_the_first_losses_are_those_committed(name):
    golden = json.loads(GOLDEN.read_text())[name][: STEPS[len(get_recipe(name).shape)]]
    found = losses(name)
    assert len(found) == len(golden) > 0
    for step, (now, then) in enumerate(zip(found, golden, strict=True)):
        assert now == pytest.approx(then, rel=2e-3, abs=2e-4), f"step {step}"


if __name__ == "__main__":
    rows = {name: losses(name) for name in RECIPES}
    GOLDEN.write_text("{\n" + ",\n".join(f'"{n}": {json.dumps(r)}' for n, r in rows.items()) + "\n}\n")
