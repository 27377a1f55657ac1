"""Maximum mean discrepancy from a kernel matrix (Gretton 2012, equation 3), and its permutation test."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganatomy.errors import Refused
from ganatomy.evaluation.evidence import Evidence
from ganatomy.evaluation.metrics.metric import PairMetric
from ganatomy.evaluation.statistics import Score, compute_p_value, draw_one_per_group

KernelMatrix = NDArray[
    np.float64
]  # kernel of all pairs of both sets together, the n of the first set before those of the second

PERMUTATIONS = 1000


def compute_unbiased_mmd(kernel: KernelMatrix, n: int) -> float:
    """Compute the U-statistic of MMD squared, which may be negative; its mean is zero for equal distributions.

    Args:
        kernel: (n + m, n + m).
        n: number of images of the first set.

    Raises:
        Refused: a set has fewer than two images.
    """
    first = np.zeros((len(kernel), 1))
    first[:n] = 1
    return float(_compute_mmd(kernel, first)[0])


def compute_permutation_p(kernel: KernelMatrix, n: int, rounds: int = 1000, seed: int = 0) -> float:
    """Compute the share of random permutations of both sets with at least this distance, including the observed one.

    The smallest possible value is 1 / (rounds + 1).
    """
    rng = np.random.default_rng(seed)
    labels = np.zeros((len(kernel), rounds))
    for column in labels.T:
        column[rng.choice(len(kernel), n, replace=False)] = 1
    return float(compute_p_value(_compute_mmd(kernel, labels), compute_unbiased_mmd(kernel, n), rounding=1e-15))


def _compute_mmd(kernel: KernelMatrix, first: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute MMD squared for each column of labels (images, rounds), 1 for the first set and 0 for the second."""
    n = first[:, 0].sum()
    m = len(kernel) - n
    if min(n, m) < 2:
        raise Refused(f"A maximum mean discrepancy needs at least 2 images per side, not {int(n)} and {int(m)}.")
    diagonal = np.diag(kernel)
    toward = kernel @ first
    within_first = (first * toward).sum(0)
    across = toward.sum(0) - within_first
    within_second = kernel.sum() - within_first - 2 * across
    trace_first = diagonal @ first
    trace_second = diagonal.sum() - trace_first
    return np.asarray(
        (within_first - trace_first) / (n * (n - 1))
        + (within_second - trace_second) / (m * (m - 1))
        - 2 * across / (n * m)
    )


@dataclass(frozen=True, kw_only=True)
class KernelMetric(PairMetric):
    """An MMD with the p-value of a permutation test of one image per patient, since others are not exchangeable.

    Args:
        compute_kernel: computes the kernel of all pairs of two sets of features.
    """

    compute_kernel: Callable[[NDArray[np.floating], NDArray[np.floating]], KernelMatrix]

    def measure(self, evidence: Evidence, seed: int) -> Score:
        alone = draw_one_per_group(evidence.patients, seed)
        kernel = self.compute_kernel(evidence.test[alone], evidence.fake[alone])
        p = compute_permutation_p(kernel, len(alone), PERMUTATIONS, seed)
        test = f"p by {PERMUTATIONS} permutations of one image per patient ({len(alone)} per side)"
        sides = (evidence.test, evidence.fake, evidence.floor)
        return self.measure_sides(evidence, sides, p=p, definition=f"{self.definition}; {test}")
