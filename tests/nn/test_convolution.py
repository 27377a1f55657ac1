"""The convolution equals PyTorch's to every order, and the folded one equals the plain one."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ganatomy.nn.convolution import F_CONV, Conv3d, convolve, convolve_once, input_gradients_only
from ganatomy.nn.equalised import UpConv
from ganatomy.nn.fold import DOWN_TAPS, fold_down, make_fold_matrix
from ganatomy.nn.foreign import adopt_layers
from ganatomy.nn.plain import make_conv
from ganatomy.nn.resample import downsample_mean


def _penalty(conv, x, weight, bias):
    """The gradient of a gradient penalty: a second derivative through two layers."""
    y = F.leaky_relu(conv(x, weight, bias), 0.2)
    score = conv(y, weight, bias).square().mean()
    (g,) = torch.autograd.grad(score, x, create_graph=True)
    return torch.autograd.grad(g.square().sum() + score, (x, weight, bias))


@pytest.mark.parametrize(("ndim", "size"), [(1, 9), (2, 8), (3, 6)])
def test_second_derivatives_equal_pytorchs(ndim, size):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *[size] * ndim, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 3, *[3] * ndim, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
    ours = _penalty(lambda a, w, b: convolve(a, w, b, padding=1), x, weight, bias)
    theirs = _penalty(lambda a, w, b: F_CONV[ndim](a, w, b, padding=1), x, weight, bias)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_gradgradcheck_with_stride():
    torch.manual_seed(0)
    x = torch.randn(1, 2, 7, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, w: convolve(a, w, stride=2, padding=1), (x, weight))
    assert torch.autograd.gradgradcheck(lambda a, w: convolve(a, w, stride=2, padding=1), (x, weight))


def test_input_gradients_only_gives_the_same_input_gradient():
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    weight = torch.randn(4, 3, 3, 3, requires_grad=True)
    plain = torch.autograd.grad(convolve(x, weight, padding=1).sum(), x)[0]
    with input_gradients_only():
        only = torch.autograd.grad(convolve(x, weight, padding=1).sum(), x)[0]
    assert torch.equal(plain, only)


@pytest.mark.parametrize("ndim", [2, 3])
def test_folded_up_equals_plain_to_the_second_derivative(ndim):
    torch.manual_seed(0)
    folded = UpConv(ndim, 4, 3).double()
    plain = UpConv(ndim, 4, 3, "plain").double()
    plain.load_state_dict(folded.state_dict())
    x = torch.randn(2, 4, *[5] * ndim, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(folded(x), plain(x))
    for layer_a, layer_b in [(folded, plain)]:
        grads = []
        for layer in (layer_a, layer_b):
            (g,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
            grads.append(torch.autograd.grad(g.square().sum(), layer.weight)[0])
        torch.testing.assert_close(*grads)


@pytest.mark.parametrize("ndim", [2, 3])
def test_folded_down_equals_convolution_then_mean(ndim):
    torch.manual_seed(0)
    x = torch.randn(2, 4, *[6] * ndim, dtype=torch.float64)
    weight = torch.randn(3, 4, *[3] * ndim, dtype=torch.float64)
    matrix = make_fold_matrix(DOWN_TAPS, ndim).double()
    torch.testing.assert_close(
        convolve(x, fold_down(weight, matrix), stride=2, padding=1), downsample_mean(convolve(x, weight, padding=1))
    )


# ----------------------------------------------------------------------------------------------------------------------
# A weight gradient that PyTorch computes wrongly on a processor in half precision.


def _find_error(convolution, planes, size=4):
    """Of the weight gradient in bfloat16 against float32, as a share of it; the same for the input gradient."""
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(planes)
        x = torch.randn(2, 16, planes, size, size).requires_grad_()
        weight = torch.randn(16, 16, 3, 3, 3).requires_grad_()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            convolution(x, weight).float().square().sum().backward()
        gradients.append((weight.grad, x.grad))
    (weight, x), (half_weight, half_x) = gradients
    return [float((a - b).norm() / b.norm()) for a, b in ((half_weight, weight), (half_x, x))]


@pytest.mark.parametrize("planes", [1, 2, 3, 4])
@pytest.mark.parametrize("convolution", [convolve, convolve_once])
def test_weight_gradients_of_volumes_are_right_in_bfloat16(convolution, planes):
    assert max(_find_error(lambda x, w: convolution(x, w, padding=1), planes)) < 0.02


@pytest.mark.parametrize("planes", [2, 3, 4])
def test_weight_gradients_are_right_with_a_wider_padding(planes):
    torch.manual_seed(0)
    x, g = torch.randn(2, 16, planes, 4, 4), torch.randn(2, 16, planes, 4, 4)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        weight = torch.randn(16, 16, 5, 3, 3, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_()
        convolve_once(x.to(dtype), weight, None, 1, (2, 1, 1)).backward(g.to(dtype))
        found.append(weight.grad.float())
    assert (found[0] - found[1]).norm() < 0.02 * found[0].norm()


def test_the_layers_of_volumes_avoid_the_wrong_gradient():
    ours = make_conv(3, 4, 4)
    theirs = adopt_layers(nn.Sequential(nn.Conv3d(4, 4, 3, padding=1)))[0]
    assert type(ours) is type(theirs) is Conv3d
    x = torch.randn(1, 4, 2, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert "_ConvolutionOutput" in type(ours(x).grad_fn).__name__
        assert "_ConvolutionOutput" not in type(ours(torch.randn(1, 4, 3, 4, 4)).grad_fn).__name__
    assert "_ConvolutionOutput" not in type(ours(x).grad_fn).__name__  # float32 is right and stays as it was
