"""Maximum mean discrepancy of HA-GAN (Sun 2022): unbiased, k = exp(-d^2 / m^2), m the median distance.

The median is taken over the whole matrix of distances including its zero diagonal; of two middle values, the lower one
is taken. This is the choice of the official code, so that values can be compared.
"""

import numpy as np
from scipy.spatial.distance import cdist

from ganatomy.errors import Refused
from ganatomy.evaluation.metrics.frechet import FeatureArray
from ganatomy.evaluation.metrics.kernel import KernelMatrix, KernelMetric, compute_unbiased_mmd
from ganatomy.evaluation.metrics.metric import MIN_PATIENTS


def compute_mmd(x: FeatureArray, y: FeatureArray) -> float:
    """Compute MMD squared between two sets of features."""
    return compute_unbiased_mmd(compute_gaussian_kernel(x, y), len(x))


def compute_gaussian_kernel(x: FeatureArray, y: FeatureArray) -> KernelMatrix:
    """Compute the kernel of all pairs of both sets.

    Raises:
        Refused: more than half of all images have equal features, so that the median distance is zero.
    """
    both = np.concatenate([x, y]).astype(np.float64)
    squared = cdist(both, both, "sqeuclidean")
    flat = squared.ravel()
    middle = np.partition(flat, (len(flat) - 1) // 2)[(len(flat) - 1) // 2]
    if middle == 0:
        raise Refused(
            "More than half of the images have the same features, so the MMD's scale, the median distance, is zero."
        )
    return np.exp(-squared / middle)


MMD = KernelMetric(
    name="MMD",
    better="lower",
    headline=True,
    min_patients=MIN_PATIENTS,
    compute=compute_mmd,
    compute_kernel=compute_gaussian_kernel,
    definition="unbiased MMD^2, kernel exp(-d^2/median^2) (Sun 2022)",
)
