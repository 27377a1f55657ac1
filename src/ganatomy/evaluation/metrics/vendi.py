"""Vendi score: the effective number of different images in a set (Friedman 2023, definition 3.1), cosine similarity."""

import numpy as np
from scipy.special import entr

from ganatomy.evaluation.metrics.frechet import FeatureArray


def compute_vendi_score(features: FeatureArray) -> float:
    """Between 1 (all alike) and the number of images (all orthogonal): exp of the entropy of the similarity's spectrum.

    Features are centred on nothing: subtract the mean of the reals first where features share a large constant part.
    """
    rows = np.asarray(features, dtype=np.float64)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    shares = np.linalg.svd(rows / np.sqrt(len(rows)), compute_uv=False) ** 2
    return float(np.exp(entr(shares).sum()))
