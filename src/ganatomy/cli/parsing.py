"""Conversion of command-line arguments to values; every mistake is refused with one sentence."""

from typing import Any

import yaml

from ganatomy.errors import Refused
from ganatomy.library.arguments import check_above_zero, parse_bytes, parse_shape, parse_share

__all__ = [
    "check_above_zero",
    "parse_bytes",
    "parse_changes",
    "parse_numbers",
    "parse_pairs",
    "parse_shape",
    "parse_shard",
    "parse_share",
    "remove_flag",
]


def parse_numbers(text: str | None, flag: str) -> tuple[float, ...] | None:
    """Numbers from words such as ``-1024,600``; None stays None."""
    if text is None:
        return None
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise Refused(f"{flag} {text}: give numbers with commas, such as 1.2,0.8,0.8.") from None


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


def parse_pairs(pairs: tuple[str, ...], flag: str) -> dict[str, str]:
    """Parse arguments of the form NAME=VALUE to a mapping.

    Raises:
        Refused: one of them has another form, or a name is given twice.
    """
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise Refused(f"{flag} {wrong[0]}: give NAME=VALUE.")
    names = [pair.split("=", 1)[0] for pair in pairs]
    if doubled := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise Refused(f"{flag} {doubled[0]}=... is given {names.count(doubled[0])} times; give it once.")
    return dict(pair.split("=", 1) for pair in pairs)


def parse_changes(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Parse the values of ``--set PATH=VALUE`` as YAML has them."""
    return {path: yaml.safe_load(value) for path, value in parse_pairs(pairs, "--set").items()}
