"""Convolution y = w * x whose second derivative is as fast as its first, for one to three dimensions.

A gradient penalty differentiates a convolution twice. PyTorch expresses the second derivative of a convolution with
respect to its weight as a convolution whose *kernel* is a whole image, which is far from any fast path. The three
linear maps that a convolution is made of (output, input gradient, weight gradient) are each other's derivatives, so
writing them as three mutually recursive functions keeps every order on the fast primitives, exactly.
`benchmarks/step_pggan.py` measures what this brings.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from ganatomy.nn.precision import AUTOCAST_DEVICES

F_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
F_CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0) -> Tensor:
    """y = w * x + b, a cross-correlation that can be differentiated any number of times.

    x is (batch, channel, *space) and w (out, in, *kernel). Under autocast the operands are cast here, so that every
    derivative works in the same precision.
    """
    if x.device.type in AUTOCAST_DEVICES and torch.is_autocast_enabled(x.device.type):
        precision = torch.get_autocast_dtype(x.device.type)
        x, weight = x.to(precision), weight.to(precision)
        bias = None if bias is None else bias.to(precision)
    y: Tensor = _ConvolutionOutput.apply(x, weight, bias, stride, padding)
    return y


_only_inputs = False


@contextmanager
def input_gradients_only() -> Iterator[None]:
    """Compute no weight gradients in this block: for `torch.autograd.grad(scores, images)`, which would discard them.

    PyTorch does not tell a Python autograd function which of its gradients are wanted.
    """
    global _only_inputs
    _only_inputs = True
    try:
        yield
    finally:
        _only_inputs = False


class _ConvolutionOutput(Function):
    """y = w * x + b;  ∂/∂x: `_InputGradient`,  ∂/∂w: `_WeightGradient`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding
        return F_CONV[x.ndim - 2](x, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (g,), (x, weight) = grads, ctx.saved_tensors
        gx = _InputGradient.apply(g, weight, x.shape, *ctx.geometry) if ctx.needs_input_grad[0] else None
        weights, biases = (needed and not _only_inputs for needed in ctx.needs_input_grad[1:3])
        gw = _WeightGradient.apply(g, x, weight.shape, *ctx.geometry) if weights else None
        gb = g.sum((0, *range(2, g.ndim))) if biases else None
        return gx, gw, gb, None, None


class _InputGradient(Function):
    """gₓ = wᵀ * g, the transposed convolution;  ∂/∂g: `_ConvolutionOutput`,  ∂/∂w: `_WeightGradient`."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, weight: Tensor, shape: torch.Size, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(g, weight)
        ctx.geometry = stride, padding
        pairs = zip(shape[2:], g.shape[2:], weight.shape[2:], strict=True)
        left_over = [n - ((m - 1) * stride - 2 * padding + k) for n, m, k in pairs]
        return F_CONV_TRANSPOSE[g.ndim - 2](g, weight, None, stride, padding, left_over)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (h,), (g, weight) = grads, ctx.saved_tensors
        gg = _ConvolutionOutput.apply(h, weight, None, *ctx.geometry) if ctx.needs_input_grad[0] else None
        gw = _WeightGradient.apply(g, h, weight.shape, *ctx.geometry) if ctx.needs_input_grad[1] else None
        return gg, gw, None, None, None


class _WeightGradient(Function):
    """g_w = g * x, summed over images;  ∂/∂g: `_ConvolutionOutput`,  ∂/∂x: `_InputGradient`."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, shape: torch.Size, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(g, x)
        ctx.geometry = stride, padding
        ndim = g.ndim - 2
        each = [[n] * ndim for n in (stride, padding, 1, 0)]
        weight = torch.empty(shape, dtype=x.dtype, device=x.device)  # only its shape is read
        gw: Tensor = torch.ops.aten.convolution_backward(
            g, x, weight, None, each[0], each[1], each[2], False, each[3], 1, [False, True, False]
        )[1]
        return gw

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (h,), (g, x) = grads, ctx.saved_tensors
        gg = _ConvolutionOutput.apply(x, h, None, *ctx.geometry) if ctx.needs_input_grad[0] else None
        gx = _InputGradient.apply(g, h, x.shape, *ctx.geometry) if ctx.needs_input_grad[1] else None
        return gg, gx, None, None, None
