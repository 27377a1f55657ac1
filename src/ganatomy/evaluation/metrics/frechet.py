"""Frechet distance between two sets of features, each taken as a Gaussian (Dowson 1982; Heusel 2017, equation 6).

The trace of the square root of a product of covariances equals the nuclear norm of the product of their factors, so no
matrix square root is needed. This is exact even if there are fewer images than features, where a matrix square root is
inaccurate.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ganatomy.errors import Refused
from ganatomy.evaluation.evidence import Evidence
from ganatomy.evaluation.metrics.metric import MIN_PATIENTS, PairMetric
from ganatomy.evaluation.statistics import Score

FeatureArray = NDArray[np.floating]  # (images, dimensions)

LINE_POINTS = 12  # number of points of the line in 1/N
DIMENSIONS = ((200, 64), (32, 16))  # (least number of images per side, number of dimensions that are compared)
IMAGES_PER_AXIS = 2  # images per dimension for the principal axes, of patients that are not compared


def compute_frechet_distance(x: FeatureArray, y: FeatureArray) -> float:
    """Compute the distance of the Gaussians of two sets of features (images, dimensions); zero for equal sets.

    Raises:
        Refused: a set has fewer than two images, or the sets have different dimensions.
    """
    (mean_x, factor_x), (mean_y, factor_y) = fit_gaussian(x), fit_gaussian(y)
    if mean_x.shape != mean_y.shape:
        raise Refused(f"The features have {len(mean_x)} and {len(mean_y)} dimensions; use one extractor for both.")
    return compute_gaussian_distance((mean_x, factor_x), (mean_y, factor_y))


Gaussian = tuple[
    NDArray[np.float64], NDArray[np.float64]
]  # mean (D,), factor (at most D, D): covariance = factor^T factor


def fit_gaussian(x: FeatureArray) -> Gaussian:
    """Compute the mean and a factor of the covariance of a set, in float64."""
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise Refused(f"A Frechet distance needs features (images, dimensions) of 2 images or more, not {x.shape}.")
    mean = x.mean(0)
    factor = (x - mean) / np.sqrt(len(x) - 1)
    if len(x) > x.shape[1]:
        factor = scipy.linalg.qr(factor, mode="r", overwrite_a=True, check_finite=False)[0][: x.shape[1]]
    return mean, factor


def compute_gaussian_distance(a: Gaussian, b: Gaussian) -> float:
    """|mean_a - mean_b|^2 + tr(A) + tr(B) - 2 tr((A B)^(1/2)), with the last trace as a nuclear norm."""
    (mean_a, factor_a), (mean_b, factor_b) = a, b
    overlap = scipy.linalg.svdvals(factor_a @ factor_b.T, overwrite_a=True, check_finite=False).sum()
    gap = float(((mean_a - mean_b) ** 2).sum())
    return max(0.0, gap + float((factor_a**2).sum()) + float((factor_b**2).sum()) - 2 * float(overlap))


def compute_frechet_infinity(x: FeatureArray, y: FeatureArray, seed: int = 0) -> float:
    """Extrapolate the distance to infinitely many images, by a line in 1/N through subsets, at 1/N = 0 (Chong 2020).

    Raises:
        Refused: there are fewer than four images per dimension, for which the distance is not linear in 1/N.
    """
    n, dimensions = min(len(x), len(y)), x.shape[1]
    if n < 4 * dimensions:
        raise Refused(f"FID-infinity of {dimensions} dimensions needs {4 * dimensions} images per side; there are {n}.")
    rng = np.random.default_rng(seed)
    sizes = np.linspace(dimensions, n, LINE_POINTS).astype(int)
    values = [
        compute_frechet_distance(x[rng.choice(len(x), k, replace=False)], y[rng.choice(len(y), k, replace=False)])
        for k in sizes
    ]
    return float(np.polyfit(1 / sizes, values, 1)[1])


@dataclass(frozen=True, kw_only=True)
class GaussianMetric(PairMetric):
    """A distance of Gaussians on the first principal axes of other training images, as many as the images allow."""

    def measure(self, evidence: Evidence, seed: int) -> Score:
        n, full = evidence.test.shape
        wanted = min(full, next(dimensions for images, dimensions in DIMENSIONS if n >= images))
        if wanted == full:
            return super().measure(evidence, seed)
        if len(evidence.other_train) < IMAGES_PER_AXIS * wanted:
            raise Refused(
                f"needs {IMAGES_PER_AXIS * wanted} more training images for the axes of {wanted} dimensions; there are"
                f" {len(evidence.other_train)}"
            )
        words = f"{self.definition}; on the first {wanted} principal axes of other training images"
        return self.measure_sides(evidence, project_principal(evidence, wanted), definition=words)


def project_principal(evidence: Evidence, dimensions: int) -> tuple[FeatureArray, FeatureArray, FeatureArray]:
    """Project held-out, synthetic and floor features onto the principal axes of the other training images."""
    centre = evidence.other_train.mean(0)
    axes = np.linalg.svd(evidence.other_train - centre, full_matrices=False)[2][:dimensions]
    test, fake, floor = ((rows - centre) @ axes.T for rows in (evidence.test, evidence.fake, evidence.floor))
    return test, fake, floor


FRECHET_DISTANCE = GaussianMetric(
    name="Frechet distance",
    better="lower",
    headline=True,
    min_images=DIMENSIONS[-1][0],
    min_patients=MIN_PATIENTS,
    bounds=(0, np.inf),
    compute=compute_frechet_distance,
    definition="|m1-m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^1/2) (Heusel 2017); it decreases with more images",
)
FID_INFINITY = GaussianMetric(
    name="FID-infinity",
    better="lower",
    min_images=DIMENSIONS[-1][0],
    min_patients=MIN_PATIENTS,
    compute=compute_frechet_infinity,
    definition="Frechet distance extrapolated linearly in 1/N to infinitely many images (Chong 2020)",
)
