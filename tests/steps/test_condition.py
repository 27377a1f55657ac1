"""The condition of a batch: encoded by hand and by the code, cut into rows, chosen for samples, refused."""

import re

import pytest
import torch

from ganatomy.errors import Refused
from ganatomy.steps.condition import UNCONDITIONAL, Condition, ConditionSpace

SPACE = ConditionSpace({"view_position": ("CC", "MLO"), "density": ("a", "b", "c")})
IMAGES = [
    {"view_position": "MLO", "density": "a", "laterality": "R"},  # what is no condition is left aside
    {"density": "c", "view_position": "CC"},  # the order is that of the model
    {"view_position": "MLO", "density": "b"},
]
BY_HAND = [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1], [0, 1, 0, 1, 0]]


def test_facts_are_one_hot_groups_side_by_side():
    condition = SPACE.encode(IMAGES)
    assert condition.categories.tolist() == BY_HAND
    assert condition.vector.dtype == torch.float32
    assert torch.equal(condition.vector, condition.categories)
    assert condition.groups == SPACE.groups == (2, 3)
    assert SPACE.width == SPACE.label_width == 5
    assert len(condition) == 3


@pytest.mark.parametrize("rows", [slice(1, 2), slice(0, None, 2), [2, 0, 2], []])
def test_rows_are_the_conditions_of_those_images(rows):
    some = SPACE.encode(IMAGES)[rows]
    expected = BY_HAND[rows] if isinstance(rows, slice) else [BY_HAND[row] for row in rows]
    assert some.categories.tolist() == expected
    assert some.vector.shape == (len(expected), 5)
    assert some.groups == (2, 3)


def test_on_another_device_it_is_of_the_same_shape():
    there = SPACE.encode(IMAGES).to("meta")
    assert there.categories.is_meta
    assert (there.categories.shape, there.groups) == ((3, 5), (2, 3))


def test_a_model_without_conditions_has_one_of_width_zero():
    for condition in (UNCONDITIONAL.encode(IMAGES), UNCONDITIONAL.make_blank(3)):
        assert condition.vector.shape == (3, 0)
        assert (len(condition), condition.groups) == (3, ())
    assert UNCONDITIONAL.width == UNCONDITIONAL.label_width == 0
    assert UNCONDITIONAL.choose_facts({}, 5) == {}


def test_a_blank_condition_says_nothing():
    assert SPACE.make_blank(2).categories.tolist() == [[0] * 5] * 2


def test_groups_that_are_not_those_of_the_categories_are_an_error():
    with pytest.raises(AssertionError):
        Condition(torch.zeros(2, 4), (2, 3))


def test_facts_that_nobody_asked_for_are_taken_in_turn():
    turns = [tuple(SPACE.choose_facts({}, i).values()) for i in range(7)]
    assert turns == [("CC", "a"), ("MLO", "a"), ("CC", "b"), ("MLO", "b"), ("CC", "c"), ("MLO", "c"), ("CC", "a")]
    assert SPACE.choose_facts({"view_position": "MLO"}, 1) == {"view_position": "MLO", "density": "b"}


def test_a_grid_shows_the_values_of_each_fact_in_equal_runs():
    facts = SPACE.spread_facts(6)
    assert [one["view_position"] for one in facts] == ["CC"] * 3 + ["MLO"] * 3
    assert [one["density"] for one in facts] == ["a", "a", "b", "b", "c", "c"]


def test_free_facts_come_after_those_of_the_model_and_never_in_place_of_them():
    space = SPACE.add_free_facts({"density": ("d",), "laterality": ("R", "L")})
    assert space.names == ("view_position", "density", "laterality")
    assert space.facts["density"] == ("a", "b", "c")
    assert SPACE.names == ("view_position", "density")


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"view_position": "ML", "density": "a"}, "view_position cannot be 'ML'; the model accepts CC, MLO."),
        (
            {"view_position": "CC"},
            "The model is conditioned on 'density', but an image has view_position; state for every image whether its"
            " density is a, b, c.",
        ),
        (
            {},
            "The model is conditioned on 'view_position', but an image has no facts; state for every image whether its"
            " view_position is CC, MLO.",
        ),
    ],
)
def test_an_image_that_cannot_be_encoded_is_refused(facts, sentence):
    with pytest.raises(Refused, match=f"^{re.escape(sentence)}$"):
        SPACE.encode([IMAGES[0], facts])


@pytest.mark.parametrize(
    ("space", "requested", "sentence"),
    [
        (SPACE, {"age": "50"}, "The model is not conditioned on 'age'; its conditions are view_position, density."),
        (SPACE, {"density": "d"}, "density cannot be 'd'; the model accepts a, b, c."),
        (
            UNCONDITIONAL,
            {"age": "50"},
            "The model is not conditioned on 'age'; its conditions are none: it is unconditional.",
        ),
    ],
)
def test_a_request_that_the_model_does_not_know_is_refused(space, requested, sentence):
    with pytest.raises(Refused, match=f"^{re.escape(sentence)}$"):
        space.choose_facts(requested, 0)


def test_every_fact_of_the_model_has_to_be_in_the_store():
    SPACE.check_store_knows({"density": {"a": 3}, "view_position": {"CC": 3}, "laterality": {"R": 3}})
    with pytest.raises(Refused, match="conditioned on 'density', but the facts of the store are view_position"):
        SPACE.check_store_knows({"view_position": {"CC": 3}})
    with pytest.raises(Refused, match="store has density d, but the recipe accepts a, b, c"):
        SPACE.check_store_knows({"view_position": {"CC": 3}, "density": {"a": 1, "d": 2}})
    with pytest.raises(Refused, match="store has no training case of MLO; add such cases"):
        SPACE.check_store_shows({"view_position": {"CC": 3}, "density": {"a": 1, "b": 1, "c": 1}})
