"""StyleGAN2's layers against their definition, image by image."""

import math

import pytest
import torch
from torch.nn import functional as F

from ganatomy.channels import ONE_IMAGE
from ganatomy.networks.style import MappingNetwork, ModulatedConv, ResidualDiscriminator, StyleGenerator
from ganatomy.recipes import get_recipe
from ganatomy.steps.condition import ConditionSpace
from ganatomy.steps.scope import WholeScope
from ganatomy.steps.space import ImageSpace
from ganatomy.steps.truncation import generate_truncated

CONV = {2: F.conv2d, 3: F.conv3d}


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("demodulate", [True, False])
def test_modulation_by_scaling_equals_a_kernel_for_each_image(ndim, demodulate):
    torch.manual_seed(0)
    layer = ModulatedConv(ndim, 5, 7, 11, demodulate=demodulate).double()
    layer.bias.data.normal_()
    x, w = torch.randn(3, 5, *[6] * ndim).double(), torch.randn(3, 11).double()
    found = layer(x, w)
    style = layer.style(w)
    for i in range(3):  # Karras 2020, equations 1 and 3
        kernel = layer.weight * layer.scale * style[i].view(1, 5, *[1] * ndim)
        if demodulate:
            kernel = kernel / (kernel.square().flatten(1).sum(1) + 1e-8).sqrt().view(-1, *[1] * (ndim + 1))
        expected = CONV[ndim](x[i : i + 1], kernel, layer.bias, padding=1)
        torch.testing.assert_close(found[i : i + 1], expected, rtol=1e-5, atol=1e-5)


def test_demodulated_features_have_unit_size():
    torch.manual_seed(0)
    layer = ModulatedConv(2, 64, 64, 16)
    y = layer(torch.randn(8, 64, 16, 16), 5 * torch.randn(8, 16))
    assert y.std().item() == pytest.approx(1, rel=0.1)


def test_the_mapping_learns_a_hundred_times_more_slowly():
    torch.manual_seed(0)
    mapping = MappingNetwork(16, 16, 1)
    effective = mapping.layers[0].weight * mapping.layers[0].scale
    assert effective.std().item() == pytest.approx(math.sqrt(2) / 4, rel=0.2)  # He's size for 16 inputs
    assert mapping.layers[0].weight.std().item() == pytest.approx(100, rel=0.2)


@pytest.mark.parametrize("shape", [(16, 24, 32), (40, 32)])
def test_shapes(shape):
    conditions = ConditionSpace({"view_position": ("CC", "MLO")})
    space = ImageSpace(shape, ONE_IMAGE, 12, conditions)
    condition = conditions.encode([{"view_position": view} for view in ("CC", "MLO")])
    (image,) = StyleGenerator().make_tiny().build(space)(torch.randn(2, 12), condition, WholeScope(shape))
    assert image.shape == (2, 1, *shape)
    verdict = ResidualDiscriminator().make_tiny().build(space)((image,), condition, WholeScope(shape))
    assert verdict.scores.shape == (2,)
    assert verdict.labels.shape == (2, 2)


def test_truncation_draws_styles_towards_the_mean_of_their_condition():
    torch.manual_seed(0)
    conditions = ConditionSpace({"view": ("a", "b")})
    generator = StyleGenerator(width=64, widest=16, mapping=2).build(ImageSpace((16, 16), ONE_IMAGE, 8, conditions))
    for layer in generator.mapping.layers:
        layer.bias.data.normal_(0, 100)  # so that the mean style is not zero
    z, scope = torch.randn(6, 8), WholeScope((16, 16))
    condition = conditions.encode([{"view": "a"}] * 3 + [{"view": "b"}] * 3)
    with torch.no_grad():
        (free,) = generator(z, condition, scope)
        whole, half, none = (generate_truncated(generator, z, condition, scope, share)[0] for share in (1.0, 0.5, 0.0))
    torch.testing.assert_close(whole, free, rtol=1e-4, atol=1e-4)
    for same in (slice(0, 3), slice(3, 6)):
        assert free[same].std(0).mean() > 1.3 * half[same].std(0).mean() > 0
        torch.testing.assert_close(none[same][1:], none[same][:1].expand(2, -1, -1, -1), rtol=1e-4, atol=1e-4)
    assert (none[0] - none[3]).abs().mean() > 0.01


@pytest.mark.parametrize(("slow", "expected"), [(True, 0.01), (False, 1.0)])
def test_biases_of_the_mapping_network_learn_as_slowly_as_its_weights(slow, expected):
    mapping = MappingNetwork(16, 16, 1, slow_biases=slow)
    layer = mapping.layers[0]
    optimizer = torch.optim.Adam(mapping.parameters(), lr=0.1, betas=(0.0, 0.99))
    mapping(torch.randn(64, 16)).sum().backward()
    optimizer.step()  # of size 0.1 for every stored number
    assert (layer.bias * layer.bias_scale).abs().max().item() == pytest.approx(0.1 * expected, rel=1e-3)


def test_a_generator_of_the_first_release_is_read_as_it_was():
    assert not StyleGenerator.model_validate({"kind": "style-generator"}).slow_biases
    assert get_recipe("stylegan2").networks["generator"].slow_biases
