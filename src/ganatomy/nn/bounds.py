"""The range of values of an image as a hard bound that lets go of what it holds."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

LOWEST, HIGHEST = -1.0, 1.0  # of an image


def clamp_to_range(x: Tensor) -> Tensor:
    """y = min(max(x, -1), 1), whose gradient also reaches values out of range where a step along it leads back.

    Air has the lowest value exactly in real images, which no smooth output reaches: a network that makes it with a
    linear output is told apart by noise around it, and one with a tanh by a haze above it. A plain clamp would lose
    every voxel that has once left the range.
    """
    y: Tensor = _Clamp.apply(x)
    return y


class _Clamp(Function):
    """∂y/∂x = 1 within the range; out of it 1 where descent along the gradient leads back, else 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(LOWEST, HIGHEST)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (g,), (x,) = grads, ctx.saved_tensors
        lost = ((x < LOWEST) & (g > 0)) | ((x > HIGHEST) & (g < 0))
        return torch.where(lost, torch.zeros_like(g), g)
