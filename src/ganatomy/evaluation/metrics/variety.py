"""Variety: the mean distance between images of a set, relative to that between real images of different patients."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from ganatomy.errors import Refused
from ganatomy.evaluation.evidence import Evidence
from ganatomy.evaluation.images.image_set import ImageSet
from ganatomy.evaluation.images.sets import drop_numbers
from ganatomy.evaluation.metrics.metric import MIN_PATIENTS, Metric
from ganatomy.evaluation.metrics.nearest import downsample_image
from ganatomy.evaluation.statistics import JACKKNIFE_PARTS, NORMAL_QUANTILE, Score, split_groups

ROWS = {2: 32, 3: 16}  # rows or planes to which images are averaged; finer texture does not count as variety
MIN_IMAGES = 8


def compute_mean_distance(rows: NDArray[np.float32], groups: Sequence[str], facts: Sequence[str]) -> float:
    """Compute the mean Euclidean distance over pairs of different groups with the same facts; nan without pairs.

    Args:
        rows: images (n, voxels).
        groups: group of each image, such as its patient.
        facts: facts of each image, such as its view, since a difference of views is not variety.
    """
    who, kind = np.asarray(groups), np.asarray(facts)
    pairs = np.triu((who[:, None] != who) & (kind[:, None] == kind), 1)
    return float(cdist(rows, rows)[pairs].mean()) if pairs.any() else float("nan")


class MeanDistance(Metric):
    """The ratio of two mean distances, with an interval over patients and samples."""

    def measure(self, evidence: Evidence, seed: int) -> Score:
        assert evidence.test_images is not None, "checked by `needs`"
        assert evidence.fake_images is not None, "checked by `needs`"
        logs, variance = [], 0.0
        for images in (evidence.fake_images, evidence.test_images):
            value, error = _measure_spread(images, evidence.numbers)
            logs.append(np.log(value))
            variance += error
        ratio, reach = float(np.exp(logs[0] - logs[1])), NORMAL_QUANTILE * variance**0.5
        low, high = ratio * np.exp(-reach), ratio * np.exp(reach)
        return self.make_score(evidence, 100 * ratio, floor=100.0, low=100 * low, high=100 * high)


def _measure_spread(images: ImageSet, numbers: Collection[str]) -> tuple[float, float]:
    """Measure the mean distance, and the variance of its logarithm by a jackknife."""
    rows = np.stack([downsample_image(image, ROWS[image.ndim]).ravel() for image in images])
    groups, facts = images.groups(), [str(sorted(one.items())) for one in drop_numbers(images.facts(), numbers)]
    tiny = 1e-9  # keeps the logarithm finite for a set of equal images
    value = compute_mean_distance(rows, groups, facts)
    found = []
    for left_out in split_groups(groups, JACKKNIFE_PARTS):
        kept = np.setdiff1d(np.arange(len(rows)), left_out)
        part = compute_mean_distance(rows[kept], [groups[i] for i in kept], [facts[i] for i in kept])
        if np.isfinite(part):
            found.append(np.log(max(part, tiny)))
    if not np.isfinite(value) or len(found) < 2:
        raise Refused("needs two patients with the same facts")
    return max(value, tiny), (len(found) - 1) * float(np.var(found))


MEAN_DISTANCE = MeanDistance(
    name="variety (% of reals)",
    better="reals",
    needs=("images",),
    min_images=MIN_IMAGES,
    min_patients=MIN_PATIENTS,
    bounds=(0, np.inf),
    headline=True,
    definition="mean distance between synthetic images of the same facts over that between held-out images of different"
    " patients, averaged to at most 32 rows or 16 planes, in %; 100 = as varied as the held-out images",
)
