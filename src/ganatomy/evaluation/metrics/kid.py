"""Kernel inception distance: unbiased MMD squared with the kernel (x.y / D + 1)^3 (Binkowski 2018, equation 4)."""

import numpy as np

from ganatomy.evaluation.metrics.frechet import Features
from ganatomy.evaluation.metrics.kernel import Matrix, unbiased


def kid(x: Features, y: Features) -> float:
    """Over all images at once; the published mean over subsets of 1,000 has the same expectation."""
    return unbiased(cubic(x, y), len(x))


def cubic(x: Features, y: Features) -> Matrix:
    """The polynomial kernel of all pairs of both sets."""
    both = np.concatenate([x, y]).astype(np.float64)
    return (both @ both.T / both.shape[1] + 1) ** 3
