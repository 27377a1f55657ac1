"""Enlarging by two and shrinking, for any number of dimensions."""

from torch import Tensor
from torch.nn import functional as F

F_AVG_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def upsample_nearest(x: Tensor) -> Tensor:
    """up(x)[i] = x[⌊i/2⌋] along every axis: (batch, channel, *space) -> (batch, channel, *twice the space)."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def downsample_mean(x: Tensor, factor: int = 2) -> Tensor:
    """down(x) = mean over cells of `factor` voxels an axis: (batch, channel, *space) -> (..., *space / factor)."""
    return F_AVG_POOL[x.ndim - 2](x, factor)
