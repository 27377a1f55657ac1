"""Layers with PyTorch's own initialisation, as HA-GAN uses them: convolutions, and normalisations with a rectifier."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd

from ganatomy.nn.convolution import Conv3d, convolve
from ganatomy.nn.enlarging import EnlargingConvolution, Way
from ganatomy.nn.precision import normalise_groups, normalise_last_axis

CONV_CLASSES: dict[int, Callable[..., _ConvNd]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: Conv3d}
NORM_EPSILON = 1e-5  # ε of the normalisations; PyTorch's default
CHUNK_SIZE = 2**20  # numbers that are added at a time when moments are computed
MIN_FOLDED_SIZE = (
    8  # voxels of the longest axis of the input; below, a folded kernel costs more than the voxels it saves
)


def make_conv(ndim: int, n_in: int, n_out: int, kernel: int = 3, stride: int = 1, padding: int = 1) -> _ConvNd:
    """Make PyTorch's convolution y = w * x + b for `ndim` spatial axes."""
    return CONV_CLASSES[ndim](n_in, n_out, kernel, stride, padding)


# ----------------------------------------------------------------------------------------------------------------------
# Nearest x 2 followed by a 3-tap convolution.


class PlainUpConv(EnlargingConvolution):
    """y = conv(up(x)), up = nearest x 2: x (batch, in, *space) -> (batch, out, *twice the space)   (Sun 2022).

    Args:
        way: the way of computing unless the run chooses another; ``phases`` is best for few output channels.
    """

    def __init__(self, ndim: int, n_in: int, n_out: int, way: Way = "fold", bias: bool = True) -> None:
        super().__init__(ndim, way, MIN_FOLDED_SIZE)
        like = make_conv(ndim, n_in, n_out)
        self.weight = nn.Parameter(like.weight.detach())
        drawn = torch.zeros(n_out) if like.bias is None else like.bias.detach()
        self.bias = nn.Parameter(drawn) if bias else None

    def forward(self, x: Tensor, drop: int = 0) -> Tensor:
        """Return conv(up(x)) without `drop` planes at both ends of the first axis."""
        return self.convolve_enlarged(x, self.weight, self.bias, drop)


class PartialUpConv(nn.Module):
    """y = conv(up(x)), up = nearest x 2 along some axes only: x (batch, in, *space) -> (batch, out, *larger space).

    Args:
        enlarged: for each spatial axis, whether it is doubled.
    """

    def __init__(self, enlarged: tuple[bool, ...], n_in: int, n_out: int) -> None:
        super().__init__()
        self.axes = tuple(2 + axis for axis, doubled in enumerate(enlarged) if doubled)
        self.conv = make_conv(len(enlarged), n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        for axis in self.axes:
            x = x.repeat_interleave(2, axis)
        y: Tensor = self.conv(x)
        return y


def make_up_conv(enlarged: tuple[bool, ...], n_in: int, n_out: int) -> nn.Module:
    """Make y = conv(up(x)), which doubles the given axes."""
    if all(enlarged):
        return PlainUpConv(len(enlarged), n_in, n_out)
    return PartialUpConv(enlarged, n_in, n_out)


def make_down_conv(halved: tuple[bool, ...], n_in: int, n_out: int) -> nn.Module:
    """Make a convolution that halves the given axes by kernels of 4 and keeps the others by kernels of 3."""
    kernel, stride = (tuple(values) for values in ([4 if h else 3 for h in halved], [2 if h else 1 for h in halved]))
    return CONV_CLASSES[len(halved)](n_in, n_out, kernel, stride, 1)


class StridedConv(nn.Module):
    """y = w * x + b, kernel 4, stride 2   (strided convolutions: Radford 2016, section 3).

    x (batch, in, *space) -> (batch, out, *half the space). Derivatives of any order are fast (`nn.convolution`).
    """

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
    """y = relu(γ (x - μ) / √(σ² + ε) + β)   (Wu 2018, eq. 1, 2, 6 and 7).

    μ and σ² are taken over the channels of a group and over space. `compute_group_moments` and `apply_statistics` are
    its two steps, for volumes that are processed in pieces.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return self.apply_statistics(x, *compute_group_moments(x, self.groups))
        return F.relu_(normalise_groups(x, self.groups, self.weight, self.bias, NORM_EPSILON))

    def apply_statistics(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Compute y from given μ and σ² (batch, groups) in place of x, without gradients."""
        each = x.shape[1] // self.groups
        scale = (variance + NORM_EPSILON).rsqrt().repeat_interleave(each, 1) * self.weight
        shift = self.bias - mean.repeat_interleave(each, 1) * scale
        ones = [1] * (x.ndim - 2)
        x.mul_(scale.view(*scale.shape, *ones).to(x.dtype)).add_(shift.view(*shift.shape, *ones).to(x.dtype))
        return F.relu_(x)


def compute_group_moments(x: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """μ and σ² of each group over its channels and space, each (batch, groups), float32   (Wu 2018, eq. 2 and 7).

    A few planes are read at a time, in the order of memory, and their sums are added in float64. This takes little
    memory and is more exact than PyTorch's normalisation of channels-last tensors, which adds millions of numbers one
    by one in float32.
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
    """y = relu(γ (x - μ) / √(σ² + ε) + β), μ and σ² over the channels of each voxel   (layer normalisation: Ba 2016).

    The statistics of a voxel do not depend on other voxels, so a sub-volume and the whole volume are normalised alike.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = normalise_last_axis(x.movedim(1, -1), (x.shape[1],), self.weight, self.bias, NORM_EPSILON)
        return F.relu_(y.movedim(-1, 1))


NORM_CLASSES = {"group": GroupNormReLU, "voxel": VoxelNormReLU}


class PlainBlock(nn.Module):
    """y = norm(conv(x)); the normalisations of this file include a rectifier   (Sun 2022, official code)."""

    def __init__(self, convolution: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm = convolution, norm

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return y
