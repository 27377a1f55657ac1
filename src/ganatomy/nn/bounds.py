"""A clamp of image values to [-1, 1] whose gradient can bring clamped values back into the range."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

LOWEST, HIGHEST = -1.0, 1.0  # values of an image
MARGIN = 0.1  # width of the interval below the range in which values may still decrease


def clamp_to_range(x: Tensor) -> Tensor:
    """y = min(max(x, -1), 1); the gradient passes unchanged down to `MARGIN` below the range   (this project).

    Air has exactly the lowest value in real images, and no smooth output reaches it: a linear output leaves noise
    around it, a tanh a haze above it, and a discriminator recognises both. The gradient of a plain clamp is zero
    outside the range, so voxels that leave the range never return, and voxels of air stop at the edge, from where the
    next update lifts them. Here voxels of air may decrease further, down to the margin. Beyond the margin and above
    the range, only gradients that lead back to the range pass.
    """
    y: Tensor = _Clamp.apply(x)
    return y


class _Clamp(Function):
    """∂y/∂x = 1 from the margin to the highest value; elsewhere 1 if gradient descent leads back, else 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(LOWEST, HIGHEST)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (g,), (x,) = grads, ctx.saved_tensors
        lost = ((x < LOWEST - MARGIN) & (g > 0)) | ((x > HIGHEST) & (g < 0))
        return torch.where(lost, torch.zeros_like(g), g)
