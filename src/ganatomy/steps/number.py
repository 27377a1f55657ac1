"""Numbers that a model is conditioned on: their scale, and requests of a number, of a range, or of any number."""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from statistics import NormalDist
from typing import Self

from pydantic import Field, FiniteFloat, model_validator

from ganatomy.config import Config
from ganatomy.errors import Refused

RANGE_MARK = ".."  # between the ends of a requested range
DIGITS = 6  # significant digits of a drawn number, which a record contains as text
NEAR_MEAN = 1.5  # deviations; bounds are never nearer to the mean, so that those of a small set leave room
STEPS = (5, 2, 1)  # times a power of ten: bounds are multiples of the greatest that is at most half a deviation


class NumberScale(Config):
    """The scale of a number for the networks, c = (x - mean) / deviation, and its range in training.

    Args:
        mean, deviation: mean and standard deviation over the training cases.
        low, high: the approximate ends of the range of the training cases.
        coarse: whether `low` and `high` are rounded and say nothing of single persons, as `choose_bounds` makes them;
            in a recipe that a user wrote they may be the least and the greatest value.
    """

    mean: FiniteFloat
    deviation: FiniteFloat = Field(gt=0)
    low: FiniteFloat
    high: FiniteFloat
    coarse: bool = False

    @model_validator(mode="after")
    def _the_range_has_a_length(self) -> Self:
        if self.low >= self.high:
            raise ValueError("the range of a number begins below its end")
        return self

    def hide_persons(self) -> Self:
        """The same scale with bounds that say nothing of single persons: only mean and deviation decide them."""
        if self.coarse:
            return self
        low, high = choose_bounds(self.mean, self.deviation, self.mean, self.mean, self.low >= 0)
        return self.replace(low=low, high=high, coarse=True)

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


def choose_bounds(
    mean: float, deviation: float, inner_low: float, inner_high: float, positive: bool
) -> tuple[float, float]:
    """Where to say that a range ends: beyond two inner ends and `NEAR_MEAN` deviations, rounded outwards.

    Args:
        mean, deviation: of the values; a bound is a multiple of 1, 2 or 5 times a power of ten, a fifth to a half of
            the deviation.
        inner_low, inner_high: values that lie within, such as those beyond which there are others.
        positive: whether no value is below zero; then no bound is.
    """
    step = _choose_step(deviation / 2)
    low = _round_to(min(inner_low, mean - NEAR_MEAN * deviation), step, ROUND_FLOOR)
    high = _round_to(max(inner_high, mean + NEAR_MEAN * deviation), step, ROUND_CEILING)
    return max(low, 0.0) if positive else low, high


def _choose_step(most: float) -> Decimal:
    """The greatest of 1, 2 and 5 times a power of ten that is not above `most`."""
    power = Decimal(10) ** math.floor(math.log10(most))
    return next((first * power for first in STEPS if first * power <= Decimal(most)), power)


def _round_to(value: float, step: Decimal, rounding: str) -> float:
    return float((Decimal(repr(value)) / step).to_integral_value(rounding) * step)


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
