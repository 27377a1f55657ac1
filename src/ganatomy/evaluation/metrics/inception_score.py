"""Inception score of any classifier's probabilities: exp of the mean KL divergence from their mean (Salimans 2016)."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

from ganatomy.errors import Refused


def compute_inception_score(probabilities: NDArray[np.floating]) -> float:
    """Between 1 and the number of classes, for (images, classes).

    One value over all images; the published mean over ten splits lies lower. It never sees real images, and the classes
    decide what it means: 1,000 of ImageNet in the published one.

    Raises:
        Refused: rows that are no probabilities.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or not np.allclose(p.sum(1), 1, atol=1e-4) or (p < 0).any():
        raise Refused("An inception score needs probabilities (images, classes) whose rows sum to 1.")
    return float(np.exp(rel_entr(p, p.mean(0)).sum(1).mean()))
