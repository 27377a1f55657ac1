"""Types of the options that commands share: tyro reads each from its text, or refuses it with one sentence."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import yaml
from tyro.conf import UseAppendAction, arg
from tyro.constructors import PrimitiveConstructorSpec

from ganatomy.errors import Refused
from ganatomy.library.arguments import parse_shape

Quiet = Annotated[bool, arg(help="print no progress and no messages", help_behavior_hint="")]
Json = Annotated[bool, arg(help="print the answer as one JSON value and nothing else", help_behavior_hint="")]
DryRun = Annotated[bool, arg(help="print what would be done without doing it", help_behavior_hint="")]


def _make_type(metavar: str, read: Callable[[str], Any], advice: str) -> PrimitiveConstructorSpec[Any]:
    """Make a type of options, whose values None and every default are taken as they are.

    Args:
        metavar: what help texts show in the place of the value.
        read: function of the text of an option; raises ValueError or Refused where the text is not accepted.
        advice: end of the sentence that refuses a text, which says what is accepted.
    """

    def read_one(words: list[str]) -> Any:
        try:
            return read(words[0])
        except (ValueError, Refused):
            raise ValueError(f"{words[0]}: {advice}.") from None

    return PrimitiveConstructorSpec(1, metavar, read_one, lambda _: True, lambda value: [str(value)])


def _read_whole(text: str, least: int) -> int:
    if (number := int(text)) < least:
        raise ValueError
    return number


def _read_amount(text: str) -> float:
    if not 0 < (number := float(text)) < float("inf"):
        raise ValueError
    return number


def _read_numbers(text: str) -> tuple[float, ...]:
    return tuple(float(word) for word in text.split(","))


def _read_range(text: str) -> tuple[float, float]:
    low, high = _read_numbers(text)
    return low, high


def _read_shard(text: str) -> tuple[int, int]:
    number, total = (int(n) for n in text.split("/"))
    return number, total


def _read_pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if "=" not in text:
        raise ValueError
    return name, value


_COUNT = _make_type("INT", partial(_read_whole, least=1), "give a number above zero, without a point")
_SHAPE = _make_type("H,W | D,H,W", parse_shape, "give whole numbers with commas, such as 160,128")
_AMOUNT = _make_type("FLOAT", _read_amount, "give a number above zero")

Count = Annotated[int, _COUNT]  # a whole number above zero
OptionalCount = Annotated[int | None, _COUNT]
Amount = Annotated[float, _AMOUNT]  # a number above zero
OptionalAmount = Annotated[float | None, _AMOUNT]
Seed = Annotated[int, _make_type("INT", partial(_read_whole, least=0), "give a whole number of zero or more")]
Numbers = Annotated[
    tuple[float, ...] | None,
    _make_type("FLOAT,FLOAT,...", _read_numbers, "give numbers with commas, such as 1.2,0.8,0.8"),
]
Range = Annotated[
    tuple[float, float] | None, _make_type("LOW,HIGH", _read_range, "give two numbers, such as -1024,600")
]
Shard = Annotated[tuple[int, int] | None, _make_type("I/N", _read_shard, "give i/n, such as 3/100")]
Shape = Annotated[tuple[int, ...], _SHAPE]
OptionalShape = Annotated[
    tuple[int, ...] | None,
    arg(help="number of pixels or voxels per axis; by default that of the recipe or the modality"),
    _SHAPE,
]
Pair = tuple[str, str]
Pairs = UseAppendAction[tuple[Annotated[Pair, _make_type("NAME=VALUE", _read_pair, "give NAME=VALUE")], ...]]
Lists = UseAppendAction[
    tuple[Annotated[Pair, _make_type("NAME=VALUE,VALUE,...", _read_pair, "give NAME=VALUE,VALUE,...")], ...]
]
Changes = Annotated[
    UseAppendAction[tuple[Annotated[Pair, _make_type("PATH=VALUE", _read_pair, "give PATH=VALUE")], ...]],
    arg(name="set"),
]


def join_pairs(pairs: tuple[Pair, ...], flag: str) -> dict[str, str]:
    """Join the values of an option that may be given several times.

    Raises:
        Refused: a name is given twice.
    """
    names = [name for name, _ in pairs]
    if doubled := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise Refused(f"{flag} {doubled[0]}=... is given {names.count(doubled[0])} times; give it once.")
    return dict(pairs)


def join_paths(pairs: tuple[Pair, ...], flag: str) -> dict[str, Path]:
    """Join the values of an option that names paths, as `join_pairs` does."""
    return {name: Path(text) for name, text in join_pairs(pairs, flag).items()}


def join_lists(pairs: tuple[Pair, ...], flag: str) -> dict[str, list[str]]:
    """Join the values of an option that names lists with commas, as `join_pairs` does."""
    return {name: text.split(",") for name, text in join_pairs(pairs, flag).items()}


def join_changes(pairs: tuple[Pair, ...]) -> dict[str, Any]:
    """Join the values of ``--set PATH=VALUE``, which are read as YAML has them."""
    return {path: yaml.safe_load(value) for path, value in join_pairs(pairs, "--set").items()}
