"""Projection of real and synthetic images to a plane, for illustration."""

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from ganatomy.evaluation.extractors.extractor import FeatureRows

CONFIDENCE = 0.95
MIN_UMAP_POINTS = 30  # least number of points, since a neighbourhood has 15

Plane = NDArray[np.float64]  # (images, 2)


@dataclass(frozen=True)
class Ellipse:
    """The ellipse that contains 95 % of a Gaussian with the points' mean and covariance (chi-square, two degrees).

    Args:
        centre: (2,).
        axes: (2, 2), one half-axis per column.
    """

    centre: Plane
    axes: Plane

    def outline(self, points: int = 120) -> Plane:
        angle = np.linspace(0, 2 * np.pi, points)
        return self.centre + np.stack([np.cos(angle), np.sin(angle)], 1) @ self.axes.T

    def compute_share_inside(self, points: Plane) -> float:
        """Compute the share of points within the ellipse."""
        back = np.linalg.lstsq(self.axes, (points - self.centre).T, rcond=None)[0]
        return float(((back**2).sum(0) <= 1).mean())


def fit_ellipse(points: Plane) -> Ellipse:
    """Fit the ellipse of at least three points."""
    values, vectors = np.linalg.eigh(np.cov(points.T))
    radius = np.sqrt(np.maximum(values, 1e-12) * scipy.stats.chi2.ppf(CONFIDENCE, 2))
    return Ellipse(points.mean(0), vectors * radius)


def compute_classical_mds(rows: FeatureRows) -> Plane:
    """Project to a plane by classical multidimensional scaling (Torgerson): the first two principal axes."""
    centred = np.asarray(rows, dtype=np.float64) - rows.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    plane = u[:, :2] * s[:2]
    largest = plane[np.abs(plane).argmax(0), [0, 1]]
    return plane * np.where(largest < 0, -1, 1)


def find_obstacle_to_umap(points: int) -> str | None:
    """Say what `compute_umap` would need for so many points; None if it can be computed."""
    if points < MIN_UMAP_POINTS:
        return f"needs {MIN_UMAP_POINTS} images; there are {points}"
    if find_spec("umap") is None:
        return "needs the package umap-learn; install it with: pip install 'ganatomy[umap]'"
    return None


def compute_umap(rows: FeatureRows, seed: int = 0) -> Plane:
    """Project to a plane by UMAP with the library's defaults and a seed; see `find_obstacle_to_umap`."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about TensorFlow, and about the single thread that a seed requires
        from umap import UMAP  # its compiler takes seconds to load

        return np.asarray(UMAP(random_state=seed, n_jobs=1).fit_transform(rows), dtype=np.float64)
