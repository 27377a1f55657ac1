"""Kernel inception distance: unbiased MMD squared with the kernel (x.y / D + 1)^3 (Binkowski 2018, equation 4)."""

import numpy as np

from ganatomy.evaluation.metrics.frechet import FeatureArray
from ganatomy.evaluation.metrics.kernel import KernelMatrix, KernelMetric, compute_unbiased_mmd
from ganatomy.evaluation.metrics.metric import MIN_PATIENTS


def compute_kid(x: FeatureArray, y: FeatureArray) -> float:
    """Compute KID over all images at once; the published mean over subsets of 1,000 has the same expectation."""
    return compute_unbiased_mmd(compute_cubic_kernel(x, y), len(x))


def compute_cubic_kernel(x: FeatureArray, y: FeatureArray) -> KernelMatrix:
    """Compute the polynomial kernel of all pairs of both sets."""
    both = np.concatenate([x, y]).astype(np.float64)
    return (both @ both.T / both.shape[1] + 1) ** 3


KID = KernelMetric(
    name="KID",
    better="lower",
    headline=True,
    min_patients=MIN_PATIENTS,
    compute=compute_kid,
    compute_kernel=compute_cubic_kernel,
    definition="unbiased MMD^2, kernel (x.y/D + 1)^3 (Binkowski 2018), all images at once",
)
