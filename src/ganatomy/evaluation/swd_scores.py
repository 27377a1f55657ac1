"""Sliced Wasserstein distance of a snapshot from held-out patients, with the floor between real images."""

from dataclasses import dataclass
from statistics import mean, stdev

from ganatomy.checkpoint import Snapshot
from ganatomy.config import Config
from ganatomy.evaluation.images.sets import RealImages, list_requested_facts
from ganatomy.evaluation.metrics.swd import Descriptors, SWDProtocol, compute_swd, extract_descriptors, list_swd_levels
from ganatomy.evaluation.statistics import Indices, compute_jackknife_interval
from ganatomy.pyramid import format_shape
from ganatomy.sampling import sample

INTERVAL_PARTS = 5


class SWDScore(Config):
    """A distance by level, finest first, with its spread over sampling seeds."""

    levels: dict[str, float]
    average: float
    spread: float | None
    seeds: int


@dataclass(frozen=True)
class SWDReference:
    """Held-out real images, their patches, and the floor, the distance of equally many training images from them."""

    reals: RealImages
    protocol: SWDProtocol
    patches: Descriptors
    floor: SWDScore

    @property
    def description(self) -> str:
        return self.protocol.describe(len(self.reals), len(self.reals.shape))

    def compute_score(self, fakes: list[Descriptors]) -> SWDScore:
        """Compute the score of one or more sets of synthetic images, each as large as the set of real images."""
        return _summarise_runs(self.reals, [compute_swd(self.patches, fake, self.protocol) for fake in fakes])

    def compute_interval(self, fake: Descriptors) -> tuple[float, float]:
        """Compute the 95 % interval of the average by a jackknife over patients and their synthetic partners."""
        fewer = SWDProtocol(self.protocol.patches, 1, self.protocol.directions, self.protocol.seed)

        def average(kept: Indices, _: Indices) -> float:
            return mean(compute_swd(self.patches.select_images(kept), fake.select_images(kept), fewer))

        return compute_jackknife_interval(average, self.reals.groups(), ["all"], INTERVAL_PARTS)

    def score_snapshot(self, snapshot: Snapshot, seeds: range) -> SWDScore:
        """Score sets drawn from a snapshot with the facts of the real images, one set per seed."""
        wanted = list_requested_facts(snapshot, self.reals)
        sets = []
        for seed in seeds:
            drawn = (image.pixels for image, _ in sample(snapshot, len(self.reals), seed, wanted))
            sets.append(extract_descriptors(drawn, self.protocol, f"fakes {seed}"))
        return self.compute_score(sets)


def make_swd_reference(held_out: RealImages, training: RealImages, protocol: SWDProtocol | None = None) -> SWDReference:
    """Measure the held-out images once; the floor compares them with equally many training images."""
    protocol = protocol or SWDProtocol()
    patches = extract_descriptors(held_out, protocol, "reals")
    floor = _summarise_runs(
        held_out, [compute_swd(patches, extract_descriptors(training, protocol, "floor"), protocol)]
    )
    return SWDReference(held_out, protocol, patches, floor)


def _summarise_runs(reals: RealImages, runs: list[list[float]]) -> SWDScore:
    names = [format_shape(shape) for shape in list_swd_levels(reals.shape)]
    averages = [mean(run) for run in runs]
    return SWDScore(
        levels={name: round(mean(run[i] for run in runs), 3) for i, name in enumerate(names)},
        average=round(mean(averages), 3),
        spread=round(stdev(averages), 3) if len(averages) > 1 else None,
        seeds=len(runs),
    )
