"""HA-GAN's encoders (Sun 2022; official code), which learn the inverse of a generator.

    A_r ≈ E^H(x_r)             the high-resolution encoder: from a sub-volume to its features
    z ≈ E^G(A)                 the ground encoder: from the features of the whole volume to its code

Their sizes and widths are those of the generator (`networks.hierarchical`).
"""

import math
from itertools import pairwise
from typing import Literal, Self

from pydantic import Field
from torch import Tensor, nn

from ganatomy.networks.config import NetworkConfig
from ganatomy.networks.hierarchical import HierarchicalGenerator
from ganatomy.nn.plain import GroupNormReLU, PlainBlock, make_conv, make_down_conv
from ganatomy.steps import hierarchy
from ganatomy.steps.space import ImageSpace


class HierarchicalEncoder(NetworkConfig):
    """Settings of an encoder, which it shares with the generator whose inverse it learns   (Sun 2022)."""

    features: int = Field(64, ge=4, multiple_of=4)
    groups: int = Field(8, ge=1)

    def adapt_to_generator(self, generator: NetworkConfig) -> Self:
        assert isinstance(generator, HierarchicalGenerator), "encoders of HA-GAN learn from a generator of HA-GAN"
        return self.replace(features=generator.features, groups=generator.groups)

    def make_tiny(self) -> Self:
        return self.replace(features=8, groups=2)


class HighEncoder(HierarchicalEncoder):
    """Settings of A_r = E^H(x_r): from a sub-volume to its features   (Sun 2022)."""

    kind: Literal["high-encoder"] = "high-encoder"

    def build(self, space: ImageSpace) -> nn.Module:
        return _HighEncoderModule(self, space)


class GroundEncoder(HierarchicalEncoder):
    """Settings of z = E^G(A): from the features of the whole volume to a latent code   (Sun 2022)."""

    kind: Literal["ground-encoder"] = "ground-encoder"

    def build(self, space: ImageSpace) -> nn.Module:
        return _GroundEncoderModule(self, space)


class _HighEncoderModule(nn.Module):
    """A_r = E^H(x_r): three times h = relu(GN(conv(h))), strides 2, 1, 2   (Sun 2022).

    Sub-volume (batch, channels, 4 n, *4 rest) -> features (batch, features, n, *rest).
    """

    def __init__(self, config: HighEncoder, space: ImageSpace) -> None:
        super().__init__()
        ndim, w = len(space.shape), config.features
        convs = (
            make_conv(ndim, space.channels, w // 2, 4, 2),
            make_conv(ndim, w // 2, w // 2),
            make_conv(ndim, w // 2, w, 4, 2),
        )
        self.blocks = nn.Sequential(*(PlainBlock(c, GroupNormReLU(c.out_channels, config.groups)) for c in convs))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.blocks(x)
        return y


class _GroundEncoderModule(nn.Module):
    """z = E^G(A): h = relu(GN(conv(h))) with stride 2 down to the base, then a dense layer   (Sun 2022).

    Features of the whole volume -> latent codes (batch, latent).
    """

    def __init__(self, config: GroundEncoder, space: ImageSpace) -> None:
        super().__init__()
        w = config.features
        shape = hierarchy.compute_low_shape(space.shape)
        halved = hierarchy.list_halved_axes(shape)
        widths = [w, *hierarchy.compute_rising_widths(4 * w, w // 2, len(halved))]
        self.blocks = nn.Sequential(
            *(
                PlainBlock(make_down_conv(axes, a, b), GroupNormReLU(b, config.groups))
                for axes, (a, b) in zip(halved, pairwise(widths), strict=True)
            )
        )
        self.head = nn.Linear(widths[-1] * math.prod(hierarchy.compute_sizes(shape)[0]), space.latent)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.head(self.blocks(x).flatten(1)).float()
        return z
