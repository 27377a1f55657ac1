"""The residual networks: every level, fades, the hard range of values, and the label by projection."""

import pytest
import torch

from ganatomy.channels import ONE_IMAGE
from ganatomy.networks.residual import ProjectionDiscriminator, ResidualGenerator
from ganatomy.nn.bounds import clamp_to_range
from ganatomy.nn.resample import downsample_mean, upsample_linear
from ganatomy.pyramid import compute_pyramid
from ganatomy.steps.condition import UNCONDITIONAL, ConditionSpace
from ganatomy.steps.scope import LevelScope
from ganatomy.steps.space import ImageSpace

VIEWS = ConditionSpace({"view_position": ("CC", "MLO")})
BOTH = VIEWS.encode([{"view_position": view} for view in ("CC", "MLO")])


def _build(shape, conditions=VIEWS):
    space = ImageSpace(shape, ONE_IMAGE, 12, conditions)
    torch.manual_seed(0)
    return ResidualGenerator().make_tiny().build(space), ProjectionDiscriminator().make_tiny().build(space)


@pytest.mark.parametrize("shape", [(16, 24, 32), (40, 32)])
def test_every_level_is_made_and_judged(shape):
    generator, discriminator = _build(shape)
    for level, size in enumerate(compute_pyramid(shape)):
        for alpha in (0.3, 1.0) if level else (1.0,):
            scope = LevelScope(level, alpha, size)
            (image,) = generator(torch.randn(2, 12), BOTH, scope)
            assert image.shape == (2, 1, *size)
            output = discriminator((image,), BOTH, scope)
            assert output.scores.shape == (2,)
            assert output.labels.shape == (2, 0)


def test_a_level_fades_in_over_the_one_below():
    generator, discriminator = _build((40, 32))
    z = torch.randn(2, 12)
    below, fading, whole = LevelScope(1, 1.0, (10, 8)), LevelScope(2, 0.0, (20, 16)), LevelScope(2, 1.0, (20, 16))
    with torch.no_grad():
        for to_image in generator.to_image:
            to_image.weight.mul_(0.1)  # within the range of values, which a sum of levels may leave
        (coarse,), (start,), (end,) = (generator(z, BOTH, scope) for scope in (below, fading, whole))
        torch.testing.assert_close(start, upsample_linear(coarse))
        (middle,) = generator(z, BOTH, LevelScope(2, 0.5, (20, 16)))
        torch.testing.assert_close(middle, (start + end) / 2)
        image = torch.randn(2, 1, 20, 16)
        old = discriminator((downsample_mean(image),), BOTH, below).scores
        torch.testing.assert_close(discriminator((image,), BOTH, fading).scores, old)


def test_air_is_exactly_air_and_comes_back():
    x = torch.tensor([-3.0, -1.05, -0.5, 0.5, 1.05, 3.0], requires_grad=True)
    y = clamp_to_range(x)
    assert y.tolist() == [-1, -1, -0.5, 0.5, 1, 1]
    (up,) = torch.autograd.grad(y.sum(), x, retain_graph=True)  # descent makes values smaller
    assert up.tolist() == [0, 1, 1, 1, 1, 1]
    (down,) = torch.autograd.grad(-y.sum(), x)  # descent makes values larger
    assert down.tolist() == [-1, -1, -1, -1, 0, 0]


def test_no_sample_leaves_the_range_and_some_voxels_have_its_lowest_value():
    generator, _ = _build((40, 32), UNCONDITIONAL)
    with torch.no_grad():
        generator.to_image[0].bias.fill_(-0.9)
        (image,) = generator(torch.randn(8, 12), UNCONDITIONAL.make_blank(8), LevelScope(3, 1.0, (40, 32)))
    assert image.min() == -1
    assert image.max() <= 1


def test_a_label_changes_the_score_by_an_inner_product():
    _, discriminator = _build((40, 32))
    scope, image = LevelScope(3, 1.0, (40, 32)), torch.randn(1, 1, 40, 32).expand(2, -1, -1, -1)
    seen = []
    discriminator.head.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        scores = discriminator((image,), BOTH, scope).scores
        vectors = discriminator.embedding(BOTH.vector)
    expected = ((vectors[1] - vectors[0]) * seen[0][0]).sum() / seen[0].shape[1] ** 0.5
    assert (scores[1] - scores[0]).item() == pytest.approx(expected.item(), rel=1e-4)


def test_images_of_a_batch_do_not_depend_on_one_another():
    _, discriminator = _build((40, 32))
    assert ProjectionDiscriminator().coupling.group == 1
    images, scope = torch.randn(2, 1, 40, 32), LevelScope(3, 1.0, (40, 32))
    with torch.no_grad():
        both = discriminator((images,), BOTH, scope).scores
        alone = torch.cat([discriminator((images[i : i + 1],), BOTH[i : i + 1], scope).scores for i in range(2)])
    torch.testing.assert_close(both, alone)
