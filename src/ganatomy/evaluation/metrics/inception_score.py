"""Inception score of any classifier's probabilities: exp of the mean KL divergence from their mean (Salimans 2016)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

from ganatomy.errors import Refused
from ganatomy.evaluation.evidence import Evidence
from ganatomy.evaluation.metrics.metric import SetMetric


def compute_inception_score(probabilities: NDArray[np.floating]) -> float:
    """Compute the score, between 1 and the number of classes, from probabilities (images, classes).

    It is computed once over all images; the published mean over ten splits is lower. It does not use real images, and
    its meaning depends on the classes, which are the 1,000 of ImageNet in the published score.

    Raises:
        Refused: the rows are not probabilities.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or not np.allclose(p.sum(1), 1, atol=1e-4) or (p < 0).any():
        raise Refused("An inception score needs probabilities (images, classes) whose rows sum to 1.")
    return float(np.exp(rel_entr(p, p.mean(0)).sum(1).mean()))


@dataclass(frozen=True, kw_only=True)
class InceptionScoreMetric(SetMetric):
    """The inception score, whose definition names the classes."""

    def describe(self, evidence: Evidence) -> str:
        assert evidence.classes is not None, "checked by `needs`"
        return f"{self.definition}, classes: {evidence.classes.description}; the floor is that of the held-out images"


def compute_probabilities(evidence: Evidence) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Compute the class probabilities of the held-out and of the synthetic images."""
    assert evidence.classes is not None, "checked by `needs`"
    return evidence.classes.compute_probabilities(evidence.test), evidence.classes.compute_probabilities(evidence.fake)


INCEPTION_SCORE = InceptionScoreMetric(
    name="inception score",
    better="higher",
    needs=("features", "classes"),
    compute=compute_inception_score,
    make_rows=compute_probabilities,
    definition="exp of the mean KL divergence from the mean (Salimans 2016)",
)
