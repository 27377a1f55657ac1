"""Radial power spectrum of regions, and the exponent beta of P ~ 1 / f^beta (Burgess 1999; Heine 2002).

A region has its mean subtracted and a Hann window laid over it: without one, the jump between opposite borders adds a
spectrum of its own (a field of exponent 3.5 reads 3.0).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MAX_REGION_SIZE = {2: 256, 3: 64}  # voxels an axis of a region
MAX_REGIONS = 4  # an image
FIT_BAND = (3.0, 0.35)  # of the fit: from so many cycles a region to so many cycles a voxel


def compute_region_size(shape: Sequence[int]) -> int:
    """The largest power of two that is at most half of every axis, and at most 256 (2D) or 64 (3D)."""
    return min(MAX_REGION_SIZE[len(shape)], 2 ** int(np.log2(min(shape) // 2)))


def find_regions(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> list[NDArray[np.float32]]:
    """Up to four cubes or squares inside a mask, the best filled first, none over another one.

    Empty where no region is filled to 95 %.
    """
    size = compute_region_size(image.shape)
    filled = ndimage.uniform_filter(mask.astype(np.float32), size, mode="constant")
    inside = tuple(slice(size // 2, n - size // 2 + 1) for n in image.shape)
    free = np.zeros_like(filled)
    free[inside] = filled[inside]
    found = []
    for _ in range(MAX_REGIONS):
        centre = np.unravel_index(free.argmax(), free.shape)
        if free[centre] < 0.95:
            break
        found.append(image[tuple(slice(c - size // 2, c + size // 2) for c in centre)])
        free[tuple(slice(max(0, c - size + 1), c + size) for c in centre)] = 0
    return found


def apply_hann_window(region: NDArray[np.floating]) -> NDArray[np.float64]:
    """Less its mean, times a Hann window along every axis."""
    values = np.asarray(region, dtype=np.float64)
    values = values - values.mean()
    for axis, n in enumerate(values.shape):
        values = values * np.hanning(n + 1)[:-1].reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    return values


def compute_radial_power(region: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequency in cycles a voxel and mean power of each ring, from one cycle a region to half a cycle a voxel."""
    values = apply_hann_window(region)
    power = np.abs(np.fft.fftn(values)) ** 2
    frequencies = np.sqrt(sum(f**2 for f in np.meshgrid(*(np.fft.fftfreq(n) for n in values.shape), indexing="ij")))
    size = min(values.shape)
    rings = np.rint(frequencies * size).astype(int).ravel()
    counts, sums, places = (np.bincount(rings, weights, size) for weights in (None, power.ravel(), frequencies.ravel()))
    kept = slice(1, size // 2)
    return places[kept] / counts[kept], sums[kept] / counts[kept]


def fit_exponent(frequencies: NDArray[np.float64], power: NDArray[np.float64], size: int) -> float:
    """The exponent: minus the slope of log power over log frequency within the band; nan for a constant region."""
    band = (frequencies >= FIT_BAND[0] / size) & (frequencies <= FIT_BAND[1]) & (power > 0)
    if band.sum() < 3:
        return float("nan")
    return float(-np.polyfit(np.log(frequencies[band]), np.log(power[band]), 1)[0])


def measure_spectrum(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float] | None:
    """Mean spectrum over the regions of an image and the exponent; None where no region fits into the mask."""
    found = find_regions(image, mask)
    if not found:
        return None
    spectra = [compute_radial_power(region) for region in found]
    power = np.mean([p for _, p in spectra], axis=0)
    return power, fit_exponent(spectra[0][0], power, compute_region_size(image.shape))
