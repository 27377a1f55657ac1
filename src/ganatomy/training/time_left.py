"""The time that a training still takes, from its timetable: a mean over levels of different sizes would be wrong."""

import math
from dataclasses import dataclass

from ganatomy.recipes.recipe import Recipe


@dataclass
class _Part:
    """A part of the timetable: images from `start` to `end`, of so many voxels, and what was measured in it."""

    start: int
    end: int
    voxels: int
    images: int = 0
    seconds: float = 0.0

    def get_seconds_per_image(self) -> float:
        return self.seconds / self.images


class TimeLeft:
    """Measures each part of a timetable and adds up what is left of all.

    A part that has not been reached yet is reckoned from those that have: as a power of its voxels that fits the two
    largest measured parts, at most in proportion. As long as one part alone has been measured, and larger ones are to
    come, the sum is a lower bound.
    """

    def __init__(self, recipe: Recipe) -> None:
        table = recipe.make_timetable()
        starts = [round(kimg * 1000) for kimg, _ in table]
        ends = [*starts[1:], recipe.total_images]
        self._parts = [
            _Part(start, end, sum(math.prod(region.shape) for region in step.scope.regions))
            for start, end, (_, step) in zip(starts, ends, table, strict=True)
        ]

    def record(self, images: int, count: int, seconds: float) -> None:
        """Note a step.

        Args:
            images: seen before the step.
            count: seen in it.
            seconds: that it took.
        """
        part = next((part for part in self._parts if part.start <= images < part.end), self._parts[-1])
        part.images += count
        part.seconds += seconds

    def estimate(self, images: int) -> tuple[float, bool]:
        """Seconds that are left after so many images, and whether that is a lower bound only."""
        measured = sorted((part for part in self._parts if part.images), key=lambda part: part.voxels)
        if not measured:
            return math.inf, True
        left = [(part, part.end - max(part.start, images)) for part in self._parts if part.end > images]
        total = sum(count * _reckon_seconds_per_image(part, measured) for part, count in left)
        sizes = {part.voxels for part in measured}
        return total, len(sizes) == 1 and any(part.voxels > max(sizes) for part, _ in left)


def _reckon_seconds_per_image(part: _Part, measured: list[_Part]) -> float:
    if part.images:
        return part.get_seconds_per_image()
    same = [one for one in measured if one.voxels == part.voxels]
    if same:
        return same[-1].get_seconds_per_image()
    largest = measured[-1]
    smaller = [one for one in measured if one.voxels < largest.voxels]
    power = 0.0
    if smaller:
        times = largest.get_seconds_per_image() / max(smaller[-1].get_seconds_per_image(), 1e-9)
        power = min(1.0, max(0.0, math.log(max(times, 1e-9)) / math.log(largest.voxels / smaller[-1].voxels)))
    return largest.get_seconds_per_image() * (part.voxels / largest.voxels) ** power
