"""Anti-aliased resampling of volumes, one axis after another."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from ganatomy.pyramid import Shape


def resample_volume(volume: NDArray[Any], shape: Shape) -> NDArray[np.float32]:
    """Resample a volume to `shape` over the same extent, in float32: Hamming window down, linear up."""
    voxels = np.asarray(volume, dtype=np.float32)
    for axis in sorted(range(voxels.ndim), key=lambda a: shape[a] / voxels.shape[a]):  # what shrinks goes first
        voxels = _resample_axis(voxels, axis, shape[axis])
    return voxels


def _resample_axis(voxels: NDArray[np.float32], axis: int, n: int) -> NDArray[np.float32]:
    before, now = voxels.shape[:axis], voxels.shape[axis]
    if now == n:
        return voxels
    method = Pillow.Resampling.HAMMING if n < now else Pillow.Resampling.BILINEAR
    rest = int(np.prod(voxels.shape[axis + 1 :], dtype=int))
    if rest == 1:  # the last axis: all lines are rows of one picture
        picture = Pillow.fromarray(np.ascontiguousarray(voxels.reshape(-1, now)))
        return np.asarray(picture.resize((n, picture.height), method)).reshape(*before, n)
    sheets = np.ascontiguousarray(voxels).reshape(-1, now, rest)
    done = [np.asarray(Pillow.fromarray(sheet).resize((rest, n), method)) for sheet in sheets]
    return np.stack(done).reshape(*before, n, *voxels.shape[axis + 1 :])
