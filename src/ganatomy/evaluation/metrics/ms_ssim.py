"""Multi-scale structural similarity (Wang 2003) in 2D and 3D, and its mean over pairs of a set (Odena 2017)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ganatomy.errors import Refused
from ganatomy.evaluation.evidence import Evidence
from ganatomy.evaluation.images.image_set import ImageSet
from ganatomy.evaluation.metrics.metric import Metric
from ganatomy.evaluation.statistics import Indices, Score, compute_jackknife_interval
from ganatomy.machine import progress

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest first
WINDOW, SIGMA = 11, 1.5
PAIR_LIMITS = (100, 500)  # least and largest number of pairs; in between, their voxels are bounded
PAIR_VOXELS = 2**26
MIN_INTERVAL_IMAGES = 9  # least number of images of a set for an interval
C1, C2 = 0.01**2, 0.03**2  # for values between 0 and 1


def count_scales(shape: tuple[int, ...]) -> int:
    """Count how many of the five scales fit: the window must lie within the image at each scale.

    Raises:
        Refused: the image is smaller than the window.
    """
    fitting = sum(min(shape) > (WINDOW - 1) * 2**scale for scale in range(len(WEIGHTS)))
    if not fitting:
        raise Refused(f"MS-SSIM needs images with at least {WINDOW} voxels per axis, not {shape}.")
    return fitting


def compute_ms_ssim(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Compute MS-SSIM of two images in [0, 1] of one shape; it is 1 for equal images.

    Images with less than 161 voxels along an axis have fewer scales, whose weights are divided by their sum. Values of
    different numbers of scales cannot be compared.

    Raises:
        Refused: the images have different shapes or are too small.
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
    """Draw pairs of different images without repetition."""
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
    """Compute the means of SSIM and of its contrast-structure part."""
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    contrast = (2 * covariance + C2) / (var_x + var_y + C2)
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return (luminance * contrast).double().mean(), contrast.double().mean()


def _blur(x: Tensor) -> Tensor:
    """Apply the Gaussian window along every axis, only where it lies within the image."""
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


@dataclass(frozen=True, kw_only=True)
class LikenessOfPairs(Metric):
    """Mean MS-SSIM of pairs of synthetic images; its floor is the value of the held-out images."""

    def measure(self, evidence: Evidence, seed: int) -> Score:
        assert evidence.test_images is not None, "checked by `needs`"
        assert evidence.fake_images is not None, "checked by `needs`"
        n, shape = len(evidence.test_images), evidence.test_images.shape
        if min(shape) < WINDOW:
            raise Refused(f"needs {WINDOW} voxels per axis; the images have {shape}")
        drawn = draw_pairs(n, int(np.clip(PAIR_VOXELS // np.prod(shape), *PAIR_LIMITS)), seed)
        fake = _compare_pairs(evidence.fake_images, drawn, "synthetic")
        test = _compare_pairs(evidence.test_images, drawn, "held-out")
        both = np.asarray(drawn)

        def compute_mean(_: Indices, kept: Indices) -> float:
            return float(fake[np.isin(both, kept).all(1)].mean())

        low = high = None
        if n >= MIN_INTERVAL_IMAGES:
            low, high = compute_jackknife_interval(compute_mean, ["all"], [str(i) for i in range(n)])
        words = f"{len(drawn)} pairs, {count_scales(shape)} of {self.definition}"
        floor = float(test.mean())
        return self.make_score(evidence, float(fake.mean()), floor=floor, low=low, high=high, definition=words)


def _compare_pairs(images: ImageSet, pairs: list[tuple[int, int]], what: str) -> NDArray[np.float64]:
    found = []
    with progress.bar(f"pairs of {what}", len(pairs)) as bar:
        for i, j in pairs:
            found.append(compute_ms_ssim(*((images[k] + 1) / np.float32(2) for k in (i, j))))
            bar.advance()
    return np.asarray(found)


LIKENESS_OF_PAIRS = LikenessOfPairs(
    name="MS-SSIM of pairs",
    better="reals",
    needs=("images",),
    definition="5 scales (Wang 2003; Odena 2017); a value above that of the held-out images means less variety",
)
