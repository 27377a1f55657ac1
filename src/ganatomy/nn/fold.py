"""A convolution with a 3-tap kernel next to a resampling by two, folded into one strided convolution.

    nearest x 2, then conv3   =  transposed convolution, kernel 4, stride 2, padding 1
    conv3, then mean over 2   =  convolution,            kernel 4, stride 2, padding 1

The parameters are the same, and the function is the same up to rounding. When enlarging, an output pixel takes 4
instead of 9 products in 2D (8 instead of 27 in 3D), and the enlarged tensor is never stored. The official progressive
GAN code folds in 2D (`upscale2d_conv2d`). Folding requires that there is no other operation between the convolution and
the resampling. `make_fold_matrix` makes the matrices from UP_TAPS, PHASE_TAPS and DOWN_TAPS.
"""

from functools import reduce

import numpy as np
import torch
from torch import Tensor

from ganatomy.nn.precision import disable_autocast

Taps = tuple[tuple[float, ...], ...]

# Row k of UP marks the taps of the three that are added at offset k of the transposed kernel; DOWN likewise, halved.
UP_TAPS = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0))
PHASE_TAPS = (
    (1.0, 0.0, 0.0),
    (0.0, 1.0, 1.0),
    (1.0, 1.0, 0.0),
    (0.0, 0.0, 1.0),
)  # two taps of phase 0, then of phase 1
DOWN_TAPS = ((0.5, 0.0, 0.0), (0.5, 0.5, 0.0), (0.0, 0.5, 0.5), (0.0, 0.0, 0.5))


def fold_up(weight: Tensor, matrix: Tensor) -> Tensor:
    """v = w ⊗ UP: w (out, in, 3, ...) of a convolution after nearest x 2 -> transposed kernel v (in, out, 4, ...)."""
    return _fold(weight, matrix).transpose(0, 1)


def fold_down(weight: Tensor, matrix: Tensor) -> Tensor:
    """v = w ⊗ DOWN: w (out, in, 3, ...) of a convolution before a mean over 2 -> strided kernel v (out, in, 4, ...)."""
    return _fold(weight, matrix)


def fold_phases(weight: Tensor, matrix: Tensor) -> Tensor:
    """v_p = w ⊗ PHASE_p: w (out, in, 3, ...) of a convolution after nearest x 2 -> v (2^n · out, in, 2, ...).

    There is one kernel for each of the 2^n parities p of an output voxel. Output voxel 2i + p of an axis depends on two
    inputs only: on i - 1 and i for p = 0, on i and i + 1 for p = 1.
    """
    ndim = weight.ndim - 2
    folded = _fold(weight, matrix).unflatten(2, (2, 2))
    for axis in range(1, ndim):
        folded = folded.unflatten(2 + 2 * axis, (2, 2))
    phases, taps = range(2, 2 + 2 * ndim, 2), range(3, 3 + 2 * ndim, 2)
    return folded.permute(*phases, 0, 1, *taps).flatten(0, ndim)


def make_fold_matrix(taps: Taps, ndim: int) -> Tensor:
    """Make the matrix that folds a kernel of `ndim` axes: (taps ⊗ ... ⊗ taps)ᵀ, (3^ndim, rows^ndim) in float32.

    A layer keeps it as a buffer, because a matrix made in every pass would be copied to the GPU in every pass.
    """
    return torch.tensor(reduce(np.kron, [np.array(taps, dtype=np.float32)] * ndim).T.copy())


def _fold(weight: Tensor, matrix: Tensor) -> Tensor:
    """Fold all axes of a kernel with one matrix product: (out, in, 3, ...) -> (out, in, rows, ...)."""
    ndim = weight.ndim - 2
    size = round(matrix.shape[1] ** (1 / ndim))
    with disable_autocast(weight):  # fold in full precision, then cast
        return (weight.flatten(2) @ matrix).view(*weight.shape[:2], *[size] * ndim)
