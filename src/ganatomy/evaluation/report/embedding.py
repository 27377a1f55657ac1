"""Projection of real and synthetic images to a plane, for illustration."""

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from ganatomy.evaluation.extractors.extractor import FeatureRows

CONFIDENCE = 0.95
MIN_UMAP_POINTS = 30  # points; below, neighbourhoods of 15 are no neighbourhoods

Plane = NDArray[np.float64]  # (images, 2)


@dataclass(frozen=True)
class Ellipse:
    """Where 95 % of a Gaussian with the points' mean and covariance lies (chi-square with two degrees of freedom).

    Args:
        centre: (2,).
        axes: (2, 2), a half-axis a column.
    """

    centre: Plane
    axes: Plane

    def outline(self, points: int = 120) -> Plane:
        angle = np.linspace(0, 2 * np.pi, points)
        return self.centre + np.stack([np.cos(angle), np.sin(angle)], 1) @ self.axes.T

    def compute_share_inside(self, points: Plane) -> float:
        """Share of points within."""
        back = np.linalg.lstsq(self.axes, (points - self.centre).T, rcond=None)[0]
        return float(((back**2).sum(0) <= 1).mean())


def fit_ellipse(points: Plane) -> Ellipse:
    """Of three points or more."""
    values, vectors = np.linalg.eigh(np.cov(points.T))
    radius = np.sqrt(np.maximum(values, 1e-12) * scipy.stats.chi2.ppf(CONFIDENCE, 2))
    return Ellipse(points.mean(0), vectors * radius)


def compute_classical_mds(rows: FeatureRows) -> Plane:
    """Torgerson's scaling of Euclidean distances to a plane: the first two principal axes, the same for any seed."""
    centred = np.asarray(rows, dtype=np.float64) - rows.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    plane = u[:, :2] * s[:2]
    largest = plane[np.abs(plane).argmax(0), [0, 1]]
    return plane * np.where(largest < 0, -1, 1)


def find_obstacle_to_umap(points: int) -> str | None:
    """What `compute_umap` would need for so many points; None if it can be computed."""
    if points < MIN_UMAP_POINTS:
        return f"needs {MIN_UMAP_POINTS} images; there are {points}"
    if find_spec("umap") is None:
        return "needs the package umap-learn; install it with: pip install 'ganatomy[umap]'"
    return None


def compute_umap(rows: FeatureRows, seed: int = 0) -> Plane:
    """Uniform manifold approximation with the library's defaults and a seed; see `find_obstacle_to_umap`."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorFlow, and that a seed means one thread, which is what is wanted
        from umap import UMAP  # its compiler takes seconds to load

        return np.asarray(UMAP(random_state=seed, n_jobs=1).fit_transform(rows), dtype=np.float64)
