"""Facts of a store that are numbers, such as ages: they are recognised by their values, and their scale is measured."""

import math
from collections.abc import Collection, Iterable, Mapping
from statistics import fmean
from typing import Any

from ganatomy.errors import Refused
from ganatomy.steps.number import NumberScale, choose_bounds, parse_number

MAX_CLASSES = 10  # a fact with more different values than this, all of which are numbers, is a number
PERSONS_BEYOND = 5  # persons whose values do not decide a bound; a usual threshold for counts in published tables

Counts = Mapping[str, int]  # cases by value


def is_number(values: Collection[str]) -> bool:
    """Whether a fact with these values is a number: there are more than `MAX_CLASSES`, and all are numbers."""
    return len(values) > MAX_CLASSES and all(map(_is_finite, values))


def _is_finite(value: str) -> bool:
    try:
        return abs(float(value)) < float("inf")
    except ValueError:
        return False


def check_unmixed(name: str, values: Collection[str]) -> None:
    """Check that a fact with many values is not a number of which some values are words, as ``unknown`` among ages.

    Raises:
        Refused: more than `MAX_CLASSES` of its values are numbers, and others are not.
    """
    words = sorted(value for value in values if not _is_finite(value))
    if words and len(values) - len(words) > MAX_CLASSES:
        raise Refused(
            f"--condition {name}: {len(values) - len(words)} of its values are numbers and others are not, such as"
            f" {words[0]!r}; leave those cells of the table empty and prepare again, or take every value as a class:"
            f" --condition {name}:class."
        )


def list_number_facts(facts: Mapping[str, Collection[str]]) -> frozenset[str]:
    """List the names of the facts of a store that are numbers."""
    return frozenset(name for name, values in facts.items() if is_number(values))


def measure_number(name: str, cases: Iterable[Mapping[str, Any]]) -> NumberScale:
    """Measure mean, standard deviation and range of a number over the training cases, without values of persons.

    A bound is chosen so that the `PERSONS_BEYOND` persons with the most extreme values do not decide it, and is rounded
    outwards (`choose_bounds`). Mean and deviation are rounded to a tenth of a deviation or less.

    Args:
        name: name of the fact.
        cases: rows of a store with `patient` and `facts`.

    Raises:
        Refused: a value is not a number, or all values are equal.
    """
    texts = [(str(case["patient"]), str(case["facts"][name])) for case in cases]
    if wrong := sorted({text for _, text in texts if not _is_finite(text)}):
        raise Refused(
            f"--condition {name}:number: {wrong[0]!r} is not a number; use {name} as a class: --condition {name}."
        )
    values = [parse_number(name, text) for _, text in texts]
    if len(set(values)) < 2:
        raise Refused(
            f"--condition {name}:number: all training cases have {name} {texts[0][1] if texts else 'none'}; leave this"
            " condition out."
        )
    mean = fmean(values)
    deviation = fmean((value - mean) ** 2 for value in values) ** 0.5
    inner_low, inner_high = _find_inner_ends([person for person, _ in texts], values, mean)
    low, high = choose_bounds(mean, deviation, inner_low, inner_high, min(values) >= 0)
    digit = 1 - math.floor(math.log10(deviation))  # the second of the deviation
    return NumberScale(mean=round(mean, digit), deviation=round(deviation, digit), low=low, high=high, coarse=True)


def _find_inner_ends(persons: list[str], values: list[float], mean: float) -> tuple[float, float]:
    """The least and the greatest value that `PERSONS_BEYOND` others reach; the mean where there are so few persons."""
    least: dict[str, float] = {}
    greatest: dict[str, float] = {}
    for person, value in zip(persons, values, strict=True):
        least[person] = min(value, least.get(person, value))
        greatest[person] = max(value, greatest.get(person, value))
    if len(least) <= PERSONS_BEYOND:
        return mean, mean
    return sorted(least.values())[PERSONS_BEYOND], sorted(greatest.values(), reverse=True)[PERSONS_BEYOND]


def describe_facts(facts: Mapping[str, Counts]) -> str:
    """Describe the facts of a store on one line: classes with counts, numbers with count and range."""
    words = []
    for name, counts in facts.items():
        if is_number(counts):
            values = [float(value) for value in counts]
            words.append(f"{name} (a number, {min(values):g} to {max(values):g}, {sum(counts.values())} cases)")
        else:
            words.append(f"{name} ({', '.join(f'{value}: {count}' for value, count in sorted(counts.items()))})")
    return "; ".join(words) or "no facts"
