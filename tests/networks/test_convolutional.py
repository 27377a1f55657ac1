"""The plain networks: widths by rule, shapes in 2D and 3D, sizes as published."""

import pytest
import torch

from ganatomy.channels import ONE_IMAGE
from ganatomy.networks.convolutional import (
    CodeDiscriminator,
    ConvolutionalDiscriminator,
    ConvolutionalEncoder,
    ConvolutionalGenerator,
)
from ganatomy.steps.condition import UNCONDITIONAL, ConditionSpace
from ganatomy.steps.scope import WholeScope
from ganatomy.steps.space import ImageSpace


@pytest.mark.parametrize("shape", [(32, 32, 32), (16, 24, 32), (40, 32)])
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_shapes_there_and_back(shape, norm):
    conditions = ConditionSpace({"gold": ("0", "1", "2")})
    space = ImageSpace(shape, ONE_IMAGE, 10, conditions)
    scope, condition = WholeScope(shape), conditions.encode([{"gold": "0"}, {"gold": "1"}])
    generator = ConvolutionalGenerator(norm=norm).make_tiny().build(space)
    (image,) = generator(torch.randn(2, 10), condition, scope)
    assert image.shape == (2, 1, *shape)
    assert image.abs().max() <= 1
    verdict = ConvolutionalDiscriminator(norm=norm).make_tiny().build(space)((image,), condition, scope)
    assert verdict.scores.shape == (2,)
    assert verdict.labels.shape == (2, 3)
    assert ConvolutionalEncoder(norm=norm).make_tiny().build(space)(image).shape == (2, 10)
    assert ConvolutionalEncoder(norm=norm, variational=True).make_tiny().build(space)(image).shape == (2, 20)
    assert CodeDiscriminator().make_tiny().build(space)(torch.randn(2, 10)).shape == (2,)


def test_the_generator_at_128_is_that_of_the_authors():
    """1024-512-256-128-64-1 from a base of 4 cubed (HA-GAN's early repository)."""
    with torch.device("meta"):
        generator = ConvolutionalGenerator().build(ImageSpace((128, 128, 128), ONE_IMAGE, 1024, UNCONDITIONAL))
    widths = [block.layer.weight.shape[:2] for block in generator.blocks]
    assert [tuple(w) for w in widths] == [(512, 1024), (256, 512), (128, 256), (64, 128)]
    assert generator.dense.weight.shape == (1024 * 64, 1024)
    assert generator.head.weight.shape[:2] == (1, 64)


def test_a_batch_normalised_generator_makes_the_same_image_alone_and_in_a_batch():
    space = ImageSpace((16, 16, 16), ONE_IMAGE, 8, UNCONDITIONAL)
    generator = ConvolutionalGenerator().make_tiny().build(space)
    z = torch.randn(4, 8)
    for _ in range(3):
        generator(z, UNCONDITIONAL.make_blank(4), WholeScope((16, 16, 16)))
    generator.eval()
    together = generator(z, UNCONDITIONAL.make_blank(4), WholeScope((16, 16, 16)))[0]
    alone = generator(z[2:3], UNCONDITIONAL.make_blank(1), WholeScope((16, 16, 16)))[0]
    torch.testing.assert_close(together[2:3], alone)
