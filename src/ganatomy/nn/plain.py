"""Layers with PyTorch's own initialisation, as HA-GAN uses them: convolutions, normalisations, each with a rectifier.

`PlainUpConv` is nearest x 2 and a 3-tap convolution; three exact ways of computing it are measured against each other
in `docs/performance.md`.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd

from ganatomy.nn.convolution import F_CONV, F_CONV_TRANSPOSE, convolve
from ganatomy.nn.fold import fold_phases, fold_up
from ganatomy.nn.resample import upsample_nearest

CONV_CLASSES: dict[int, Callable[..., _ConvNd]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORM_EPSILON = 1e-5  # of the normalisations, PyTorch's default
CHUNK_SIZE = 2**20  # numbers that a sum of moments takes at a time
MIN_FOLDED_SIZE = (
    8  # voxels of the longest axis of the input; below, a folded kernel costs more than the voxels it saves
)


def make_conv(ndim: int, n_in: int, n_out: int, kernel: int = 3, stride: int = 1, padding: int = 1) -> _ConvNd:
    """A convolution of PyTorch for that number of axes."""
    return CONV_CLASSES[ndim](n_in, n_out, kernel, stride, padding)


# ----------------------------------------------------------------------------------------------------------------------
# Nearest x 2 followed by a 3-tap convolution.


class PlainUpConv(nn.Module):
    """x (batch, in, *space) -> (batch, out, *twice the space).

    Args:
        impl: ``fold`` = one transposed convolution where it pays, ``phases`` = one 2-tap convolution for each parity of
            the output, best with few channels out, ``plain`` = as it is written. One function to rounding.
    """

    def __init__(
        self, ndim: int, n_in: int, n_out: int, impl: Literal["fold", "phases", "plain"] = "fold", bias: bool = True
    ) -> None:
        super().__init__()
        like = make_conv(ndim, n_in, n_out)
        self.weight = nn.Parameter(like.weight.detach())
        drawn = torch.zeros(n_out) if like.bias is None else like.bias.detach()
        self.bias = nn.Parameter(drawn) if bias else None
        self.impl = impl

    def forward(self, x: Tensor, drop: int = 0) -> Tensor:
        """`drop` planes of the output are left away at both ends of the first axis, where they need not be computed."""
        ndim = x.ndim - 2
        if self.impl == "phases":
            if drop == 2:
                return _convolve_phases(x, fold_phases(self.weight), self.bias, inside=True)
            return _trim_planes(_convolve_phases(x, fold_phases(self.weight), self.bias), drop)
        if self.impl == "plain" or max(x.shape[2:]) < MIN_FOLDED_SIZE:
            return _trim_planes(F_CONV[ndim](upsample_nearest(x), self.weight, self.bias, padding=1), drop)
        padding = (1 + drop, *[1] * (ndim - 1))
        return F_CONV_TRANSPOSE[ndim](x, fold_up(self.weight), self.bias, stride=2, padding=padding)


def _trim_planes(x: Tensor, drop: int) -> Tensor:
    return x[:, :, drop : x.shape[2] - drop]


def _convolve_phases(x: Tensor, weight: Tensor, bias: Tensor | None, inside: bool = False) -> Tensor:
    """All phases in one convolution, then woven together; `inside` = without two planes at both ends of axis one."""
    ndim = x.ndim - 2
    n_out = len(weight) // 2**ndim
    biases = None if bias is None else bias.repeat(2**ndim)
    every = F_CONV[ndim](x, weight, biases, padding=(int(not inside), *[1] * (ndim - 1)))
    every = every.unflatten(1, (*[2] * ndim, n_out))  # (batch, *phase, out, *space + 1)
    for axis in range(ndim):  # the first remaining phase axis is always axis 1
        place = every.ndim - ndim + axis
        n = every.shape[place] - 1
        pair = [every.select(1, p).narrow(place - 1, p, n) for p in (0, 1)]
        every = torch.stack(pair, place).flatten(place - 1, place)
    return every


class StridedConv(nn.Module):
    """x (batch, in, *space) -> (batch, out, *half the space): 4 taps, stride 2; any order differentiable and fast."""

    def __init__(self, ndim: int, n_in: int, n_out: int, bias: bool = True) -> None:
        super().__init__()
        like = make_conv(ndim, n_in, n_out, 4, 2)
        self.weight = nn.Parameter(like.weight.detach())
        drawn = torch.zeros(n_out) if like.bias is None else like.bias.detach()
        self.bias = nn.Parameter(drawn) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight, self.bias, stride=2, padding=1)


# ----------------------------------------------------------------------------------------------------------------------
# Normalisations, each followed by a rectifier.


class GroupNormReLU(nn.Module):
    """Group normalisation over channels and space, then a rectifier (Wu 2018).

    `statistics` and `applied` are the two halves, for who sees the space one piece after another.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return self.apply_statistics(x, *compute_group_moments(x, self.groups))
        return F.relu_(F.group_norm(x, self.groups, self.weight, self.bias, NORM_EPSILON))

    def apply_statistics(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """x normalised with given statistics (batch, groups), in place; not differentiable."""
        each = x.shape[1] // self.groups
        scale = (variance + NORM_EPSILON).rsqrt().repeat_interleave(each, 1) * self.weight
        shift = self.bias - mean.repeat_interleave(each, 1) * scale
        ones = [1] * (x.ndim - 2)
        x.mul_(scale.view(*scale.shape, *ones).to(x.dtype)).add_(shift.view(*shift.shape, *ones).to(x.dtype))
        return F.relu_(x)


def compute_group_moments(x: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of each group over its channels and space: two of (batch, groups), float32.

    Some planes at a time, in the order of memory, gathered in float64: little memory, and exact where PyTorch's own
    normalisation of channels-last tensors adds millions of numbers one by one in float32.
    """
    first = second = torch.zeros((), dtype=torch.float64, device=x.device)
    for part in x.split(max(1, CHUNK_SIZE // max(1, x[0, :, 0].numel())), 2):
        part = part.float()
        last = not part.is_contiguous() and part.stride(1) == 1
        rows, axis = (part.movedim(1, -1).flatten(1, -2), 1) if last else (part.flatten(2), 2)
        first = first + rows.sum(axis).double()
        second = second + rows.square().sum(axis).double()
    count = x[0, 0].numel() * (x.shape[1] // groups)
    mean = first.unflatten(1, (groups, -1)).sum(2) / count
    variance = second.unflatten(1, (groups, -1)).sum(2) / count - mean.square()
    return mean.float(), variance.clamp_min(0).float()


class VoxelNormReLU(nn.Module):
    """Each voxel's feature vector to zero mean and unit variance, then a rectifier.

    It sees one voxel at a time, so a sub-volume and the whole volume are normalised alike.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = F.layer_norm(x.movedim(1, -1), (x.shape[1],), self.weight, self.bias, NORM_EPSILON)
        return F.relu_(y.movedim(-1, 1))


NORM_CLASSES = {"group": GroupNormReLU, "voxel": VoxelNormReLU}


class PlainBlock(nn.Module):
    """A convolution, its normalisation and rectifier."""

    def __init__(self, convolution: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm = convolution, norm

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return y
