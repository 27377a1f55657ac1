"""Random fields with a power-law spectrum, and their resampling."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy import fft

Field = NDArray[np.floating[Any]]  # float32 throughout


def draw_power_law_field(rng: np.random.Generator, shape: tuple[int, ...], beta: float, low: float = 1.0) -> Field:
    """Draw a Gaussian random field of zero mean and unit variance whose power falls as 1 / f^beta.

    Args:
        shape: pixels or voxels per axis; frequencies are counted in cycles along the longest one.
        beta: exponent of the power spectrum; that of mammographic parenchyma is 2 to 3 (Burgess 2003).
        low: the spectrum is flat below this number of cycles.
    """
    longest = max(shape)
    axes = [fft.fftfreq(n, 1 / longest) for n in shape[:-1]] + [fft.rfftfreq(shape[-1], 1 / longest)]
    squared = sum(axis.reshape(-1, *[1] * (len(shape) - 1 - i)).astype(np.float32) ** 2 for i, axis in enumerate(axes))
    amplitude = np.maximum(squared, np.float32(low**2)) ** np.float32(-beta / 4)
    noise = rng.standard_normal((2, *amplitude.shape), dtype=np.float32)
    spectrum = (noise[0] + 1j * noise[1]) * amplitude
    spectrum.flat[0] = 0
    field = fft.irfftn(spectrum, s=shape)
    return ((field - field.mean()) / field.std()).astype(np.float32)


def draw_band_field(rng: np.random.Generator, shape: tuple[int, ...], cycles: float, width: float) -> Field:
    """Draw a Gaussian random field of zero mean and unit variance with about `cycles` waves along the longest axis.

    Args:
        width: width of the band, in natural logarithms of the frequency.
    """
    longest = max(shape)
    axes = [fft.fftfreq(n, 1 / longest) for n in shape[:-1]] + [fft.rfftfreq(shape[-1], 1 / longest)]
    squared = sum(axis.reshape(-1, *[1] * (len(shape) - 1 - i)).astype(np.float32) ** 2 for i, axis in enumerate(axes))
    away = np.log(np.maximum(squared, 1e-6)) / 2 - np.log(cycles)
    amplitude = np.exp(-((away / width) ** 2) / 2) / np.maximum(squared, 1e-6) ** ((len(shape) - 1) / 4)
    noise = rng.standard_normal((2, *amplitude.shape), dtype=np.float32)
    spectrum = (noise[0] + 1j * noise[1]) * amplitude.astype(np.float32)
    spectrum.flat[0] = 0
    field = fft.irfftn(spectrum, s=shape)
    return ((field - field.mean()) / field.std()).astype(np.float32)


def resize_field(field: Field, shape: tuple[int, ...]) -> Field:
    """Resample a 2D field to (rows, columns) by cubic interpolation."""
    picture = Pillow.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    return np.asarray(picture.resize((shape[1], shape[0]), Pillow.Resampling.BICUBIC))


def sample_field(field: Field, rows: Field, columns: Field) -> Field:
    """Sample a 2D field at fractional, periodic positions by bilinear interpolation."""
    height, width = field.shape
    r0, c0 = np.floor(rows).astype(np.int32), np.floor(columns).astype(np.int32)
    fr, fc = rows - r0, columns - c0
    r0, c0 = r0 % height, c0 % width
    r1, c1 = (r0 + 1) % height, (c0 + 1) % width
    top = field[r0, c0] * (1 - fc) + field[r0, c1] * fc
    bottom = field[r1, c0] * (1 - fc) + field[r1, c1] * fc
    mixed: Field = (top * (1 - fr) + bottom * fr).astype(np.float32)
    return mixed
