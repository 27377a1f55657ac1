"""Facts of a store that are numbers, such as ages: they are recognised by their values, and their scale is measured."""

from collections.abc import Collection, Mapping
from statistics import fmean

from ganatomy.errors import Refused
from ganatomy.steps.number import NumberScale, parse_number

MAX_CLASSES = 10  # a fact with more different values than this, all of which are numbers, is a number

Counts = Mapping[str, int]  # cases by value


def is_number(values: Collection[str]) -> bool:
    """Whether a fact with these values is a number: there are more than `MAX_CLASSES`, and all are numbers."""
    return len(values) > MAX_CLASSES and all(map(_is_finite, values))


def _is_finite(value: str) -> bool:
    try:
        return abs(float(value)) < float("inf")
    except ValueError:
        return False


def list_number_facts(facts: Mapping[str, Collection[str]]) -> frozenset[str]:
    """List the names of the facts of a store that are numbers."""
    return frozenset(name for name, values in facts.items() if is_number(values))


def measure_number(name: str, counts: Counts) -> NumberScale:
    """Measure mean, standard deviation and range of a number over the training cases.

    Args:
        name: name of the fact.
        counts: number of training cases by value.

    Raises:
        Refused: a value is not a number, or all values are equal.
    """
    if wrong := sorted(value for value in counts if not _is_finite(value)):
        raise Refused(
            f"--condition {name}:number: {wrong[0]!r} is not a number; use {name} as a class: --condition {name}."
        )
    values = [parse_number(name, value) for value, count in counts.items() for _ in range(count)]
    if len(set(values)) < 2:
        raise Refused(
            f"--condition {name}:number: all training cases have {name} {next(iter(counts), 'none')}; leave this"
            " condition out."
        )
    mean = fmean(values)
    deviation = fmean((value - mean) ** 2 for value in values) ** 0.5
    return NumberScale(mean=mean, deviation=deviation, low=min(values), high=max(values))


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
