"""All lengths of a recipe are scaled together, and a schedule that never moves is told."""

import json

import pytest

from ganatomy.benchmark.plan import BenchmarkPlan
from ganatomy.errors import Refused
from ganatomy.library.recipe import build_recipe
from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.recipes.changes import change_pace, change_recipe, read_recipe
from ganatomy.training.plan import describe_recipe

SEED = 0


def _describe_place(recipe, share):
    """What decides a step at a share of the training: stage, batch, updates, rates."""
    images = round(recipe.total_images * share)
    step = recipe.plan_step(images, SEED)
    updates = [phase.updates(images) for phase in recipe.build_phases()]
    return (step.stage, step.batch_size, updates), [adam.lr(images) for adam in recipe.optimizers.values()]


@pytest.mark.parametrize("name", RECIPES)
def test_a_paced_recipe_does_the_same_at_every_share_of_the_training(name):
    recipe = get_recipe(name)
    slow = change_pace(recipe, 0.01)
    assert slow.total_kimg == pytest.approx(recipe.total_kimg / 100)
    assert slow.ema_half_life_kimg == pytest.approx(recipe.ema_half_life_kimg / 100)
    for share in (0, 0.013, 0.11, 0.23, 0.37, 0.51, 0.613, 0.63, 0.79, 0.999):
        (mine, my_rates), (theirs, their_rates) = (_describe_place(one, share) for one in (slow, recipe))
        assert mine == theirs, share
        assert my_rates == pytest.approx(their_rates, rel=2e-3)  # a share is rounded to whole images


@pytest.mark.parametrize("name", RECIPES)
def test_pace_one_is_the_published_recipe(name):
    assert change_pace(get_recipe(name), 1) == get_recipe(name)


def test_nothing_but_lengths_is_scaled():
    before, after = (r.model_dump(mode="json") for r in (RECIPES["pggan"](), change_pace(RECIPES["pggan"](), 0.5)))
    for lengths in ("total_kimg", "ema_half_life_kimg"):
        assert after.pop(lengths) == before.pop(lengths) / 2
    for lengths in ("fade_kimg", "stable_kimg"):
        assert after["strategy"].pop(lengths) == before["strategy"].pop(lengths) / 2
    assert json.dumps(after) == json.dumps(before)


def test_the_command_line_and_a_file_take_a_pace(tmp_path):
    (tmp_path / "short.yaml").write_text("base: pggan-mammogram\npace: 0.001\ntotal_kimg: 20\n")
    by_file = read_recipe(tmp_path / "short.yaml", {name: make() for name, make in RECIPES.items()})
    assert (by_file.strategy.fade_kimg, by_file.total_kimg) == (pytest.approx(0.6), 20)
    by_flag = build_recipe("pggan-mammogram", None, {"total_kimg": 20}, None, False, 0.001)
    assert by_flag == by_file


@pytest.mark.parametrize("pace", ["0", "-1", ".inf", "fast"])
def test_a_pace_that_is_none_is_refused(pace, tmp_path):
    (tmp_path / "short.yaml").write_text(f"base: hagan\npace: {pace}\n")
    with pytest.raises(Refused, match="above zero"):
        read_recipe(tmp_path / "short.yaml", {"hagan": get_recipe("hagan")})


def test_the_plan_tells_schedules_that_never_move():
    short = change_recipe(get_recipe("pggan-mammogram"), {"total_kimg": 24})
    assert [path for path, _ in short.find_idle_schedules()] == [
        "objectives.0.discriminator_updates",
        "optimizers.generator.lr",
        "optimizers.discriminator.lr",
    ]
    told = [line for line in describe_recipe(short.make_tiny()).splitlines() if line.startswith("never")]
    assert "objectives.0.discriminator_updates keeps its first value" in told[0]
    assert "--pace" in told[0]


@pytest.mark.parametrize("name", RECIPES)
def test_no_schedule_of_a_recipe_is_idle_at_any_pace(name):
    assert get_recipe(name).find_idle_schedules() == []
    assert change_pace(get_recipe(name), 0.001).find_idle_schedules() == []


def test_schedules_move_in_a_benchmark():
    plan = BenchmarkPlan(store="s", fingerprint="f", recipes=("pggan-mammogram",), shape=(80, 64), kimg=20)
    recipe = plan.make_budgeted_recipe("pggan-mammogram", {})
    assert recipe.find_idle_schedules() == []
    assert recipe.build_phases()[0].updates(recipe.total_images - 1) == 5
