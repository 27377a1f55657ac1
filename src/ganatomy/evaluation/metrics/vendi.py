"""Vendi score: the effective number of different images in a set (Friedman 2023, definition 3.1), cosine similarity."""

import numpy as np
from scipy.special import entr

from ganatomy.evaluation.evidence import Evidence
from ganatomy.evaluation.metrics.frechet import FeatureArray
from ganatomy.evaluation.metrics.metric import SetMetric


def compute_vendi_score(features: FeatureArray) -> float:
    """Compute exp of the entropy of the similarity's spectrum, between 1 (all equal) and the number of images.

    Features are not centred. If they have a large constant part in common, the caller has to subtract the mean of real
    images.
    """
    rows = np.asarray(features, dtype=np.float64)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    shares = np.linalg.svd(rows / np.sqrt(len(rows)), compute_uv=False) ** 2
    return float(np.exp(entr(shares).sum()))


def centre_features(evidence: Evidence) -> tuple[FeatureArray, FeatureArray]:
    """Subtract the mean of training images from held-out and synthetic features, without floor images if possible."""
    centre = (evidence.other_train if len(evidence.other_train) else evidence.floor).mean(0)
    return evidence.test - centre, evidence.fake - centre


VENDI_SCORE = SetMetric(
    name="Vendi score",
    better="reals",
    compute=compute_vendi_score,
    make_rows=centre_features,
    definition="exp of the entropy of the spectrum of cosine similarity (Friedman 2023), features less the training"
    " mean; the floor is that of the held-out images",
)
