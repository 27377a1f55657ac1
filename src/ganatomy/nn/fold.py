"""A convolution with a 3-tap kernel next to a resampling by two, folded into one strided convolution.

    nearest x 2, then conv3   =  transposed convolution, kernel 4, stride 2, padding 1
    conv3, then mean over 2   =  convolution,            kernel 4, stride 2, padding 1

The parameters and the function are the same, up to rounding. Going up, an output pixel takes 4 instead of 9 products in
2D (8 instead of 27 in 3D), and the enlarged tensor is never stored. NVIDIA's progressive GAN code folded in 2D (its
`upscale2d_conv2d`). The two are equal only where nothing stands between the convolution and the resampling.
"""

from functools import lru_cache, reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganatomy.nn.precision import disable_autocast

# Row k of UP says which of the three taps meet at offset k of the transposed kernel; DOWN likewise, halved.
UP_TAPS = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0))
PHASE_TAPS = (
    (1.0, 0.0, 0.0),
    (0.0, 1.0, 1.0),
    (1.0, 1.0, 0.0),
    (0.0, 0.0, 1.0),
)  # two taps of phase 0, then of phase 1
DOWN_TAPS = ((0.5, 0.0, 0.0), (0.5, 0.5, 0.0), (0.0, 0.5, 0.5), (0.0, 0.0, 0.5))


def fold_up(weight: Tensor) -> Tensor:
    """v = w ⊗ UP: w (out, in, 3, ...) of a convolution after nearest x 2 -> transposed kernel v (in, out, 4, ...)."""
    return _fold(weight, UP_TAPS).transpose(0, 1)


def fold_down(weight: Tensor) -> Tensor:
    """v = w ⊗ DOWN: w (out, in, 3, ...) of a convolution before a mean over 2 -> strided kernel v (out, in, 4, ...)."""
    return _fold(weight, DOWN_TAPS)


def fold_phases(weight: Tensor) -> Tensor:
    """v_p = w ⊗ PHASE_p: w (out, in, 3, ...) of a convolution after nearest x 2 -> v (2^n · out, in, 2, ...).

    There is one kernel for each of the 2^n parities p of an output voxel. Output voxel 2i + p of an axis depends on two
    inputs only: i - 1 and i for p = 0, i and i + 1 for p = 1.
    """
    ndim = weight.ndim - 2
    folded = _fold(weight, PHASE_TAPS).unflatten(2, (2, 2))
    for axis in range(1, ndim):
        folded = folded.unflatten(2 + 2 * axis, (2, 2))
    phases, taps = range(2, 2 + 2 * ndim, 2), range(3, 3 + 2 * ndim, 2)
    return folded.permute(*phases, 0, 1, *taps).flatten(0, ndim)


@lru_cache
def _make_fold_matrix(rows: tuple[tuple[float, ...], ...], ndim: int) -> NDArray[np.float32]:
    """The Kronecker power of the rows, transposed: (3^ndim, rows^ndim)."""
    return np.ascontiguousarray(reduce(np.kron, [np.array(rows, dtype=np.float32)] * ndim).T)


def _fold(weight: Tensor, rows: tuple[tuple[float, ...], ...]) -> Tensor:
    """All axes in one product with the Kronecker power of the rows: (out, in, 3, ...) -> (out, in, len(rows), ...)."""
    ndim = weight.ndim - 2
    matrix = torch.from_numpy(_make_fold_matrix(rows, ndim)).to(weight)
    with disable_autocast(weight):  # fold in full precision, then cast
        return (weight.flatten(2) @ matrix).view(*weight.shape[:2], *[len(rows)] * ndim)
