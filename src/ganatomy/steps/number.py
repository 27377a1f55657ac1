"""Numbers that a model is conditioned on: how it sees them, and what may be asked for: one, a range, or any."""

from statistics import NormalDist
from typing import Self

from pydantic import Field, FiniteFloat, model_validator

from ganatomy.config import Config
from ganatomy.errors import Refused

RANGE_MARK = ".."  # between the ends of a range that is asked for
DIGITS = 6  # significant digits of a number that is drawn; a record holds it as text


class NumberScale(Config):
    """A number as a network sees it, c = (x - mean) / deviation, and the range that it was trained on.

    Args:
        mean, deviation: over the training cases.
        low, high: the least and the greatest of them.
    """

    mean: FiniteFloat
    deviation: FiniteFloat = Field(gt=0)
    low: FiniteFloat
    high: FiniteFloat

    @model_validator(mode="after")
    def _the_range_has_a_length(self) -> Self:
        if self.low >= self.high:
            raise ValueError("the range of a number begins below its end")
        return self

    def standardise(self, value: float) -> float:
        """c = (x - mean) / deviation."""
        return (value - self.mean) / self.deviation

    def draw(self, share: float) -> float:
        """The number below which that share (0 to 1) of the normal distribution lies, cut to the range."""
        normal = NormalDist(self.mean, self.deviation)
        first, last = normal.cdf(self.low), normal.cdf(self.high)
        return min(max(normal.inv_cdf(first + share * (last - first)), self.low), self.high)

    def describe_range(self) -> str:
        """``40 to 81``."""
        return f"{self.low:g} to {self.high:g}"


def parse_number(name: str, text: str) -> float:
    """A finite number.

    Raises:
        Refused: it is none.
    """
    try:
        if abs(value := float(text)) < float("inf"):
            return value
    except ValueError:
        pass
    raise Refused(f"{name} cannot be {text!r}; it is a number: give one, such as 63.5, or a range, such as 50..70.")


def choose_number(name: str, scale: NumberScale, requested: str | None, share: float) -> str:
    """The number of a sample, as text.

    Args:
        requested: a number, a range such as ``50..70``, or None for one from the training distribution.
        share: uniform, 0 to 1; decides what a number of a range is.

    Raises:
        Refused: neither a number nor a range.
    """
    if requested is None:
        return f"{scale.draw(share):.{DIGITS}g}"
    if RANGE_MARK not in requested:
        return f"{parse_number(name, requested):.{DIGITS}g}"
    low, high = (parse_number(name, end) for end in requested.split(RANGE_MARK, 1))
    if low > high:
        raise Refused(f"{name}={requested}: the range ends below its beginning; give the lower number first.")
    return f"{low + share * (high - low):.{DIGITS}g}"
