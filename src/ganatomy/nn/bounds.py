"""The range of values of an image as a hard bound that lets go of what it holds."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

LOWEST, HIGHEST = -1.0, 1.0  # of an image
MARGIN = 0.1  # below the range, in which values may still move down


def clamp_to_range(x: Tensor) -> Tensor:
    """y = min(max(x, -1), 1), whose gradient passes below the range until x is below it by `MARGIN`.

    Air has the lowest value exactly in real images, which no smooth output reaches: a network that makes it with a
    linear output is told apart by noise around it, and one with a tanh by a haze above it. A plain clamp would lose
    every voxel that has once left the range, and would keep all others at its very edge, where the next update lifts
    them: so the values of air move on to the margin, and what is beyond it or above the range only comes back.
    """
    y: Tensor = _Clamp.apply(x)
    return y


class _Clamp(Function):
    """∂y/∂x = 1 from the margin to the highest value; elsewhere 1 where descent leads back, else 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(LOWEST, HIGHEST)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (g,), (x,) = grads, ctx.saved_tensors
        lost = ((x < LOWEST - MARGIN) & (g > 0)) | ((x > HIGHEST) & (g < 0))
        return torch.where(lost, torch.zeros_like(g), g)
