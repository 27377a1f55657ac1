"""Residual networks in two and three dimensions, plain or with the dilated last stages of Med3D (Chen 2019, section 3).

The names of weights are those of Med3D's published files, so that these can be loaded. Med3D keeps stages 3 and 4 at
the resolution of stage 2 and dilates them by 2 and 4; the classification network halves the resolution instead. With
the same weights, the features of both forms differ by half of their length.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DEPTHS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
WIDTHS = (64, 128, 256, 512)
BOTTLENECK = 4  # width at the end of a block relative to its inner width, from depth 50 on

CONVOLUTIONS: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
NORMS: dict[int, type[nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class Shortcut(nn.Module):
    """A shortcut without weights (type A): every stride-th voxel, and zeros for the additional channels."""

    def __init__(self, stride: int, channels: int) -> None:
        super().__init__()
        self.stride, self.channels = stride, channels

    def forward(self, x: Tensor) -> Tensor:
        x = x[(slice(None), slice(None), *[slice(None, None, self.stride)] * (x.ndim - 2))]
        return F.pad(x, (0, 0) * (x.ndim - 2) + (0, self.channels - x.shape[1]))


class ResNetBlock(nn.Module):
    """A shortcut and two convolutions of kernel 3, or three convolutions of kernels 1, 3 and 1."""

    def __init__(
        self,
        ndim: int,
        in_channels: int,
        width: int,
        out_channels: int,
        stride: int,
        dilation: int,
        learned_shortcut: bool,
    ) -> None:
        super().__init__()

        def convolution(i: int, o: int, size: int, stride: int = 1) -> nn.Module:
            spread = dilation if size == 3 else 1
            padding = dilation if size == 3 else 0
            return CONVOLUTIONS[ndim](i, o, size, stride, padding, spread, bias=False)

        plan = [(in_channels, width, 3, stride), (width, out_channels, 3, 1)]
        if out_channels != width:
            plan = [(in_channels, width, 1, 1), (width, width, 3, stride), (width, out_channels, 1, 1)]
        self.steps = len(plan)
        for number, (i, o, size, step) in enumerate(plan, 1):
            self.add_module(f"conv{number}", convolution(i, o, size, step))
            self.add_module(f"bn{number}", NORMS[ndim](o))
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            plain = nn.Sequential(convolution(in_channels, out_channels, 1, stride), NORMS[ndim](out_channels))
            self.downsample = plain if learned_shortcut else Shortcut(stride, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for number in range(1, self.steps + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = F.relu(y) if number < self.steps else y
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """Mean over space of the last stage for images of one channel: (batch, 512), or (batch, 2048) at depth 50.

    Args:
        ndim: number of spatial axes, 2 or 3.
        depth: 10, 18, 34 or 50.
        dilated: whether stages 3 and 4 are dilated as in Med3D.
    """

    def __init__(self, ndim: int, depth: int, dilated: bool = False) -> None:
        super().__init__()
        self.ndim = ndim
        self.conv1 = CONVOLUTIONS[ndim](1, WIDTHS[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = NORMS[ndim](WIDTHS[0])
        strides, dilations = ((1, 2, 1, 1), (1, 1, 2, 4)) if dilated else ((1, 2, 2, 2), (1, 1, 1, 1))
        times = BOTTLENECK if depth >= 50 else 1
        learned = depth not in (18, 34)  # the published files of these two depths have shortcuts without weights
        enters = WIDTHS[0]
        for stage, (blocks, width) in enumerate(zip(DEPTHS[depth], WIDTHS, strict=True)):
            built = []
            for block in range(blocks):
                stride = strides[stage] if block == 0 else 1
                built.append(ResNetBlock(ndim, enters, width, width * times, stride, dilations[stage], learned))
                enters = width * times
            self.add_module(f"layer{stage + 1}", nn.Sequential(*built))

    def forward(self, x: Tensor) -> Tensor:
        pool: Callable[..., Tensor] = F.max_pool2d if self.ndim == 2 else F.max_pool3d
        x = pool(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        for stage in range(1, len(WIDTHS) + 1):
            x = getattr(self, f"layer{stage}")(x)
        return torch.flatten(x, 2).mean(2)
