"""What a network computes in does not depend on the device's list of operations, and float32 is untouched."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ganatomy.machine.device import deterministic_algorithms
from ganatomy.networks.style import ModulatedConv
from ganatomy.nn.foreign import adopt_layers
from ganatomy.nn.plain import GroupNormReLU, VoxelNormReLU
from ganatomy.nn.precision import normalise_groups
from ganatomy.nn.resample import F_AVG_POOL, downsample_mean, upsample_linear, upsample_nearest
from ganatomy.nn.spectral import SpectralConv, SpectralDense

LAYERS = {
    "group norm": GroupNormReLU(8, 2),
    "voxel norm": VoxelNormReLU(8, 2),
    "nearest": upsample_nearest,
    "linear": upsample_linear,
    "mean": downsample_mean,
    "spectral convolution": SpectralConv(8, 4, (3, 3, 3), (1, 1, 1), (1, 1, 1)),
    "foreign layers": adopt_layers(nn.Sequential(nn.Upsample(scale_factor=2), nn.GroupNorm(2, 8))),
}


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_keep_half_precision_under_autocast(name, precision):
    x = torch.randn(2, 8, 4, 4, 4)
    with torch.autocast("cpu", precision):
        y = LAYERS[name](x.to(precision).requires_grad_(True))
    assert y.dtype == precision
    y.float().square().sum().backward()
    torch.testing.assert_close(y.float(), LAYERS[name](x), rtol=0.05, atol=0.05)


def test_a_dense_layer_keeps_half_precision_and_its_norm_is_taken_in_float32():
    with torch.autocast("cpu", torch.bfloat16):
        assert SpectralDense(8, 4)(torch.randn(2, 8)).dtype == torch.bfloat16


def test_styles_are_normalised_in_float32():
    """Their squares span many orders of magnitude; a reciprocal root of half a number's digits would not do."""
    layer, x, w = ModulatedConv(2, 8, 4, 16), torch.randn(2, 8, 4, 4), torch.randn(2, 16)
    roots = []
    reciprocal_root = torch.Tensor.rsqrt

    def keep(tensor):
        roots.append(tensor.dtype)
        return reciprocal_root(tensor)

    with pytest.MonkeyPatch.context() as patch, torch.autocast("cpu", torch.bfloat16):
        patch.setattr(torch.Tensor, "rsqrt", keep)
        assert layer(x, w).dtype == torch.bfloat16
    assert roots == [torch.float32]


def test_float32_is_pytorchs_own_to_the_bit():
    x, weight, bias = torch.randn(2, 8, 5, 5), torch.randn(8), torch.randn(8)
    assert torch.equal(normalise_groups(x, 2, weight, bias, 1e-5), F.group_norm(x, 2, weight, bias, 1e-5))
    theirs = nn.Sequential(nn.GroupNorm(2, 8), nn.LayerNorm(5), nn.Upsample(scale_factor=2))
    before = theirs(x)
    names = list(theirs.state_dict())
    assert torch.equal(adopt_layers(theirs)(x), before)
    assert list(theirs.state_dict()) == names


def test_a_mean_over_cells_of_a_volume_has_a_deterministic_form():
    """The derivative of PyTorch's own adds up in any order on a GPU; there it may not be called."""
    x = torch.randn(2, 3, 4, 6, 8, requires_grad=True)
    expected = F.avg_pool3d(x, 2)
    (slope,) = torch.autograd.grad(expected.square().sum(), x)
    with pytest.MonkeyPatch.context() as patch, deterministic_algorithms():
        patch.setitem(F_AVG_POOL, 3, lambda *given: pytest.fail("PyTorch's own was called"))
        found = downsample_mean(x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found.square().sum(), x)[0], slope)
