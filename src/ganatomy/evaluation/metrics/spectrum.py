"""Radial power spectrum of regions, and the exponent beta of P ~ 1 / f^beta (Burgess 1999; Heine 2002).

The mean of a region is subtracted and a Hann window is applied. Without a window, the step between opposite borders
changes the spectrum (for a field with exponent 3.5, the result is 3.0).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MAX_REGION_SIZE = {2: 256, 3: 64}  # voxels per axis of a region
MAX_REGIONS = 4  # regions per image
FIT_BAND = (3.0, 0.35)  # band of the fit: lower end in cycles per region, upper end in cycles per voxel


def compute_region_size(shape: Sequence[int]) -> int:
    """Return the largest power of two that is at most half of every axis, and at most 256 (2D) or 64 (3D)."""
    return min(MAX_REGION_SIZE[len(shape)], 2 ** int(np.log2(min(shape) // 2)))


def find_regions(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> list[NDArray[np.float32]]:
    """Find up to four squares or cubes within a mask without overlap, those with the largest filled share first.

    The result is empty if no region is filled to at least 95 %.
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
    """Subtract the mean and multiply by a Hann window along every axis."""
    values = np.asarray(region, dtype=np.float64)
    values = values - values.mean()
    for axis, n in enumerate(values.shape):
        values = values * np.hanning(n + 1)[:-1].reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    return values


def compute_radial_power(region: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the mean power of each ring of frequencies, from one cycle per region to half a cycle per voxel.

    Returns:
        The frequencies in cycles per voxel, and the power.
    """
    values = apply_hann_window(region)
    power = np.abs(np.fft.fftn(values)) ** 2
    frequencies = np.sqrt(sum(f**2 for f in np.meshgrid(*(np.fft.fftfreq(n) for n in values.shape), indexing="ij")))
    size = min(values.shape)
    rings = np.rint(frequencies * size).astype(int).ravel()
    counts, sums, places = (np.bincount(rings, weights, size) for weights in (None, power.ravel(), frequencies.ravel()))
    kept = slice(1, size // 2)
    return places[kept] / counts[kept], sums[kept] / counts[kept]


def fit_exponent(frequencies: NDArray[np.float64], power: NDArray[np.float64], size: int) -> float:
    """Fit the exponent, minus the slope of log power over log frequency within the band; nan for a constant region."""
    band = (frequencies >= FIT_BAND[0] / size) & (frequencies <= FIT_BAND[1]) & (power > 0)
    if band.sum() < 3:
        return float("nan")
    return float(-np.polyfit(np.log(frequencies[band]), np.log(power[band]), 1)[0])


def measure_spectrum(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float] | None:
    """Measure the mean spectrum over the regions of an image, and the exponent; None if no region fits the mask."""
    found = find_regions(image, mask)
    if not found:
        return None
    spectra = [compute_radial_power(region) for region in found]
    power = np.mean([p for _, p in spectra], axis=0)
    return power, fit_exponent(spectra[0][0], power, compute_region_size(image.shape))
