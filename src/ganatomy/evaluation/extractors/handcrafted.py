"""Sixteen interpretable features: quantiles, deviation, power in eight bands, edges, share of the foreground.

They are scaled by mean and standard deviation over a reference of real images. Features that are constant in the
reference cannot be scaled, because the smallest noise would make a distance infinite. They are excluded, and
`constant_names` lists them.
"""

import hashlib
from collections.abc import Iterable

import numpy as np

from ganatomy.evaluation.extractors.extractor import Extractor, FeatureRows, Pixels
from ganatomy.evaluation.metrics.spectrum import apply_hann_window

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BANDS = 8  # frequency bands of equal logarithmic width; octaves would be too few for small images
AIR_LEVEL = -0.98  # in [-1, 1]; brighter voxels are the foreground
FEATURE_NAMES = (
    *(f"quantile {q:g}" for q in QUANTILES),
    "deviation",
    *(f"power band {i}" for i in range(BANDS)),
    "edges",
    "foreground",
)
CONSTANT_SHARE = 1e-6  # a feature is constant if its deviation is below this share of the range of values, 2

VERSION = "1"


class Handcrafted(Extractor):
    """The interpretable features, scaled by a reference set.

    Args:
        reference: real images other than those that are compared.
    """

    name = "handcrafted"

    def __init__(self, reference: Iterable[Pixels]) -> None:
        rows = np.stack([compute_handcrafted(image) for image in reference])
        self._mean, self._deviation = rows.mean(0), rows.std(0)
        self._kept = self._deviation > CONSTANT_SHARE * 2
        told = np.concatenate([self._mean, self._deviation]).astype(np.float64).tobytes()
        self.digest = hashlib.sha256(VERSION.encode() + told).hexdigest()
        self.description = (
            f"{self._kept.sum()} interpretable features per image, scaled by {len(rows)} real images of other patients"
        )

    @property
    def constant_names(self) -> list[str]:
        """List the names of the features that are constant in the reference."""
        return [name for name, kept in zip(FEATURE_NAMES, self._kept, strict=True) if not kept]

    @property
    def names(self) -> list[str]:
        return [name for name, kept in zip(FEATURE_NAMES, self._kept, strict=True) if kept]

    def __call__(self, images: list[Pixels]) -> FeatureRows:
        rows = np.stack([compute_handcrafted(image) for image in images])
        return ((rows - self._mean) / np.where(self._kept, self._deviation, 1))[:, self._kept]

    def measure_departures(self, images: Iterable[Pixels]) -> dict[str, float]:
        """Measure, for each feature that is constant in the reference, the largest difference from it in images."""
        rows = np.stack([compute_handcrafted(image) for image in images])
        apart = np.abs(rows - self._mean).max(0)
        return {name: float(v) for name, v, kept in zip(FEATURE_NAMES, apart, self._kept, strict=True) if not kept}


def compute_handcrafted(image: Pixels) -> np.ndarray:
    """Compute the sixteen features of an image in [-1, 1]."""
    values = image.astype(np.float64)
    steps = np.sqrt(np.mean([np.mean(np.diff(values, axis=axis) ** 2) for axis in range(values.ndim)]))
    return np.array(
        [*np.quantile(values, QUANTILES), values.std(), *_bands(values), steps, (values > AIR_LEVEL).mean()],
        dtype=np.float64,
    )


def _bands(values: np.ndarray) -> np.ndarray:
    """Compute the logarithm of the power in frequency bands of the windowed image."""
    power = np.abs(np.fft.rfftn(apply_hann_window(values))) ** 2 / values.size
    axes = [np.fft.fftfreq(n) for n in values.shape[:-1]] + [np.fft.rfftfreq(values.shape[-1])]
    frequency = np.sqrt(sum(f**2 for f in np.meshgrid(*axes, indexing="ij")))
    edges = np.geomspace(1 / min(values.shape), 0.5, BANDS + 1)
    place = np.digitize(frequency.ravel(), edges) - 1
    inside = (place >= 0) & (place < BANDS)
    sums = np.bincount(place[inside], power.ravel()[inside], BANDS)
    counts = np.bincount(place[inside], minlength=BANDS)
    return np.log10(sums / np.maximum(counts, 1) + 1e-10)
