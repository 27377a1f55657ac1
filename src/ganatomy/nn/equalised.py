"""Layers with an equalised learning rate: y = (gain / √fan_in) w x + b   (Karras 2018, section 4.1).

The weights w are drawn from N(0, 1) and scaled at run time, so that Adam moves every layer at the same relative speed.
Biases start at zero.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganatomy.nn.convolution import convolve
from ganatomy.nn.enlarging import EnlargingConvolution, Way
from ganatomy.nn.fold import DOWN_TAPS, fold_down, make_fold_matrix

HE_GAIN = math.sqrt(2)  # He's gain for (leaky) rectifiers


# ----------------------------------------------------------------------------------------------------------------------
# Dense layer.


class Dense(nn.Module):
    """y = (gain / √n_in) w x + s b, s = `bias_scale`: (batch, in) -> (batch, out)   (Karras 2018, section 4.1)."""

    def __init__(
        self, n_in: int, n_out: int, gain: float = HE_GAIN, bias: bool = True, bias_scale: float = 1.0
    ) -> None:
        super().__init__()
        self.scale, self.bias_scale = gain / math.sqrt(n_in), bias_scale
        self.weight = nn.Parameter(torch.randn(n_out, n_in))
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias if self.bias is None or self.bias_scale == 1 else self.bias * self.bias_scale
        return F.linear(x, self.weight * self.scale, bias)


# ----------------------------------------------------------------------------------------------------------------------
# Convolution that keeps the size; kernel 3 or 1.


class Conv(nn.Module):
    """y = (gain / √(n_in · kernel^ndim)) w * x + b   (Karras 2018, section 4.1).

    x (batch, in, *space) -> (batch, out, *space), with zero padding.
    """

    def __init__(self, ndim: int, n_in: int, n_out: int, kernel: int = 3, gain: float = HE_GAIN) -> None:
        super().__init__()
        self.scale = gain / math.sqrt(n_in * kernel**ndim)
        self.weight = nn.Parameter(torch.randn(n_out, n_in, *[kernel] * ndim))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight * self.scale, self.bias, padding=self.weight.shape[-1] // 2)


# ----------------------------------------------------------------------------------------------------------------------
# Nearest x 2 followed by a 3-tap convolution, computed in one of three ways (nn/enlarging.py).


class UpConv(EnlargingConvolution):
    """y = conv(up(x)), up = nearest x 2   (Karras 2018, section 2 and table 2).

    x (batch, in, *space) -> (batch, out, *twice the space).
    """

    def __init__(self, ndim: int, n_in: int, n_out: int, way: Way = "fold") -> None:
        super().__init__(ndim, way)
        self.scale = HE_GAIN / math.sqrt(n_in * 3**ndim)
        self.weight = nn.Parameter(torch.randn(n_out, n_in, *[3] * ndim))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve_enlarged(x, self.weight * self.scale, self.bias)


# ----------------------------------------------------------------------------------------------------------------------
# A 3-tap convolution followed by a mean over cells of two, always folded.


class DownConv(Conv):
    """y = down(conv(x)), down = mean over cells of two   (Karras 2018, table 2, without the rectifier between them).

    x (batch, in, *space) -> (batch, out, *half the space). Both are always computed in one pass (`nn.fold`).
    """

    down_matrix: Tensor

    def __init__(self, ndim: int, n_in: int, n_out: int) -> None:
        super().__init__(ndim, n_in, n_out)
        self.register_buffer("down_matrix", make_fold_matrix(DOWN_TAPS, ndim), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = fold_down(self.weight * self.scale, self.down_matrix)
        return convolve(x, weight, self.bias, stride=2, padding=1)
