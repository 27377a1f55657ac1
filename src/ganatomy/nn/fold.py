"""A 3-tap convolution beside a factor-two resampling, folded into one strided convolution.

    nearest x 2, then conv3   =  transposed convolution, kernel 4, stride 2, padding 1
    conv3, then mean over 2   =  convolution,            kernel 4, stride 2, padding 1

The same parameters and the same function to rounding, for 4 instead of 9 products an output pixel going up in 2D (8
instead of 27 in 3D), and the enlarged tensor is never stored. NVIDIA's progressive GAN code folded in 2D (its
`upscale2d_conv2d`). Exact only where nothing stands between the convolution and the resampling.
"""

import torch
from torch import Tensor

# Row k of UP says which of the three taps meet at offset k of the transposed kernel; DOWN likewise, halved.
UP = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0))
DOWN = ((0.5, 0.0, 0.0), (0.5, 0.5, 0.0), (0.0, 0.5, 0.5), (0.0, 0.0, 0.5))


def fold_up(weight: Tensor) -> Tensor:
    """Weight (out, in, 3, ...) of a convolution after nearest x 2 -> (in, out, 4, ...) of the transposed one."""
    return _fold(weight, UP).transpose(0, 1)


def fold_down(weight: Tensor) -> Tensor:
    """Weight (out, in, 3, ...) of a convolution before a mean over 2 -> (out, in, 4, ...) of the strided one."""
    return _fold(weight, DOWN)


def _fold(weight: Tensor, rows: tuple[tuple[float, ...], ...]) -> Tensor:
    matrix = torch.tensor(rows, dtype=weight.dtype, device=weight.device)
    device = weight.device.type if weight.device.type != "meta" else "cpu"
    with torch.autocast(device, enabled=False):  # fold in full precision, then cast
        for axis in range(2, weight.ndim):
            weight = torch.tensordot(weight, matrix, dims=([axis], [1])).movedim(-1, axis)
    return weight
