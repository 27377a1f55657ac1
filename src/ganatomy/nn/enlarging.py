"""Nearest x 2 followed by a 3-tap convolution, y = conv(up(x)), computed in one of three ways.

    fold       one transposed convolution with a 4-tap kernel, stride 2 (`nn.fold`)
    phases     one convolution with a 2-tap kernel for each parity of the output, then interleaved
    plain      as written: the enlarged tensor is stored and convolved

The results are equal up to rounding. Which way is fastest depends on the device, the size and the channels. The default
of each layer was measured on a CPU (docs/performance.md); a run may choose another way (`training.upsampling`).
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ganatomy.nn.convolution import F_CONV_TRANSPOSE, convolve_once
from ganatomy.nn.fold import PHASE_TAPS, UP_TAPS, fold_phases, fold_up, make_fold_matrix
from ganatomy.nn.resample import upsample_nearest

Way = Literal["fold", "phases", "plain"]
WAYS: tuple[Way, ...] = get_args(Way)


class EnlargingConvolution(nn.Module):
    """Base class of layers that compute y = conv(up(x)); `way` may be changed at any time.

    The matrices that fold a kernel are buffers, so that they are on the same device as the weights. They are not saved.

    Args:
        ndim: number of spatial axes.
        way: the way of computing unless the run chooses another.
        min_folded_size: the layer uses ``plain`` instead of ``fold`` if the longest axis of the input has fewer voxels.
    """

    up_matrix: Tensor
    phase_matrix: Tensor

    def __init__(self, ndim: int, way: Way, min_folded_size: int = 0) -> None:
        super().__init__()
        self.way = way
        self._min_folded_size = min_folded_size
        self.register_buffer("up_matrix", make_fold_matrix(UP_TAPS, ndim), persistent=False)
        self.register_buffer("phase_matrix", make_fold_matrix(PHASE_TAPS, ndim), persistent=False)

    def convolve_enlarged(self, x: Tensor, weight: Tensor, bias: Tensor | None, drop: int = 0) -> Tensor:
        """Return conv(up(x)) without `drop` planes at both ends of the first axis, which are not computed if possible.

        x is (batch, in, *space), the weight (out, in, 3, ...), the result (batch, out, *twice the space).
        """
        ndim = x.ndim - 2
        if self.way == "phases":
            if drop == 2:
                return _convolve_phases(x, fold_phases(weight, self.phase_matrix), bias, inside=True)
            return _trim_planes(_convolve_phases(x, fold_phases(weight, self.phase_matrix), bias), drop)
        if self.way == "plain" or max(x.shape[2:]) < self._min_folded_size:
            return _trim_planes(convolve_once(upsample_nearest(x), weight, bias, padding=1), drop)
        inside = min(drop, 1)  # with a padding of 3, trainings in float32 diverged on a CPU, and one trial crashed
        padding = (1 + inside, *[1] * (ndim - 1))
        y = F_CONV_TRANSPOSE[ndim](x, fold_up(weight, self.up_matrix), bias, stride=2, padding=padding)
        return _trim_planes(y, drop - inside)


def _trim_planes(x: Tensor, drop: int) -> Tensor:
    """Return x without `drop` planes at both ends of the first axis."""
    return x[:, :, drop : x.shape[2] - drop]


def _convolve_phases(x: Tensor, weight: Tensor, bias: Tensor | None, inside: bool = False) -> Tensor:
    """y[2i + p] = (v_p * x)[i]: one convolution computes all parities p, which are then interleaved.

    `inside` leaves out two planes at both ends of the first axis.
    """
    ndim = x.ndim - 2
    n_out = len(weight) // 2**ndim
    biases = None if bias is None else bias.repeat(2**ndim)
    every = convolve_once(x, weight, biases, padding=(int(not inside), *[1] * (ndim - 1)))
    every = every.unflatten(1, (*[2] * ndim, n_out))  # (batch, *phase, out, *space + 1)
    for axis in range(ndim):  # the first remaining phase axis is always axis 1
        place = every.ndim - ndim + axis
        n = every.shape[place] - 1
        pair = [every.select(1, p).narrow(place - 1, p, n) for p in (0, 1)]
        every = torch.stack(pair, place).flatten(place - 1, place)
    return every
