"""Everything that changes with images seen is a pure function of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ganatomy.pyramid import compute_pyramid
from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.steps.schedules import ConstantSchedule, LinearSchedule, RisingSchedule
from ganatomy.steps.strategies import ProgressiveGrowing

FULL = (1280, 1024)


def test_schedules_at_known_counts():
    falling = LinearSchedule(first=0.002, last=0.0015, from_kimg=9000, to_kimg=9600)
    assert [falling(n) for n in (0, 9_000_000, 9_600_000, 15_000_000)] == [0.002, 0.002, 0.0015, 0.0015]
    assert falling(9_300_000) == pytest.approx(0.00175)
    rising = RisingSchedule(first=1, last=5, each_kimg=3000)
    assert [rising(n) for n in (0, 2_999_999, 3_000_000, 12_000_000, 99_000_000)] == [1, 1, 2, 5, 5]
    assert ConstantSchedule(value=3)(10**9) == 3


def test_linear_refuses_a_wrong_order():
    with pytest.raises(ValidationError, match="above from_kimg"):
        LinearSchedule(first=1, last=2, from_kimg=5, to_kimg=5)


def test_growth_follows_the_published_timetable():
    growing = ProgressiveGrowing(fade_kimg=600, stable_kimg=600)
    begins = {m.scope.shape: kimg for kimg, m in growing.make_timetable(FULL) if m.scope.alpha < 1}
    assert begins[10, 8] == 600
    assert begins[80, 64] == 4200
    assert begins[640, 512] == 7800
    assert begins[1280, 1024] == 9000
    assert growing.plan_step(9_300_000, FULL, 0).scope.alpha == pytest.approx(0.5)
    assert growing.plan_step(9_600_000, FULL, 0).scope.alpha == 1
    assert growing.plan_step(99_000_000, FULL, 0).scope == growing.get_final_scope(FULL)


@given(st.integers(0, 20_000_000), st.sampled_from([FULL, (160, 128), (64, 64, 64)]), st.integers(0, 3))
def test_growth_is_pure_and_never_goes_back(images, shape, first):
    growing = ProgressiveGrowing(fade_kimg=600, stable_kimg=600, first_level=first)
    now, later = growing.plan_step(images, shape, 0), growing.plan_step(images + 1000, shape, 1)
    assert now == growing.plan_step(images, shape, 5)
    assert (now.scope.level, now.optimizer_epoch) <= (later.scope.level, later.optimizer_epoch)
    assert 0 <= now.scope.alpha <= 1
    assert now.scope.shape == compute_pyramid(shape)[now.scope.level]
    assert first <= now.scope.level


def test_eras_change_at_both_ends_of_a_fade():
    growing = ProgressiveGrowing(fade_kimg=1, stable_kimg=1)
    assert [growing.plan_step(n, (20, 16), 0).optimizer_epoch for n in (0, 999, 1000, 1999, 2000, 3000, 4000)] == [
        0,
        0,
        1,
        1,
        2,
        3,
        4,
    ]


def test_batch_sizes_go_by_level():
    growing = ProgressiveGrowing(fade_kimg=1, stable_kimg=1, batch_sizes=(8, 4))
    assert [growing.plan_step(n, (20, 16), 0).batch_size for n in (0, 1000, 9000)] == [8, 4, 4]


@pytest.mark.parametrize("name", RECIPES)
def test_timetables_reach_the_full_size(name):
    recipe = RECIPES[name]()
    assert recipe.get_sampling_scope(recipe.total_images) == recipe.get_final_scope()


@pytest.mark.parametrize("kimg", [0.064, 0.1, 0.3, 0.7, 1 / 7, 0.9 / 11, 13.7, 600])
def test_a_timetable_has_every_part_and_says_at_which_image_it_begins(kimg):
    recipe = get_recipe("pggan-mammogram")
    recipe = recipe.replace(strategy=recipe.strategy.change_stage_length(kimg), total_kimg=20 * kimg)
    table = recipe.make_timetable()
    assert len(table) == 17  # nine levels, eight of which fade in
    for begins, step in table[1:]:
        images = round(1000 * begins)
        before, after = (recipe.plan_step(count, 0).optimizer_epoch for count in (images - 1, images))
        assert (before, after) == (step.optimizer_epoch - 1, step.optimizer_epoch)
