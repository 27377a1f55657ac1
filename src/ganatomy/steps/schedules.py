"""Schedules: numbers that depend on the number of images seen, in thousands (kimg)."""

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from ganatomy.config import Config


class ConstantSchedule(Config):
    """A schedule with the same `value` at all times."""

    kind: Literal["constant"] = "constant"
    value: float

    @property
    def first_change_kimg(self) -> float:
        """When the number first differs from what it is at the start, in thousands of images; infinity = never."""
        return math.inf

    def __call__(self, images_seen: int) -> float:
        return self.value


class LinearSchedule(Config):
    """A schedule with the value `first` until `from_kimg`, `last` from `to_kimg`, and linear between them."""

    kind: Literal["linear"] = "linear"
    first: float
    last: float
    from_kimg: float = Field(ge=0)
    to_kimg: float = Field(ge=0)

    @model_validator(mode="after")
    def _check_order(self) -> "LinearSchedule":
        if self.to_kimg <= self.from_kimg:
            raise ValueError(f"to_kimg must be above from_kimg, got {self.from_kimg} to {self.to_kimg}")
        return self

    @property
    def first_change_kimg(self) -> float:
        """When the number first differs from what it is at the start, in thousands of images; infinity = never."""
        return math.inf if self.first == self.last else self.from_kimg

    def __call__(self, images_seen: int) -> float:
        share = (images_seen / 1000 - self.from_kimg) / (self.to_kimg - self.from_kimg)
        return self.first + (self.last - self.first) * min(max(share, 0.0), 1.0)


class RisingSchedule(Config):
    """min(last, first + ⌊kimg / each_kimg⌋): an integer that rises by one every `each_kimg`."""

    kind: Literal["rising"] = "rising"
    first: int = Field(1, ge=1)
    last: int = Field(5, ge=1)
    each_kimg: float = Field(gt=0)

    @property
    def first_change_kimg(self) -> float:
        """When the number first differs from what it is at the start, in thousands of images; infinity = never."""
        return math.inf if self.first >= self.last else self.each_kimg

    def __call__(self, images_seen: int) -> float:
        return min(self.last, self.first + int(images_seen / 1000 / self.each_kimg))


def _wrap_number(value: object) -> object:
    """Convert a number to a constant schedule."""
    return {"kind": "constant", "value": value} if isinstance(value, int | float) else value


Schedule = Annotated[
    Annotated[ConstantSchedule | LinearSchedule | RisingSchedule, Field(discriminator="kind")],
    BeforeValidator(_wrap_number),
]
