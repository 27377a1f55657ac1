"""Training strategies: pure functions from images seen to what the next step looks at."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from ganatomy.pyramid import Shape, pyramid
from ganatomy.scope import Level, Scope
from ganatomy.value import Value


@dataclass(frozen=True)
class Moment:
    """What one step does: its scope, its global batch size, and the era it belongs to.

    Optimisers start anew when the era changes, so that Adam's moments of one level do not steer the next.
    """

    scope: Scope
    batch_size: int
    era: int = 0


class ProgressiveGrowing(Value):
    """Start at the base, add a level at a time: fade it in, then train it stably (Karras 2018, section 2).

    The base is trained stably first; then each level fades in over `fade_kimg` and is stable for `stable_kimg`. The
    last level stays. `batch_sizes` goes by level from the base up; the last one serves all later levels. Levels below
    `first_level` are skipped: training starts there.
    """

    kind: Literal["progressive-growing"] = "progressive-growing"
    fade_kimg: float = Field(600, gt=0)
    stable_kimg: float = Field(600, gt=0)
    batch_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field((16,), min_length=1)
    first_level: int = Field(0, ge=0)

    def at(self, images_seen: int, shape: Shape, seed: int) -> Moment:
        """The step at a count of images seen; `seed` is for strategies that draw, growth does not."""
        sizes = pyramid(shape)
        first, last = min(self.first_level, len(sizes) - 1), len(sizes) - 1
        since = images_seen / 1000 - self.stable_kimg  # since the first fade began
        rank = int(since // (self.fade_kimg + self.stable_kimg)) + 1 if since >= 0 else 0
        if first + rank > last:
            rank, alpha = last - first, 1.0
        else:
            alpha = 1.0 if rank == 0 else min(since % (self.fade_kimg + self.stable_kimg) / self.fade_kimg, 1.0)
        level = first + rank
        batch_size = self.batch_sizes[min(level, len(self.batch_sizes) - 1)]
        return Moment(Level(level, alpha, sizes[level]), batch_size, era=2 * rank - (alpha < 1))

    def final(self, shape: Shape) -> Scope:
        """What sampling uses: the last level, alone."""
        return Level(len(pyramid(shape)) - 1, 1.0, shape)

    def timetable(self, shape: Shape) -> Iterator[tuple[float, Moment]]:
        """Each era with the kimg at which it begins."""
        kimg, era = 0.0, -1
        while (moment := self.at(round(kimg * 1000), shape, 0)).era != era:
            yield kimg, moment
            era = moment.era
            kimg += self.fade_kimg if era % 2 else self.stable_kimg


Strategy = ProgressiveGrowing
