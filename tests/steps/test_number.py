"""Numbers as conditions: standardised, drawn, asked for singly and in ranges, refused."""

import re
from statistics import fmean, stdev

import pytest
import torch

from ganatomy.data.numbers import check_unmixed, describe_facts, is_number, measure_number
from ganatomy.errors import Refused
from ganatomy.library.recipe import _list_trained_values
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
        "age 95: the model was trained on 40 to 85; images with such values are extrapolated."
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


def cases(*values, patients=None):
    """A case for each value, each of another patient unless told."""
    names = patients or range(len(values))
    return [{"patient": str(who), "facts": {"x": str(value)}} for who, value in zip(names, values, strict=True)]


def test_a_scale_is_measured_and_says_nothing_of_single_persons():
    scale = measure_number("x", cases(*range(40, 80)))
    assert (scale.mean, scale.deviation, scale.coarse) == (60, 12, True)  # 59.5 and 11.54
    assert (scale.low, scale.high) == (40, 80)
    wide = measure_number("x", cases(*[60] * 500, *range(20, 101, 5)))
    others = measure_number("x", cases(*[60] * 500, 21, 24, 29, 33, 38, *range(45, 76, 5), 83, 88, 91, 94, 99))
    assert (wide.low, wide.high) == (others.low, others.high) == (44, 76)  # 45 and 75 in steps of 2


def test_the_images_of_one_person_count_once():
    values = [0] * 10 + [50] * 500 + [100] * 10
    everyone = measure_number("x", cases(*values))
    assert (everyone.low, everyone.high) == (0, 100)  # ten persons reach the ends
    two = measure_number("x", cases(*values, patients=["a"] * 10 + [*range(500)] + ["b"] * 10))
    assert (two.low, two.high) == (34, 66)  # two do; 1.5 deviations of 9.8 around 50, in steps of 2


@pytest.mark.parametrize(("factor", "offset"), [(1, 0), (0.001, 0), (1000, 5000), (0.37, -3)])
def test_bounds_are_round_and_lie_beyond_what_five_persons_pass(factor, offset):
    values = sorted(factor * ((7 * i % 101) ** 1.3) + offset for i in range(101))
    scale = measure_number("x", cases(*values))
    assert scale.low <= values[5]
    assert scale.high >= values[-6]
    assert scale.low >= 0 or offset < 0
    for bound in (scale.low, scale.high):
        assert bound not in values[1:]
        assert len(f"{bound:.12g}".strip("-0.").replace(".", "").rstrip("0")) <= 3
    small = measure_number("x", cases(*values[:3]))
    assert small.low < values[0] or small.low == 0
    assert not {small.low, small.high} & set(values[1:])


def test_exact_bounds_of_a_recipe_of_a_user_are_hidden():
    scale = NumberScale(mean=61.3, deviation=10.7, low=19, high=97.25)
    hidden = scale.hide_persons()
    assert (hidden.mean, hidden.deviation) == (scale.mean, scale.deviation)  # what the networks see stays
    assert (hidden.low, hidden.high) == (45, 80)
    assert hidden == hidden.hide_persons() == scale.replace(low=30, high=70).hide_persons()


@pytest.mark.parametrize(
    ("values", "words"), [(("CC", "CC"), "'CC' is not a number"), ((4, 4), "all training cases have x 4")]
)
def test_what_cannot_be_a_number_is_refused(values, words):
    with pytest.raises(Refused, match=words):
        measure_number("x", cases(*values))


@pytest.mark.parametrize("word", ["unknown", "inf", "-nan", "63,5"])
def test_words_among_numbers_are_named(word):
    ages = [str(age) for age in range(40, 60)]
    sentence = (
        f"--condition age: 20 of its values are numbers and others are not, such as {word!r}; leave those cells of the"
        " table empty and prepare again, or take every value as a class: --condition age:class."
    )
    with pytest.raises(Refused, match=f"^{re.escape(sentence)}$"):
        check_unmixed("age", [*ages, word])
    check_unmixed("age", ages)
    check_unmixed("site", ["1", "2", "3", "unknown"])


def test_a_long_list_of_values_is_cut():
    counts = {str(age): 1 for age in range(40, 60)}
    with pytest.raises(Refused, match="no training case has age 41, 42, 43, 44, 45 and 14 other values, only 1 of"):
        _list_trained_values("age", counts, {"40": 1})
