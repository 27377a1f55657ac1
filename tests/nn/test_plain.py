"""Exact ways of computing one up-convolution, normalisations by halves, and the spectral norm against PyTorch's."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from ganatomy.nn.plain import GroupNormReLU, PlainUpConv, VoxelNormReLU, compute_group_moments
from ganatomy.nn.spectral import SpectralConv, SpectralDense


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("way", ["fold", "phases"])
def test_every_way_of_an_up_convolution_is_one_function(ndim, way):
    torch.manual_seed(0)
    fast, plain = PlainUpConv(ndim, 3, 2, way), PlainUpConv(ndim, 3, 2, "plain")
    plain.load_state_dict(fast.state_dict())
    x = torch.randn(2, 3, *(8, 10, 9)[:ndim], requires_grad=True)
    a, b = fast(x), plain(x)
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    grads = [
        torch.autograd.grad(y.square().sum(), (x, layer.weight, layer.bias)) for y, layer in ((a, fast), (b, plain))
    ]
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)
    for drop in (1, 2):
        torch.testing.assert_close(fast(x, drop), b[:, :, drop:-drop], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("drop", [0, 1, 2])
@pytest.mark.parametrize("way", ["fold", "phases"])
def test_gradients_without_the_end_planes_are_those_of_the_plain_way(way, drop):
    """With the sizes of a head: oneDNN's gradients of a transposed convolution with a padding of 3 are wrong."""
    torch.manual_seed(0)
    layers = [PlainUpConv(3, 4, 1, kind) for kind in (way, "plain")]
    layers[1].load_state_dict(layers[0].state_dict())
    for _ in range(5):  # the wrong ones were memory that was never written, now and then by chance the right numbers
        x = torch.randn(4, 4, 8, 16, 16, requires_grad=True)
        grads = [torch.autograd.grad(n(x, drop).square().sum(), (x, n.weight, n.bias)) for n in layers]
        for one, other in zip(*grads, strict=True):
            torch.testing.assert_close(one, other, atol=1e-2, rtol=1e-3)


def test_a_small_input_is_not_folded_but_equal():
    layer = PlainUpConv(3, 2, 2, "fold")
    x = torch.randn(1, 2, 4, 4, 4)
    expected = F.conv3d(F.interpolate(x, scale_factor=2), layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(x), expected)


def test_group_norm_by_halves_is_pytorchs():
    torch.manual_seed(0)
    norm = GroupNormReLU(8, 2)
    norm.weight.data.uniform_(0.5, 2)
    norm.bias.data.normal_()
    x = torch.randn(3, 8, 4, 5, 6) * 3 + 1
    expected = F.relu(F.group_norm(x, 2, norm.weight, norm.bias))
    torch.testing.assert_close(norm(x.clone()), expected, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(norm(x.clone()), expected, atol=1e-5, rtol=1e-5)
        mean, variance = compute_group_moments(x, 2)
        torch.testing.assert_close(norm.apply_statistics(x.clone(), mean, variance), expected, atol=1e-5, rtol=1e-5)


def test_voxel_norm_sees_one_voxel_at_a_time():
    norm = VoxelNormReLU(8, 2)
    x = torch.randn(2, 8, 4, 4, 4)
    assert torch.equal(norm(x)[:, :, 1:3], norm(x[:, :, 1:3]))
    assert not torch.equal(norm(x), F.relu(x))


def test_the_spectral_norm_is_the_largest_singular_value():
    torch.manual_seed(0)
    for ours, theirs, x in (
        (SpectralDense(6, 5), nn.Linear(6, 5), torch.randn(3, 6)),
        (
            SpectralConv(3, 4, (2, 4, 4), (2, 2, 2), (0, 1, 1)),
            nn.Conv3d(3, 4, (2, 4, 4), 2, (0, 1, 1)),
            torch.randn(2, 3, 4, 8, 8),
        ),
    ):
        theirs.load_state_dict({"weight": ours.weight, "bias": ours.bias})
        theirs = spectral_norm(theirs)
        for _ in range(50):  # both iterations converge
            a, b = ours(x), theirs(x)
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)
        largest = torch.linalg.matrix_norm((ours.weight / ours.compute_sigma()).flatten(1), 2)
        assert largest.item() == pytest.approx(1, abs=1e-3)


def test_only_training_moves_the_spectral_norms_vector():
    layer = SpectralDense(6, 5)
    layer.eval()
    before = layer.u.clone()
    layer(torch.randn(1, 6))
    assert torch.equal(layer.u, before)
    layer.train()
    layer(torch.randn(1, 6))
    assert not torch.equal(layer.u, before)
