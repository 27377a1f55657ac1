"""StyleGAN2 (Karras 2020) in 2D and 3D, as in 3D-StyleGAN (Hong 2021): one output layer, residual discriminator.

- A mapping network maps the latent code to a style, which modulates every convolution; its output is demodulated.
- Enlarging is linear (filter 1-3-3-1); shrinking takes the mean over cells of two voxels per axis.
- There are no noise inputs, because an image is a function of seed and number, and generators draw no random numbers.
- There is no style mixing and no path length regularisation, which would need two codes or the intermediate code.
"""

import itertools
import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganatomy.networks.config import NetworkConfig, TruncationPlace
from ganatomy.networks.progressive import ProgressiveDiscriminatorBase, count_features, rectify
from ganatomy.nn.convolution import convolve
from ganatomy.nn.ending import end_channels, leave_unbounded
from ganatomy.nn.equalised import Conv, Dense
from ganatomy.nn.norm import normalise_pixels
from ganatomy.nn.precision import disable_autocast
from ganatomy.nn.resample import downsample_mean, upsample_linear
from ganatomy.pyramid import compute_pyramid
from ganatomy.steps.condition import Condition
from ganatomy.steps.coupling import Coupling, couple_groups
from ganatomy.steps.scope import ImageParts, WholeScope
from ganatomy.steps.space import DiscriminatorOutput, ImageSpace

MAPPING_LR_SCALE = 0.01  # learning rate of the mapping network relative to all other layers (Karras 2019)
EPSILON = 1e-8
TINY_WIDTHS = {"width": 64, "widest": 16}


# ----------------------------------------------------------------------------------------------------------------------
# Configurations.


class StyleGenerator(NetworkConfig):
    """Settings of w = f(z), x = g(w)   (Karras 2020, section 2; mapping network f: Karras 2019, section 2).

    Args:
        width, widest: feature maps, as in the progressive networks.
        mapping: layers of the mapping network.
        slow_biases: whether the biases of the mapping network learn as slowly as its weights, as in the official code.
            In the first release of this package they learned a hundred times as fast.
    """

    kind: Literal["style-generator"] = "style-generator"
    width: int = Field(2048, ge=4)
    widest: int = Field(128, ge=1)
    mapping: int = Field(8, ge=1)
    slow_biases: bool = False

    @property
    def truncation_place(self) -> TruncationPlace:
        return "style"

    def build(self, space: ImageSpace) -> nn.Module:
        return StyleGeneratorModule(self, space)

    def make_tiny(self) -> "StyleGenerator":
        return self.replace(**TINY_WIDTHS, mapping=2)


class ResidualDiscriminator(NetworkConfig):
    """Settings of D(x) with residual blocks   (Karras 2020, section 4.1).

    Args:
        width, widest: feature maps, as in the progressive networks.
        group: images of a group of the minibatch standard deviation.
    """

    kind: Literal["residual-discriminator"] = "residual-discriminator"
    width: int = Field(2048, ge=4)
    widest: int = Field(128, ge=1)
    group: int = Field(4, ge=1)

    @property
    def coupling(self) -> Coupling:
        return couple_groups(self.group)

    @property
    def feature_layer(self) -> str:
        return "base.head"

    def build(self, space: ImageSpace) -> nn.Module:
        return ResidualDiscriminatorModule(self, space)

    def make_tiny(self) -> "ResidualDiscriminator":
        return self.replace(**TINY_WIDTHS)


# ----------------------------------------------------------------------------------------------------------------------
# Generator.


class MappingNetwork(nn.Module):
    """w = f(PN(z, c)), fᵢ(h) = lrelu(Wᵢ h + bᵢ), PN = pixel normalisation   (Karras 2019, section 2).

    (batch, latent + conditions) -> styles (batch, latent).
    """

    def __init__(self, n_in: int, latent: int, layers: int, slow_biases: bool = True) -> None:
        super().__init__()
        widths = [n_in, *[latent] * layers]
        # Under Adam, parameters that are 100 times as large and scaled by 1/100 learn 100 times more slowly.
        bias_scale = MAPPING_LR_SCALE if slow_biases else 1.0
        self.layers = nn.ModuleList(
            Dense(a, b, gain=math.sqrt(2) * MAPPING_LR_SCALE, bias_scale=bias_scale)
            for a, b in itertools.pairwise(widths)
        )
        with torch.no_grad():
            for parameter in self.layers.parameters():
                parameter.div_(MAPPING_LR_SCALE)  # the biases remain zero

    def forward(self, z: Tensor) -> Tensor:
        x = normalise_pixels(z)
        for layer in self.layers:
            x = rectify(layer(x))
        return x


