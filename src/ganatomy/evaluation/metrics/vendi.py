"""Vendi score: the effective number of different images in a set (Friedman 2023, definition 3.1), cosine similarity."""

import numpy as np
from scipy.special import entr

from ganatomy.evaluation.evidence import Evidence
from ganatomy.evaluation.metrics.frechet import FeatureArray
from ganatomy.evaluation.metrics.metric import SetMetric


def compute_vendi_score(features: FeatureArray) -> float:
    """Between 1 (all alike) and the number of images (all orthogonal): exp of the entropy of the similarity's spectrum.

    Features are centred on nothing: subtract the mean of the reals first where features share a large constant part.
    """
    rows = np.asarray(features, dtype=np.float64)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    shares = np.linalg.svd(rows / np.sqrt(len(rows)), compute_uv=False) ** 2
    return float(np.exp(entr(shares).sum()))


def centre_features(evidence: Evidence) -> tuple[FeatureArray, FeatureArray]:
    """Held-out and synthetic features less the mean of training images, those of other patients where there are any."""
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
