"""Artefacts of generators that are easily visible: a grid in the texture, and brightness at borders and corners.

    grid texture = P_axis / P_diagonal,  mean power of a Hann-windowed region between 0.3 and 0.5 cycles per voxel,
    along the axes (one component of the frequency has 98 % of its length) and between them (none has 80 %)

Upsampling leaves a pattern along the axes (Odena 2016; Durall 2020). The ratio is about 1 for real images and larger
for images with a grid.
"""

import numpy as np
from numpy.typing import NDArray

from ganatomy.evaluation.metrics.spectrum import apply_hann_window

GRID_BAND = (0.3, 0.5)  # cycles per voxel
ALONG, BETWEEN = 0.98, 0.8  # share of a frequency's length that lies along one axis
BORDER = 16  # a border is a sixteenth of an axis, a corner as much of every axis

Pixels = NDArray[np.float32]


def measure_artefacts(image: Pixels) -> dict[str, float]:
    """Measure one image in [-1, 1]: grid texture, and levels of the corners and of each border in % of full scale."""
    levels = {"corner level (%)": _get_percent(np.concatenate([one.ravel() for one in _cut_corners(image)]))}
    for axis in range(image.ndim):
        width = max(1, image.shape[axis] // BORDER)
        for end, places in (("first", slice(0, width)), ("last", slice(-width, None))):
            border = image[(slice(None),) * axis + (places,)]
            levels[f"{end} {width} of axis {axis}, level (%)"] = _get_percent(border)
    return {"grid texture": compute_grid_texture(image), **levels}


def compute_grid_texture(image: Pixels) -> float:
    """Compute power along the axes divided by power between them at high frequencies; nan if there is no power."""
    power = np.abs(np.fft.fftn(apply_hann_window(image))) ** 2
    axes = np.abs(np.stack(np.meshgrid(*(np.fft.fftfreq(n) for n in image.shape), indexing="ij")))
    length = np.sqrt((axes**2).sum(0))
    share = axes.max(0) / np.maximum(length, 1e-12)
    band = (length >= GRID_BAND[0]) & (length <= GRID_BAND[1])
    between = power[band & (share < BETWEEN)].mean()
    return float(power[band & (share > ALONG)].mean() / between) if between > 0 else float("nan")


def _cut_corners(image: Pixels) -> list[Pixels]:
    """Cut all corners, 4 of a 2D image and 8 of a volume."""
    ends = [(slice(0, max(1, n // BORDER)), slice(-max(1, n // BORDER), None)) for n in image.shape]
    return [image[tuple(ends[axis][(i >> axis) & 1] for axis in range(image.ndim))] for i in range(2**image.ndim)]


def _get_percent(values: Pixels) -> float:
    return 50 * (float(values.mean(dtype=np.float64)) + 1)
