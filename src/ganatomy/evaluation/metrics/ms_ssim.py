"""Multi-scale structural similarity (Wang 2003) in 2D and 3D; of pairs of a set: how alike they are (Odena 2017)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ganatomy.errors import Refused

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest first
WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2  # for values between 0 and 1


def count_scales(shape: tuple[int, ...]) -> int:
    """How many of the five scales fit: the window has to lie within the image at each.

    Raises:
        Refused: an image smaller than the window.
    """
    fitting = sum(min(shape) > (WINDOW - 1) * 2**scale for scale in range(len(WEIGHTS)))
    if not fitting:
        raise Refused(f"MS-SSIM needs images of more than {WINDOW - 1} an axis, not {shape}.")
    return fitting


def compute_ms_ssim(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Of two images in [0, 1] of one shape: 1 for equal ones.

    Images with less than 161 an axis have fewer scales, their weights divided by their sum; values of different numbers
    of scales cannot be compared.

    Raises:
        Refused: different shapes, or too small.
    """
    if a.shape != b.shape:
        raise Refused(f"MS-SSIM compares images of one shape, not {a.shape} and {b.shape}.")
    count = count_scales(a.shape)
    weights = torch.tensor(WEIGHTS[:count], dtype=torch.float64)
    x, y = (torch.from_numpy(np.ascontiguousarray(i, dtype=np.float32))[None, None] for i in (a, b))
    found = []
    for scale in range(count):
        luminance, contrast = _compute_ssim_parts(x, y)
        found.append(contrast if scale < count - 1 else luminance)
        x, y = _halve(x), _halve(y)
    kept = torch.stack(found).clamp_min(0)
    return float((kept ** (weights / weights.sum())).prod())


def draw_pairs(n: int, max_pairs: int, seed: int = 0) -> list[tuple[int, int]]:
    """Pairs of different images, drawn without repetition."""
    every = [(i, j) for i in range(n) for j in range(i)] if n * (n - 1) // 2 <= 4 * max_pairs else None
    rng = np.random.default_rng(seed)
    if every is not None:
        chosen = rng.choice(len(every), min(max_pairs, len(every)), replace=False)
        return [every[i] for i in sorted(chosen)]
    drawn: set[tuple[int, int]] = set()
    while len(drawn) < max_pairs:
        i, j = sorted(rng.choice(n, 2, replace=False).tolist(), reverse=True)
        drawn.add((i, j))
    return sorted(drawn)


def _compute_ssim_parts(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Means of SSIM and of its contrast-structure part."""
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    contrast = (2 * covariance + C2) / (var_x + var_y + C2)
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return (luminance * contrast).double().mean(), contrast.double().mean()


def _blur(x: Tensor) -> Tensor:
    """Gaussian window along every axis, only where it lies within the image."""
    places = torch.arange(WINDOW, dtype=torch.float32) - WINDOW // 2
    taps = torch.exp(-(places**2) / (2 * SIGMA**2))
    taps = (taps / taps.sum()).view(1, 1, -1)
    for axis in range(2, x.ndim):
        lines = x.movedim(axis, -1)
        done = F.conv1d(lines.reshape(-1, 1, lines.shape[-1]), taps)
        x = done.view(*lines.shape[:-1], -1).movedim(-1, axis)
    return x


def _halve(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2) if x.ndim == 4 else F.avg_pool3d(x, 2)
