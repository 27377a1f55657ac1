"""Statistics of the report: scores, jackknife intervals over patients, areas under the curve, permutation tests."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import scipy.optimize
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from ganatomy.config import Config

JACKKNIFE_PARTS = 20  # number of groups that are left out in turn, on each side
NORMAL_QUANTILE = 1.959964  # of the normal distribution, for 95 % intervals

Indices = NDArray[np.intp]


Better = Literal["lower", "higher", "reals"]


class Score(Config):
    """The value of a metric with its floor, interval, definition and the numbers on which it is based.

    Args:
        metric: name of the metric.
        value: value for synthetic against held-out images.
        floor: value for equally many training images against held-out images; None = the metric has no floor.
        low, high: 95 % interval of the value at this number of images, by a jackknife over patients.
        p: p-value of a permutation test.
        images: number of images per side.
        dimensions: number of dimensions of the features.
        extractor: name of the extractor and first digits of its hash.
        definition: the formula and its source.
        better: direction of improvement; ``reals`` = the nearer to the floor, the better.
    """

    metric: str
    value: float
    floor: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    images: int
    dimensions: int | None = None
    extractor: str | None = None
    definition: str
    better: Better | None = None

    @property
    def is_hidden(self) -> bool | None:
        """Whether the floor lies within the interval, so that no difference can be detected; None = unknown."""
        if self.floor is None or self.low is None or self.high is None:
            return None
        return self.low <= self.floor <= self.high

    @property
    def excess(self) -> float | None:
        """The value minus the floor."""
        return None if self.floor is None else self.value - self.floor


class MissingScore(Config):
    """A metric that was not computed, and the input that is missing."""

    metric: str
    why: str
    extractor: str | None = None


def round_numbers(value: Any, digits: int = 4) -> Any:
    """Round all floats of a dictionary, list or number, for a readable file."""
    if isinstance(value, dict):
        return {key: round_numbers(one, digits) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [round_numbers(one, digits) for one in value]
    return round(value, digits) if isinstance(value, float) else value


def compute_jackknife_interval(
    statistic: Callable[[Indices, Indices], float], x: Sequence[str], y: Sequence[str], parts: int = JACKKNIFE_PARTS
) -> tuple[float, float]:
    """Compute a 95 % interval of `statistic(all of x, all of y)` by leaving out groups of one side at a time.

    A side that consists of one group contributes no variance.

    A bootstrap is not used, because images that are drawn twice distort distances and nearest neighbours: the bootstrap
    interval of a Frechet distance does not contain the true value.

    Args:
        statistic: a function of the indices of the kept images of `x` and of `y`.
        x, y: the group, such as the patient, of each image; a group is left out as a whole.
        parts: the largest number of parts that the groups of each side are divided into.
    """
    everyone = tuple(np.arange(len(groups)) for groups in (x, y))
    centre = statistic(*everyone)
    variance = 0.0
    for side, groups in enumerate((x, y)):
        found: list[float] = []
        for left_out in split_groups(groups, parts) if len(set(groups)) > 1 else []:
            kept = list(everyone)
            kept[side] = np.setdiff1d(everyone[side], left_out)
            found.append(statistic(*kept))
        if found:
            variance += (len(found) - 1) * float(np.var(found))
    reach = NORMAL_QUANTILE * variance**0.5
    return centre - reach, centre + reach


def split_groups(groups: Sequence[str], max_parts: int) -> list[Indices]:
    """Split indices into parts; a group is never divided."""
    names = sorted(set(groups))
    order = np.random.default_rng(0).permutation(len(names))
    part_of = {names[k]: i % min(max_parts, len(names)) for i, k in enumerate(order)}
    assigned = np.array([part_of[group] for group in groups])
    return [np.flatnonzero(assigned == part) for part in range(min(max_parts, len(names)))]


def draw_one_per_group(groups: Sequence[str], seed: int = 0) -> Indices:
    """Draw one image of each group; these images are independent, as a permutation test requires."""
    places: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    rng = np.random.default_rng(seed)
    return np.array(sorted(int(rng.choice(own)) for own in places.values()))


def compute_rank_areas(labels: NDArray[np.float64], ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute areas under the curve from ranks: the Mann-Whitney statistic over the number of pairs, ties count half.

    Args:
        labels: 1 for the side that should rank higher, else 0: (n,), or (sets, n) with equally many ones in every set.
        ranks: ranks of all scores, from 1: (n,) or (n, columns).

    Returns:
        An area for each set of labels and each column of ranks.
    """
    ones = np.atleast_2d(labels)[0].sum()
    return np.asarray((labels @ ranks - ones * (ones + 1) / 2) / (ones * (len(ranks) - ones)))


def permute_two_labels(n: int, m: int, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw `count` permutations (count, n + m) of n zeros and m ones."""
    return rng.permuted(np.tile(np.r_[np.zeros(n), np.ones(m)], (count, 1)), axis=1)


def compute_p_value(null: NDArray[np.float64], observed: Any, rounding: float = 0.0) -> Any:
    """Compute the share of permutations whose statistic is at least the observed one, including the observed one.

    Args:
        null: statistics of the permutations (count,) or (count, columns).
        observed: one number, or one per column.
        rounding: tolerance for equal statistics, whose sums may be computed in another order.

    Returns:
        One number, or one per column; at least 1 / (count + 1).
    """
    return (1 + (null >= observed - rounding).sum(0)) / (len(null) + 1)


def compute_mean_auc(scores: NDArray[np.float64], labels: NDArray[Any], classes: Iterable[Any]) -> float:
    """Compute the mean area under the curve of each class against the rest; nan if fewer than two classes occur.

    Args:
        scores: (n, classes), larger = more likely.
        labels: (n,), the class of each row.
        classes: the class of each column of `scores`; the mean is taken over those that occur in `labels`.
    """
    pairs = [(labels == one, scores[:, i]) for i, one in enumerate(classes)]
    areas = [roc_auc_score(truth, score) for truth, score in pairs if 0 < truth.sum() < len(truth)]
    return float(np.mean(areas)) if areas else math.nan


def compute_auc_interval(auc: float, n: int, m: int) -> tuple[float, float]:
    """Compute the 95 % interval of an area under the curve by inverting a score test (Newcombe 2006, method 5)."""

    def beyond(theta: float, sign: float) -> float:
        extra = (n + m) / 2 - 1
        variance = theta * (1 - theta) * (1 + extra * ((1 - theta) / (2 - theta) + theta / (1 + theta))) / (n * m)
        return sign * (theta - auc) - NORMAL_QUANTILE * variance**0.5

    nearly = 1e-9  # excludes the trivial solutions 0 and 1
    low = 0.0 if auc == 0 else float(scipy.optimize.brentq(beyond, 0, auc - nearly, args=(-1,)))
    high = 1.0 if auc == 1 else float(scipy.optimize.brentq(beyond, auc + nearly, 1, args=(1,)))
    return low, high


def compute_median_and_width(values: NDArray[np.float64]) -> tuple[float, float]:
    """Compute the median, and the standard deviation of a Gaussian with the same range from 10 to 90 %."""
    low, high = np.quantile(values, (0.1, 0.9))
    return float(np.median(values)), max(float(high - low) / 2.56, 1e-6 * max(1.0, abs(float(np.median(values)))))
