"""Precision and recall (Kynkaanniemi 2019, equation 1), density and coverage (Naeem 2020, equations 4 and 5)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from ganatomy.errors import Refused
from ganatomy.evaluation.metrics.frechet import FeatureArray
from ganatomy.evaluation.metrics.metric import MIN_PATIENTS, PairMetric

NEIGHBOURS = 5


@dataclass(frozen=True)
class PrecisionRecall:
    """Fidelity and coverage of a set of synthetic images.

    Args:
        precision: share of synthetic images within a ball of a real image.
        recall: share of real images within a ball of a synthetic image.
        density: mean number of balls of real images around a synthetic image, divided by the number of neighbours; it
            may exceed 1.
        coverage: share of real images whose ball contains a synthetic image.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def compute_precision_recall(real: FeatureArray, fake: FeatureArray, neighbours: int = NEIGHBOURS) -> PrecisionRecall:
    """Compute precision, recall, density and coverage of features (images, dimensions).

    The radius of an image's ball is the distance to its k-th nearest neighbour within its own set. Two samples of the
    same distribution do not reach 1, so the values have to be compared with those of real against real images.

    Raises:
        Refused: there are not more images than neighbours.
    """
    if min(len(real), len(fake)) <= neighbours:
        raise Refused(
            f"Precision and recall with {neighbours} neighbours need {neighbours + 1} images per side; there are"
            f" {len(real)} and {len(fake)}."
        )
    real_reach, fake_reach = (_compute_radii(images, neighbours) for images in (real, fake))
    apart = cdist(real, fake)
    in_real = apart < real_reach[:, None]
    return PrecisionRecall(
        precision=float(in_real.any(0).mean()),
        recall=float((apart < fake_reach).any(1).mean()),
        density=float(in_real.sum(0).mean() / neighbours),
        coverage=float((apart.min(1) < real_reach).mean()),
    )


def _compute_radii(images: FeatureArray, neighbours: int) -> np.ndarray:
    """Compute the distance of each image to its k-th nearest other image."""
    return np.partition(cdist(images, images), neighbours, axis=1)[:, neighbours]


def _make_metric(name: str, source: str, read: Callable[[PrecisionRecall], float], highest: float = 1) -> PairMetric:
    return PairMetric(
        name=name,
        better="higher",
        min_images=4 * NEIGHBOURS,  # so that enough neighbours remain when a twentieth of the images is left out
        min_patients=MIN_PATIENTS,
        bounds=(0, highest),
        compute=lambda real, fake: read(compute_precision_recall(real, fake)),
        definition=f"{NEIGHBOURS} nearest neighbours ({source})",
    )


PRECISION = _make_metric("precision", "Kynkaanniemi 2019", lambda found: found.precision)
RECALL = _make_metric("recall", "Kynkaanniemi 2019", lambda found: found.recall)
DENSITY = _make_metric("density", "Naeem 2020", lambda found: found.density, np.inf)
COVERAGE = _make_metric("coverage", "Naeem 2020", lambda found: found.coverage)
