"""Layers with spectral normalisation: W / σ(W), one power iteration per training pass   (Miyato 2018, algorithm 1).

The vector u of the power iteration is a buffer, so it is saved and the iteration continues after resuming. The layers
divide their output by σ instead of their weight: the result is the same, with far fewer divisions.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganatomy.nn.convolution import convolve_once
from ganatomy.nn.plain import CONV_CLASSES
from ganatomy.nn.precision import disable_autocast

EPSILON = 1e-12


class _SpectralLayer(nn.Module):
    """Base class: a weight W (out, ...) with PyTorch's initialisation, and σ(W)   (Miyato 2018, algorithm 1)."""

    u: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        assert bias is not None
        self.weight, self.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
        self.register_buffer("u", F.normalize(torch.randn(len(weight)), dim=0, eps=EPSILON))

    def compute_sigma(self) -> Tensor:
        """v ← Wᵀu / ‖Wᵀu‖₂,  u ← W v / ‖W v‖₂,  σ(W) = uᵀ W v, differentiable in W   (Miyato 2018, algorithm 1)."""
        with disable_autocast(self.weight):
            matrix = self.weight.flatten(1)
            with torch.no_grad():
                v = F.normalize(self.u @ matrix, dim=0, eps=EPSILON)
                u = F.normalize(matrix @ v, dim=0, eps=EPSILON)
                if self.training:
                    self.u.copy_(u)
            return u @ (matrix @ v)


class SpectralDense(_SpectralLayer):
    """y = W x / σ(W) + b: x (batch, in) -> (batch, out)   (Miyato 2018, eq. 8)."""

    def __init__(self, n_in: int, n_out: int) -> None:
        like = nn.Linear(n_in, n_out)
        super().__init__(like.weight, like.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight)
        return y / self.compute_sigma() + self.bias.to(y.dtype)


class SpectralConv(_SpectralLayer):
    """y = (W * x) / σ(W) + b   (Miyato 2018, eq. 8).

    x (batch, in, *space) -> (batch, out, *space), with a kernel size, stride and padding for each axis.
    """

    def __init__(
        self, n_in: int, n_out: int, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...]
    ) -> None:
        like = CONV_CLASSES[len(kernel)](n_in, n_out, kernel, stride, padding)
        super().__init__(like.weight, like.bias)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        y = convolve_once(x, self.weight, None, self.stride, self.padding)
        return y / self.compute_sigma() + self.bias.view(-1, *[1] * (x.ndim - 2)).to(y.dtype)
