"""Convolution y = w * x whose second derivative is as fast as its first, for one to three dimensions.

A gradient penalty differentiates a convolution twice. PyTorch expresses the second derivative of a convolution with
respect to its weight as a convolution whose *kernel* is a whole image, for which there is no fast kernel. The three
linear maps of a convolution (output, input gradient, weight gradient) are each other's derivatives. Written as three
mutually recursive functions, they compute derivatives of every order exactly and with the fast kernels.
`benchmarks/step_pggan.py` measures the gain.

`convolve_once` and `Conv3d` use PyTorch's own convolution, for layers that are differentiated once only. All of them
avoid a weight gradient that PyTorch computes wrongly (`is_weight_gradient_wrong`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from ganatomy.nn.precision import AUTOCAST_DEVICES

F_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
F_CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


Sizes = tuple[int, ...]  # one number per axis
Size = int | Sizes  # one number for all axes, or one per axis


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1, padding: Size = 0) -> Tensor:
    """y = w * x + b, a cross-correlation that can be differentiated any number of times.

    x is (batch, channel, *space) and w (out, in, *kernel). Under autocast this function casts the operands, so that
    all derivatives are computed in the same precision.
    """
    if (precision := _find_autocast_precision(x)) is not None:
        x, weight = x.to(precision), weight.to(precision)
        bias = None if bias is None else bias.to(precision)
    ndim = x.ndim - 2
    y: Tensor = _ConvolutionOutput.apply(x, weight, bias, _spread(stride, ndim), _spread(padding, ndim))
    return y


def convolve_once(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1, padding: Size = 0) -> Tensor:
    """y = w * x + b like `convolve`, with PyTorch's own convolution wherever its weight gradient is correct.

    The second derivative is correct but slow.
    """
    ndim = x.ndim - 2
    depth, kernel, step, margin = x.shape[2], weight.shape[2], _spread(stride, ndim)[0], _spread(padding, ndim)[0]
    planes = (depth + 2 * margin - kernel) // step + 1
    if is_weight_gradient_wrong(x, planes, margin, step, _find_autocast_precision(x) or x.dtype):
        return convolve(x, weight, bias, stride, padding)
    return F_CONV[ndim](x, weight, bias, stride, padding)


def is_weight_gradient_wrong(x: Tensor, planes: int, padding: int, stride: int, dtype: torch.dtype) -> bool:
    """Whether PyTorch computes the weight gradient of a 3D convolution wrongly.

    On a CPU in half precision, oneDNN 3.12 (PyTorch 2.13) leaves memory unwritten, or writes beyond it, if the padding
    of the first axis reaches all planes of the output: 2 planes with stride 1 and padding 1, 2 to 4 planes with stride
    1 and padding 2, and 2 planes with stride 2 and padding 2. This was found by trying kernels of 1 to 5 taps. The
    output and the input gradient are correct.

    Args:
        planes: planes of the output along the first axis.
        padding, stride: along the first axis.
        dtype: data type of the operands.
    """
    half = dtype in (torch.bfloat16, torch.float16)
    return half and x.ndim == 5 and x.device.type == "cpu" and 2 <= planes <= 2 * (padding // stride)


def _find_autocast_precision(x: Tensor) -> torch.dtype | None:
    """Return the data type in which autocast computes a convolution of x, or None if autocast is off."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if kind in AUTOCAST_DEVICES and torch.is_autocast_enabled(kind) else None


def _spread(size: Size, ndim: int) -> tuple[int, ...]:
    return (size,) * ndim if isinstance(size, int) else tuple(size)


class Conv3d(nn.Conv3d):
    """y = w * x + b: PyTorch's 3D convolution with zero padding, computed by `convolve_once`."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        assert self.padding_mode == "zeros"
        assert self.groups == 1
        assert set(self.dilation) == {1}
        assert not isinstance(self.padding, str)
        return convolve_once(input, weight, bias, self.stride, self.padding)


_only_inputs = False


@contextmanager
def input_gradients_only() -> Iterator[None]:
    """Skip weight gradients in this block, for `torch.autograd.grad(scores, images)`, which would discard them.

    PyTorch does not tell a Python autograd function which of its gradients are needed.
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
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, padding: Sizes) -> Tensor:
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
    def forward(ctx: Any, g: Tensor, weight: Tensor, shape: torch.Size, stride: Sizes, padding: Sizes) -> Tensor:
        ctx.save_for_backward(g, weight)
        ctx.geometry = stride, padding
        axes = zip(shape[2:], g.shape[2:], weight.shape[2:], stride, padding, strict=True)
        left_over = [n - ((m - 1) * s - 2 * p + k) for n, m, k, s, p in axes]
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
    def forward(ctx: Any, g: Tensor, x: Tensor, shape: torch.Size, stride: Sizes, padding: Sizes) -> Tensor:
        ctx.save_for_backward(g, x)
        ctx.geometry = stride, padding
        dtype, ones, zeros = x.dtype, [1] * len(stride), [0] * len(stride)
        if is_weight_gradient_wrong(g, g.shape[2], padding[0], stride[0], dtype):
            g, x = g.float(), x.float()
        weight = torch.empty(shape, dtype=x.dtype, device=x.device)  # only its shape is read
        gw: Tensor = torch.ops.aten.convolution_backward(
            g, x, weight, None, stride, padding, ones, False, zeros, 1, [False, True, False]
        )[1]
        return gw.to(dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (h,), (g, x) = grads, ctx.saved_tensors
        gg = _ConvolutionOutput.apply(x, h, None, *ctx.geometry) if ctx.needs_input_grad[0] else None
        gx = _InputGradient.apply(g, h, x.shape, *ctx.geometry) if ctx.needs_input_grad[1] else None
        return gg, gx, None, None, None
