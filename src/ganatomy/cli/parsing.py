"""Conversion of command-line arguments to values; every mistake is refused with one sentence."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ganatomy.errors import Refused

VALUES_SHOWN = 5  # of a fact, in a sentence


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    """Parse voxels per axis, such as ``160,128``; None stays None."""
    if text is None:
        return None
    try:
        return tuple(int(n) for n in text.replace("x", ",").split(","))
    except ValueError:
        raise Refused(f"--shape {text}: give whole numbers with commas, such as 160,128.") from None


def parse_numbers(text: str | None, flag: str) -> tuple[float, ...] | None:
    """Numbers from words such as ``-1024,600``; None stays None."""
    if text is None:
        return None
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise Refused(f"{flag} {text}: give numbers with commas, such as 1.2,0.8,0.8.") from None


def check_above_zero(**given: float | None) -> None:
    """Refuse numbers that are not above zero; None stands for an argument that was not given."""
    for name, value in given.items():
        if value is not None and not value > 0:
            raise Refused(f"--{name.replace('_', '-')} {value:g}: give a number above zero.")


BYTE_UNITS = {"gb": 10**9, "gib": 2**30, "mb": 10**6, "mib": 2**20, "tb": 10**12, "g": 2**30, "m": 2**20}


def parse_bytes(text: str) -> int:
    """Parse a size such as ``16GB`` or ``24GiB``; returns bytes."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = text[len(number) :].strip().lower()
    try:
        return round(float(number) * BYTE_UNITS[unit])
    except (ValueError, KeyError):
        raise Refused(f"--memory {text}: give a number and a unit, such as 16GB or 24GiB.") from None


def parse_shard(text: str) -> tuple[int, int]:
    """Parse the part and the number of parts from a text such as ``3/100``."""
    try:
        number, total = (int(n) for n in text.split("/"))
    except ValueError:
        raise Refused(f"--shard {text}: give i/n, such as 3/100.") from None
    return number, total


def remove_flag(arguments: list[str], flag: str) -> list[str]:
    """Remove a flag and its value, given as one argument or two, from the arguments of a command."""
    kept, skip = [], False
    for word in arguments:
        if skip or word.startswith(f"{flag}="):
            skip = False
        elif word == flag:
            skip = True
        else:
            kept.append(word)
    return kept


def parse_share(text: str | None, flag: str) -> float | None:
    """Parse a share such as ``5%`` or ``0.05``; None stays None."""
    if text is None:
        return None
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise Refused(f"{flag} {text}: give a share between 0 and 1, such as 5% or 0.05.")
    return share


def parse_pairs(pairs: tuple[str, ...], flag: str) -> dict[str, str]:
    """Parse arguments of the form NAME=VALUE to a mapping."""
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise Refused(f"{flag} {wrong[0]}: give NAME=VALUE.")
    return dict(pair.split("=", 1) for pair in pairs)


def build_recipe(
    name: str | None, file: Path | None, changes: tuple[str, ...], shape: str | None, tiny: bool, pace: float = 1
) -> Any:
    """Base or file, then pace, then size, then tiny, then single changes: the later wins."""
    from ganatomy.recipes import RECIPES, get_recipe
    from ganatomy.recipes.changes import change_pace, change_recipe, read_recipe

    if (name is None) == (file is None):
        raise Refused("Give either the name of a recipe (see: ganatomy recipes) or --recipe FILE.")
    chosen = read_recipe(file, {key: make() for key, make in RECIPES.items()}) if file else get_recipe(str(name))
    if pace != 1:
        chosen = change_pace(chosen, pace)
    if size := parse_shape(shape):
        chosen = chosen.resize(size)
    if tiny:
        chosen = chosen.make_tiny()
    values = {path: yaml.safe_load(value) for path, value in parse_pairs(changes, "--set").items()}
    return change_recipe(chosen, values) if values else chosen


def make_modality(name: str, **given: Any) -> Any:
    """Make the modality with this name and the given options; None stands for an option that was not given."""
    from ganatomy.modalities import table

    make = table.get_modality(name)
    options = {option: value for option, value in given.items() if value is not None}
    if wrong := sorted(set(options) - set(table.list_options(name))):
        raise Refused(f"--{wrong[0].replace('_', '-')} is not an option of {name}.")
    return make(**options)


def condition_recipe(recipe: Any, fact_names: tuple[str, ...], store: Path | None) -> Any:
    """The recipe conditioned on facts of the store: classes with the values of its training cases, and numbers.

    Args:
        fact_names: each a fact, or one with ``:number`` or ``:class`` behind it where its values do not tell.

    Raises:
        Refused: the store has no such fact, a value of it that no training case has, or one that is no number.
    """
    from ganatomy.data.numbers import check_unmixed, is_number, measure_number
    from ganatomy.data.store import open_store
    from ganatomy.recipes.changes import change_recipe

    if not fact_names:
        return recipe
    if store is None:
        raise Refused("--condition takes its values from the store, so give the store as well.")
    opened = open_store(store)
    manifest, trained = opened.manifest, opened.count_facts("train")
    plain = recipe.model_dump(mode="json")
    conditions, numbers = dict(plain["conditions"]), dict(plain["numbers"])
    for asked in fact_names:
        name, _, kind = asked.partition(":")
        if kind not in ("", "number", "class"):
            raise Refused(f"--condition {asked}: a fact is a number or a class; give {name}:number or {name}:class.")
        if name not in manifest.facts:
            raise Refused(f"--condition {name}: the facts of the store are {', '.join(manifest.facts) or 'none'}.")
        conditions.pop(name, None)
        numbers.pop(name, None)
        if not kind:
            check_unmixed(name, manifest.facts[name])
        if kind == "number" or (not kind and is_number(manifest.facts[name])):
            numbers[name] = measure_number(name, opened.split("train")).model_dump()
        else:
            conditions[name] = _list_trained_values(name, manifest.facts[name], trained[name])
    return change_recipe(recipe, {"conditions": conditions, "numbers": numbers})


def _list_some(values: list[str]) -> str:
    """The first of many values, and how many more there are."""
    more = len(values) - VALUES_SHOWN
    return ", ".join(values[:VALUES_SHOWN]) + (f" and {more} other values" if more > 0 else "")


def _list_trained_values(name: str, counts: Mapping[str, int], trained: Mapping[str, int]) -> list[str]:
    """The values of a class; each has a training case.

    Raises:
        Refused: one has none.
    """
    from ganatomy.data.numbers import is_number

    if lost := sorted(set(counts) - set(trained)):
        raise Refused(
            f"--condition {name}: no training case has {name} {_list_some(lost)}, only {counts[lost[0]]} of validation"
            " and test, so a model could not learn it; leave such cases out of the table or give them another value,"
            f" and prepare again{f', or take it as a number: --condition {name}:number' if is_number(counts) else ''}."
        )
    return sorted(trained)