class ModulatedConv(nn.Module):
    """w'ᵢⱼₖ = sᵢ wᵢⱼₖ,  w''ᵢⱼₖ = w'ᵢⱼₖ / √(Σᵢₖ w'ᵢⱼₖ² + ε),  y = conv(x, w'') + b   (Karras 2020, eq. 1 and 3).

    x (batch, in, *space), styles (batch, latent) -> (batch, out, *space). s is a dense layer of the style. Instead of a
    kernel for each image, the input is multiplied by s and the output by the inverse norms, which gives the same result
    with one convolution for the batch.
    """

    def __init__(self, ndim: int, n_in: int, n_out: int, latent: int, kernel: int = 3, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in, *[kernel] * ndim))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.scale = 1 / math.sqrt(n_in * kernel**ndim)
        self.style = Dense(latent, n_in, gain=1)
        self.demodulate = demodulate
        with torch.no_grad():
            self.style.bias.fill_(1)  # type: ignore[union-attr]

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        ones = [1] * (x.ndim - 2)
        style, weight = self.style(w), self.weight * self.scale
        y = convolve(x * style.view(*style.shape, *ones).to(x.dtype), weight, padding=weight.shape[-1] // 2)
        if self.demodulate:
            with disable_autocast(x):
                norm = (style.to(weight.dtype).square() @ weight.square().flatten(2).sum(2).T + EPSILON).rsqrt()
            y = y * norm.view(*norm.shape, *ones).to(y.dtype)
        return y + self.bias.view(1, -1, *ones).to(y.dtype)


class StyledBlock(nn.Module):
    """h = √2 lrelu(conv_w(up(x))),  y = √2 lrelu(conv_w(h)), conv_w = `ModulatedConv`   (Karras 2020, section 2).

    (batch, in, *space) -> (batch, out, *twice the space). The first block keeps the size and has only the second layer.
    """

    def __init__(self, ndim: int, n_in: int, n_out: int, latent: int, enlarge: bool) -> None:
        super().__init__()
        self.first = ModulatedConv(ndim, n_in, n_out, latent) if enlarge else None
        self.second = ModulatedConv(ndim, n_out, n_out, latent)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        if self.first is not None:
            x = rectify(self.first(upsample_linear(x), w)) * math.sqrt(2)
        return rectify(self.second(x, w)) * math.sqrt(2)


class StyleGeneratorModule(nn.Module):
    """x = g(f(z, c))   (Karras 2020, section 2; Hong 2021).

    g consists of a learnt constant, styled blocks, and one 1 x 1 convolution to the image.
    z (batch, latent), condition c, scope of the whole image -> (image,).
    """

    def __init__(self, config: StyleGenerator, space: ImageSpace) -> None:
        super().__init__()
        sizes, ndim = compute_pyramid(space.shape), len(space.shape)
        widths = [count_features(level, config.width, config.widest) for level in range(len(sizes))]
        n_in = space.latent + space.conditions.width
        self.mapping = MappingNetwork(n_in, space.latent, config.mapping, config.slow_biases)
        self.constant = nn.Parameter(torch.randn(widths[0], *sizes[0]))
        pairs = [(widths[0], widths[0]), *itertools.pairwise(widths)]
        self.blocks = nn.ModuleList(
            StyledBlock(ndim, a, b, space.latent, enlarge=level > 0) for level, (a, b) in enumerate(pairs)
        )
        self.to_image = ModulatedConv(ndim, widths[-1], space.channels, space.latent, kernel=1, demodulate=False)
        self.kinds = space.kinds

    def list_blocks(self) -> list[nn.Module]:
        """List the modules that may be recomputed or compiled separately."""
        return list(self.blocks)

    def map_codes(self, z: Tensor, condition: Condition) -> Tensor:
        """w = f(z, c): styles (batch, latent)."""
        w: Tensor = self.mapping(torch.cat((z, condition.vector), 1))
        return w

    def forward(self, z: Tensor, condition: Condition, scope: WholeScope) -> ImageParts:
        return self.decode_styles(self.map_codes(z, condition), scope)

    def decode_styles(self, w: Tensor, scope: WholeScope) -> ImageParts:
        """x = g(w): styles (batch, latent) -> (image,)."""
        x = self.constant.expand(len(w), *self.constant.shape)
        for block in self.blocks:
            x = block(x, w)
        return (end_channels(self.to_image(x, w), self.kinds, leave_unbounded).float(),)


# ----------------------------------------------------------------------------------------------------------------------
# Discriminator.


class ResidualBlock(nn.Module):
    """y = (down(lrelu(conv(lrelu(conv(x))))) + skip(down(x))) / √2   (Karras 2020, section 4.1).

    (batch, in, *space) -> (batch, out, *half the space). skip is a 1 x 1 convolution.
    """

    def __init__(self, ndim: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first, self.second = Conv(ndim, n_in, n_in), Conv(ndim, n_in, n_out)
        self.skip = Conv(ndim, n_in, n_out, kernel=1, gain=1)

    def forward(self, x: Tensor) -> Tensor:
        y = rectify(self.second(rectify(self.first(x))))
        return (downsample_mean(y) + self.skip(downsample_mean(x))) / math.sqrt(2)


class ResidualDiscriminatorModule(nn.Module):
    """D(x) = base(block_1(...block_L(rgb(x))))   (blocks: Karras 2020, section 4.1; base: Karras 2018, table 2).

    (image,), condition, scope of the whole image -> scores and label logits.
    """

    def __init__(self, config: ResidualDiscriminator, space: ImageSpace) -> None:
        super().__init__()
        sizes, ndim = compute_pyramid(space.shape), len(space.shape)
        widths = [count_features(level, config.width, config.widest) for level in range(len(sizes))][::-1]
        self.from_image = Conv(ndim, space.channels, widths[0], kernel=1)
        self.blocks = nn.ModuleList(ResidualBlock(ndim, a, b) for a, b in itertools.pairwise(widths))
        labels = space.conditions.label_width
        self.base = ProgressiveDiscriminatorBase(widths[-1], widths[-1], sizes[0], config.group, labels)

    def forward(self, images: ImageParts, condition: Condition, scope: WholeScope) -> DiscriminatorOutput:
        x = rectify(self.from_image(images[0]))
        for block in self.blocks:
            x = block(x)
        answer = self.base(x).float()
        return DiscriminatorOutput(answer[:, 0], answer[:, 1:])
