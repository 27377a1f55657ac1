"""Enlarging by two and shrinking by cells, for one to three dimensions, in the precision of the input."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ganatomy.nn.precision import disable_autocast

F_AVG_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
LINEAR_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def upsample_nearest(x: Tensor) -> Tensor:
    """up(x)[i] = x[⌊i/2⌋] along every axis: (batch, channel, *space) -> (batch, channel, *twice the space)."""
    with disable_autocast(x):
        return F.interpolate(x, scale_factor=2, mode="nearest")


def upsample_linear(x: Tensor) -> Tensor:
    """Enlarge x 2, linearly between voxel centres: (batch, channel, *space) -> (batch, channel, *twice the space)."""
    with disable_autocast(x):
        return F.interpolate(x, scale_factor=2, mode=LINEAR_MODES[x.ndim - 2], align_corners=False)


def downsample_mean(x: Tensor, factor: int = 2) -> Tensor:
    """down(x) = mean over cells of `factor` voxels per axis: (batch, channel, *space) -> (..., *space / factor)."""
    with disable_autocast(x):
        if x.ndim == 5 and (
            torch.are_deterministic_algorithms_enabled()  # the derivative of PyTorch's kernel adds in no fixed order
            or (x.device.type == "cpu" and x.dtype != torch.float32)  # PyTorch's CPU kernel takes float32 only
        ):
            return _average_cells(x, factor)
        return F_AVG_POOL[x.ndim - 2](x, factor)


def _average_cells(x: Tensor, factor: int) -> Tensor:
    cells = x.unflatten(4, (-1, factor)).unflatten(3, (-1, factor)).unflatten(2, (-1, factor))
    return cells.mean((3, 5, 7))
