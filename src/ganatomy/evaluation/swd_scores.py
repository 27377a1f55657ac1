"""Sliced Wasserstein distance of a snapshot against held-out patients, with the real-against-real floor beside it."""

from dataclasses import dataclass
from statistics import mean, stdev

from ganatomy.checkpoint import Snapshot
from ganatomy.config import Value
from ganatomy.evaluation.images.sets import Reals, wishes
from ganatomy.evaluation.metrics.swd import Descriptors, Protocol, descriptors, levels, swd
from ganatomy.evaluation.statistics import Places, jackknife
from ganatomy.pyramid import written
from ganatomy.sampling import sample

INTERVAL_PARTS = 5


class Distance(Value):
    """A distance by level, finest first, with its spread over sampling seeds."""

    levels: dict[str, float]
    average: float
    spread: float | None
    seeds: int


@dataclass(frozen=True)
class Yardstick:
    """Held-out reals, their patches, and the floor: how far training patients are from them at the same number."""

    reals: Reals
    protocol: Protocol
    patches: Descriptors
    floor: Distance

    @property
    def words(self) -> str:
        return self.protocol.words(len(self.reals), len(self.reals.shape))

    def distance(self, fakes: list[Descriptors]) -> Distance:
        """Of one or more sets of fakes, each as large as the reals."""
        return _distance(self.reals, [swd(self.patches, fake, self.protocol) for fake in fakes])

    def interval(self, fake: Descriptors) -> tuple[float, float]:
        """95 % interval of the average, by a jackknife over patients; their synthetic partners leave with them."""
        fewer = Protocol(self.protocol.patches, 1, self.protocol.directions, self.protocol.seed)

        def average(kept: Places, _: Places) -> float:
            return mean(swd(self.patches.of(kept), fake.of(kept), fewer))

        return jackknife(average, self.reals.groups(), ["all"], INTERVAL_PARTS)

    def of_snapshot(self, snapshot: Snapshot, seeds: range) -> Distance:
        """Of sets drawn from a snapshot with the facts of the reals, one set a seed."""
        wanted = wishes(snapshot, self.reals)
        sets = []
        for seed in seeds:
            drawn = (image.pixels for image, _ in sample(snapshot, len(self.reals), seed, wanted))
            sets.append(descriptors(drawn, self.protocol, f"fakes {seed}"))
        return self.distance(sets)


def yardstick(held_out: Reals, others: Reals, protocol: Protocol | None = None) -> Yardstick:
    """Measure the held-out reals once; the floor compares them with equally many training images of other patients."""
    protocol = protocol or Protocol()
    patches = descriptors(held_out, protocol, "reals")
    floor = _distance(held_out, [swd(patches, descriptors(others, protocol, "floor"), protocol)])
    return Yardstick(held_out, protocol, patches, floor)


def _distance(reals: Reals, runs: list[list[float]]) -> Distance:
    names = [written(shape) for shape in levels(reals.shape)]
    averages = [mean(run) for run in runs]
    return Distance(
        levels={name: round(mean(run[i] for run in runs), 3) for i, name in enumerate(names)},
        average=round(mean(averages), 3),
        spread=round(stdev(averages), 3) if len(averages) > 1 else None,
        seeds=len(runs),
    )
