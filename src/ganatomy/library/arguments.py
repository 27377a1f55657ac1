"""Sizes, shares and facts as a person writes them, for the command line and for functions alike."""

from collections.abc import Mapping, Sequence

from ganatomy.errors import Refused

BYTE_UNITS = {"gb": 10**9, "gib": 2**30, "mb": 10**6, "mib": 2**20, "tb": 10**12, "g": 2**30, "m": 2**20}

Facts = Mapping[str, str]
FactValue = str | float | tuple[float, float]  # a class, a number, or the range that a number is drawn from


def parse_bytes(given: int | str) -> int:
    """A size in bytes, given as a number or as a text such as ``16GB`` or ``24GiB``.

    Raises:
        Refused: the text has no number or no unit.
    """
    if not isinstance(given, str):
        return given
    number = given.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = given[len(number) :].strip().lower()
    try:
        return round(float(number) * BYTE_UNITS[unit])
    except (ValueError, KeyError):
        raise Refused(f"--memory {given}: give a number and a unit, such as 16GB or 24GiB.") from None


def parse_share(given: float | str, flag: str) -> float:
    """A share between 0 and 1, given as a number or as a text such as ``5%`` or ``0.05``.

    Args:
        flag: the option, for the message.

    Raises:
        Refused: it is no such share.
    """
    text = str(given)
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise Refused(f"{flag} {text}: give a share between 0 and 1, such as 5% or 0.05.")
    return share


def parse_shape(given: str | Sequence[int] | None) -> tuple[int, ...] | None:
    """Voxels per axis, given as numbers or as a text such as ``160,128``; None stays None.

    Raises:
        Refused: the text is something else.
    """
    if given is None:
        return None
    if not isinstance(given, str):
        return tuple(given)
    try:
        return tuple(int(n) for n in given.replace("x", ",").split(","))
    except ValueError:
        raise Refused(f"--shape {given}: give whole numbers with commas, such as 160,128.") from None


def check_above_zero(**given: float | None) -> None:
    """Refuse numbers that are not above zero; None stands for an argument that was not given."""
    for name, value in given.items():
        if value is not None and not value > 0:
            raise Refused(f"--{name.replace('_', '-')} {value:g}: give a number above zero.")


def join_conditions(
    condition: Facts | Sequence[Facts] | None, facts: Mapping[str, FactValue]
) -> Facts | Sequence[Facts] | None:
    """The facts that images are to have, from a mapping or one an image, and those named one by one.

    Args:
        condition: as `ganatomy.sampling.sample` takes it.
        facts: by name a class, a number, or two numbers for a range.

    Raises:
        Refused: a fact is in both.
    """
    named = {name: _write_fact(value) for name, value in facts.items()}
    if condition is None or isinstance(condition, Mapping):
        if doubled := sorted({*(condition or {})} & {*named}):
            raise Refused(f"{doubled[0]} is given twice, as a condition and by itself; give it once.")
        return {**(condition or {}), **named}
    return [{**one, **named} for one in condition]


def _write_fact(value: FactValue) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return "..".join(f"{number:g}" for number in value)
    return f"{value:g}"
