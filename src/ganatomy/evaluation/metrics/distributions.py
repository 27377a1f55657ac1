"""Comparison of the distributions of two sets of numbers, such as a measure of each image."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ganatomy.errors import Refused


def compare_distributions(x: NDArray[np.floating], y: NDArray[np.floating]) -> dict[str, float]:
    """Compute the Kolmogorov-Smirnov statistic (0 to 1) with its p-value, and the Wasserstein distance.

    The Wasserstein distance has the unit of the numbers.

    Raises:
        Refused: a set is empty.
    """
    if not len(x) or not len(y):
        raise Refused("A comparison of distributions needs at least one number on each side.")
    test = stats.ks_2samp(x, y)
    return {
        "ks": float(test.statistic),
        "ks_p": float(test.pvalue),
        "wasserstein": float(stats.wasserstein_distance(x, y)),
    }
