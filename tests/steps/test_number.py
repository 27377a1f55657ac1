"""Numbers as conditions: standardised, drawn, asked for singly and in ranges, refused."""

import re
from statistics import fmean, stdev

import pytest
import torch

from ganatomy.data.numbers import describe_facts, is_number, measure_number
from ganatomy.errors import Refused
from ganatomy.objectives.labels import compute_label_loss
from ganatomy.steps.condition import ConditionSpace
from ganatomy.steps.number import NumberScale

AGE = NumberScale(mean=60, deviation=10, low=40, high=85)
SPACE = ConditionSpace({"sex": ("F", "M")}, {"age": AGE})


def test_a_number_is_a_standardised_column_behind_the_groups():
    condition = SPACE.encode([{"sex": "M", "age": "75"}, {"age": "60", "sex": "F"}])
    assert condition.vector.tolist() == [[0, 1, 1.5], [1, 0, 0]]
    assert condition.numbers.shape == (2, 1)
    assert SPACE.width == SPACE.label_width == 3
    assert SPACE.columns == (("sex", "F"), ("sex", "M"), ("age", None))
    assert condition[1:].vector.tolist() == [[1, 0, 0]]
    assert condition.to("meta").numbers.is_meta
    assert SPACE.make_blank(2).vector.tolist() == [[0] * 3] * 2


def test_what_is_not_asked_for_follows_the_training_distribution():
    drawn = [float(SPACE.choose_facts({}, i, seed=1)["age"]) for i in range(2000)]
    assert 40 <= min(drawn) <= max(drawn) <= 85
    assert abs(fmean(drawn) - 60.5) < 1
    assert abs(stdev(drawn) - 9.2) < 0.6
    assert drawn[:3] == [float(SPACE.choose_facts({}, i, seed=1)["age"]) for i in range(3)]
    assert drawn[:3] != [float(SPACE.choose_facts({}, i, seed=2)["age"]) for i in range(3)]


def test_one_number_or_a_range_may_be_asked_for():
    assert SPACE.choose_facts({"age": "63.50"}, 3) == {"sex": "M", "age": "63.5"}
    some = [float(SPACE.choose_facts({"age": "50..70"}, i)["age"]) for i in range(500)]
    assert 50 <= min(some) < 51
    assert 69 < max(some) <= 70
    assert SPACE.choose_facts({"age": "-3..-1"}, 0)["age"].startswith("-")


def test_a_grid_rises_from_the_least_to_the_greatest():
    ages = [float(facts["age"]) for facts in SPACE.spread_facts(4)]
    assert ages == [40, 55, 70, 85]


def test_outside_the_range_of_training_is_said():
    assert SPACE.describe_extrapolation([{"age": "40"}, {"age": "85"}]) is None
    assert SPACE.describe_extrapolation([{"age": "60"}, {"age": "95"}]) == (
        "age 95: outside the range of training, 40 to 85; images with such values are extrapolated."
    )
    assert "age 95 and others:" in SPACE.describe_extrapolation([{"age": "95"}, {"age": "20"}])


@pytest.mark.parametrize(
    ("requested", "sentence"),
    [
        ({"age": "old"}, "age cannot be 'old'; it is a number: give one, such as 63.5, or a range, such as 50..70."),
        ({"age": "nan"}, "age cannot be 'nan'; it is a number: give one, such as 63.5, or a range, such as 50..70."),
        ({"age": "70..50"}, "age=70..50: the range ends below its beginning; give the lower number first."),
        ({"age": "..50"}, "age cannot be ''; it is a number: give one, such as 63.5, or a range, such as 50..70."),
        ({"sex": "63"}, "sex cannot be '63'; the model accepts F, M."),
        ({"weight": "63"}, "The model is not conditioned on 'weight'; its conditions are sex, age."),
    ],
)
def test_a_class_where_a_number_is_wanted_and_the_reverse_are_refused(requested, sentence):
    with pytest.raises(Refused, match=f"^{re.escape(sentence)}$"):
        SPACE.choose_facts(requested, 0)


def test_images_and_stores_without_the_number_are_refused():
    with pytest.raises(Refused, match="conditioned on 'age', but an image has sex; state for every image its age"):
        SPACE.encode([{"sex": "F"}])
    with pytest.raises(Refused, match="conditioned on 'age', but the facts of the store are sex"):
        SPACE.check_store_knows({"sex": {"F": 1}})
    with pytest.raises(Refused, match="age cannot be 'old'"):
        SPACE.check_store_knows({"sex": {"F": 1}, "age": {"old": 1}})


def test_the_label_loss_of_a_number_is_half_the_squared_error():
    condition = SPACE.encode([{"sex": "M", "age": "75"}, {"sex": "F", "age": "50"}])
    logits = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    by_hand = torch.log(torch.tensor(2.0)) + ((1 - 1.5) ** 2 + (1 + 1) ** 2) / 2 / 2
    torch.testing.assert_close(compute_label_loss(logits, condition), by_hand)


def test_a_fact_is_taken_for_a_number_by_its_values():
    ages = {str(age): 1 for age in range(40, 60)}
    assert is_number(ages)
    assert not is_number({**ages, "unknown": 1})
    assert not is_number({str(gold): 9 for gold in range(5)})  # five stages are classes
    assert describe_facts({"age": ages, "sex": {"M": 2, "F": 3}}) == (
        "age (a number, 40 to 59, 20 cases); sex (F: 3, M: 2)"
    )
    scale = measure_number("age", {"40": 2, "70": 1})
    assert (scale.mean, scale.low, scale.high) == (50, 40, 70)
    assert scale.deviation == pytest.approx(200**0.5)


@pytest.mark.parametrize(
    ("counts", "words"), [({"CC": 2}, "'CC' is not a number"), ({"4": 2}, "all training cases have")]
)
def test_what_cannot_be_a_number_is_refused(counts, words):
    with pytest.raises(Refused, match=words):
        measure_number("x", counts)
