"""Mean, deviation, skewness and kurtosis of each image, and the overlap of their distributions (Korkinof 2021)."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

MOMENT_NAMES = ("mean", "deviation", "skewness", "kurtosis")
BINS = 20


def compute_moments(images: Iterable[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Compute mean, deviation, skewness and excess kurtosis (images, 4); the last two are 0 for a constant image."""
    rows = []
    for image in images:
        values = image.astype(np.float64).ravel()
        deviation = values.std()
        shape = (stats.skew(values), stats.kurtosis(values)) if deviation > 1e-9 else (0.0, 0.0)
        rows.append((values.mean(), deviation, *shape))
    return np.asarray(rows, dtype=np.float64).reshape(-1, len(MOMENT_NAMES))


def compute_support_overlap(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Compute the overlap of two sets of numbers: the area under both histograms, with 20 bins over their range."""
    both = np.concatenate([x, y])
    if both.min() == both.max():
        return 1.0
    edges = np.linspace(both.min(), both.max(), BINS + 1)
    p, q = (np.histogram(side, edges)[0] / len(side) for side in (x, y))
    return float(np.minimum(p, q).sum())
