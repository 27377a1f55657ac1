"""Numbers that a model is conditioned on: their scale, and requests of a number, of a range, or of any number."""

from statistics import NormalDist
from typing import Self

from pydantic import Field, FiniteFloat, model_validator

from ganatomy.config import Config
from ganatomy.errors import Refused

RANGE_MARK = ".."  # between the ends of a requested range
DIGITS = 6  # significant digits of a drawn number, which a record contains as text


class NumberScale(Config):
    """The scale of a number for the networks, c = (x - mean) / deviation, and its range in training.

    Args:
        mean, deviation: mean and standard deviation over the training cases.
        low, high: lowest and highest value of the training cases.
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
        """Return c = (x - mean) / deviation."""
        return (value - self.mean) / self.deviation

    def draw(self, share: float) -> float:
        """Return the quantile `share` (0 to 1) of the normal distribution with this scale, clipped to the range."""
        normal = NormalDist(self.mean, self.deviation)
        first, last = normal.cdf(self.low), normal.cdf(self.high)
        return min(max(normal.inv_cdf(first + share * (last - first)), self.low), self.high)

    def describe_range(self) -> str:
        """Describe the range, such as ``40 to 81``."""
        return f"{self.low:g} to {self.high:g}"


def parse_number(name: str, text: str) -> float:
    """Parse a finite number.

    Raises:
        Refused: the text is not a finite number.
    """
    try:
        if abs(value := float(text)) < float("inf"):
            return value
    except ValueError:
        pass
    raise Refused(f"{name} cannot be {text!r}; it is a number: give one, such as 63.5, or a range, such as 50..70.")


def choose_number(name: str, scale: NumberScale, requested: str | None, share: float) -> str:
    """Choose the number of a sample, as text.

    Args:
        name: name of the fact, for messages.
        scale: the scale of the number.
        requested: a number, a range such as ``50..70``, or None for a number from the training distribution.
        share: a uniform random number from 0 to 1, which determines the number within a range or distribution.

    Raises:
        Refused: `requested` is neither a number nor a range.
    """
    if requested is None:
        return f"{scale.draw(share):.{DIGITS}g}"
    if RANGE_MARK not in requested:
        return f"{parse_number(name, requested):.{DIGITS}g}"
    low, high = (parse_number(name, end) for end in requested.split(RANGE_MARK, 1))
    if low > high:
        raise Refused(f"{name}={requested}: the range ends below its beginning; give the lower number first.")
    return f"{low + share * (high - low):.{DIGITS}g}"
