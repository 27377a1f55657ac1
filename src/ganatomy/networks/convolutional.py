"""Plain convolutional networks for whole images: the baselines of the HA-GAN paper (Sun 2022; Kwon 2019).

- The generator has a dense layer to the base of the pyramid, then nearest x 2 and a convolution with a 3-tap kernel for
  each level; the width is halved each time. With `features` 64 at 128 cubed its widths are those of the baseline in
  HA-GAN's official code: 1024-512-256-128-64-1.
- Discriminator and encoder have convolutions of kernel 4 and stride 2 down to the base, whose width is doubled each
  time, then one dense layer.
- The code discriminator is a multilayer perceptron on latent codes (alpha-GAN: Rosca 2017).
"""

import math
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ganatomy.networks.config import NetworkConfig, TruncationPlace
from ganatomy.nn.across import BatchNorm
from ganatomy.nn.ending import end_channels
from ganatomy.nn.foreign import GroupNorm
from ganatomy.nn.plain import NORM_EPSILON, PlainUpConv, StridedConv
from ganatomy.pyramid import Shape, compute_pyramid
from ganatomy.steps.condition import Condition
from ganatomy.steps.coupling import BATCH_NORM_COUPLING, NO_COUPLING, Coupling
from ganatomy.steps.scope import ImageParts, WholeScope
from ganatomy.steps.space import DiscriminatorOutput, ImageSpace

LEAKY_SLOPE = 0.2  # slope of the leaky rectifiers below zero
NORM_GROUPS = 4  # groups of every group normalisation
NormKind = Literal["batch", "group", "none"]


def _get_norm_coupling(norm: NormKind) -> Coupling:
    """Return the coupling of a normalisation: only batch normalisation couples the images of a batch."""
    return BATCH_NORM_COUPLING if norm == "batch" else NO_COUPLING


# ----------------------------------------------------------------------------------------------------------------------
# Configurations.


class ConvolutionalGenerator(NetworkConfig):
    """Settings of G(z) = tanh(conv(up(h_L))),  hₗ = relu(norm(conv(up(hₗ₋₁))))   (Sun 2022, Kwon 2019).

    Args:
        features: feature maps of the last hidden layer; each coarser level has twice as many, up to `widest`.
        widest: largest number of feature maps of a level.
        norm: the normalisation of every hidden layer.
    """

    kind: Literal["convolutional-generator"] = "convolutional-generator"
    features: int = Field(64, ge=1)
    widest: int = Field(1024, ge=1)
    norm: NormKind = "batch"

    @property
    def coupling(self) -> Coupling:
        return _get_norm_coupling(self.norm)

    @property
    def truncation_place(self) -> TruncationPlace:
        return "nowhere" if self.norm == "group" else "code"  # group normalisation removes the length of a code

    def build(self, space: ImageSpace) -> nn.Module:
        return ConvolutionalGeneratorModule(self, space)

    def make_tiny(self) -> "ConvolutionalGenerator":
        return self.replace(features=8, widest=32)


class ConvolutionalDiscriminator(NetworkConfig):
    """Settings of D(x) = W h_L + b,  hₗ = lrelu(norm(conv(hₗ₋₁))), stride 2   (Sun 2022, Kwon 2019).

    Args:
        features: feature maps of the first layer; each further level has twice as many, up to `widest`.
        widest: largest number of feature maps of a level.
        norm: the normalisation of every hidden layer but the first.
    """

    kind: Literal["convolutional-discriminator"] = "convolutional-discriminator"
    features: int = Field(32, ge=1)
    widest: int = Field(512, ge=1)
    norm: NormKind = "batch"

    @property
    def coupling(self) -> Coupling:
        return _get_norm_coupling(self.norm)

    @property
    def feature_layer(self) -> str:
        return "tower.head"

    def build(self, space: ImageSpace) -> nn.Module:
        return ConvolutionalDiscriminatorModule(self, space)

    def make_tiny(self) -> "ConvolutionalDiscriminator":
        return self.replace(features=8, widest=32)


class ConvolutionalEncoder(NetworkConfig):
    """Settings of E(x) = W h_L + b, with the layers of the discriminator   (Kwon 2019).

    Args:
        features, widest, norm: as in the discriminator.
        variational: whether E returns the mean and the logarithm of the variance of the code, side by side.
    """

    kind: Literal["convolutional-encoder"] = "convolutional-encoder"
    features: int = Field(32, ge=1)
    widest: int = Field(512, ge=1)
    norm: NormKind = "batch"
    variational: bool = False

    @property
    def coupling(self) -> Coupling:
        return _get_norm_coupling(self.norm)

    def build(self, space: ImageSpace) -> nn.Module:
        return ConvolutionalEncoderModule(self, space)

    def make_tiny(self) -> "ConvolutionalEncoder":
        return self.replace(features=8, widest=32)


class CodeDiscriminator(NetworkConfig):
    """Settings of C(z), a multilayer perceptron on latent codes   (alpha-GAN: Rosca 2017; Kwon 2019).

    Args:
        hidden: width of the two hidden layers.
    """

    kind: Literal["code-discriminator"] = "code-discriminator"
    hidden: int = Field(4096, ge=1)

    def build(self, space: ImageSpace) -> nn.Module:
        return CodeDiscriminatorModule(self, space)

    def make_tiny(self) -> "CodeDiscriminator":
        return self.replace(hidden=32)


# ----------------------------------------------------------------------------------------------------------------------
# Parts.


def make_norm(kind: NormKind, channels: int) -> nn.Module:
    """Make a batch normalisation (Ioffe 2015), a group normalisation (Wu 2018) or the identity, without a rectifier."""
    if kind == "batch":
        return BatchNorm(channels)
    if kind == "group":
        return GroupNorm(min(NORM_GROUPS, channels), channels, NORM_EPSILON)
    return nn.Identity()


class NormalisedLayer(nn.Module):
    """y = lrelu(norm(layer(x))); `slope` is the slope of lrelu below zero   (Radford 2016, section 3)."""

    def __init__(self, layer: nn.Module, norm: nn.Module, slope: float) -> None:
        super().__init__()
        self.layer, self.norm, self.slope = layer, norm, slope

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.layer(x)), self.slope)


class ConvolutionalTower(nn.Module):
    """hₗ = lrelu(norm(conv(hₗ₋₁))), kernel 4, stride 2;  out = W h_L + b   (Radford 2016, section 3).

    (batch, channels, *shape) -> (batch, out). The axes are halved down to the base of the pyramid.
    """

    def __init__(self, shape: Shape, channels: int, features: int, widest: int, norm: NormKind, out: int) -> None:
        super().__init__()
        sizes, ndim = compute_pyramid(shape), len(shape)
        widths = [channels, *(min(features * 2**i, widest) for i in range(len(sizes) - 1))]
        # The first layer sees the image itself and is not normalised (Radford 2016).
        kinds: list[NormKind] = ["none", *[norm] * len(sizes)]
        self.layers = nn.Sequential(
            *(
                NormalisedLayer(StridedConv(ndim, a, b, bias=kind == "none"), make_norm(kind, b), LEAKY_SLOPE)
                for kind, (a, b) in zip(kinds, pairwise(widths), strict=False)
            )
        )
        self.head = nn.Linear(widths[-1] * math.prod(sizes[0]), out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.layers(x).flatten(1))
        return y.float()


# ----------------------------------------------------------------------------------------------------------------------
# Networks.


class ConvolutionalGeneratorModule(nn.Module):
    """G(z, c) = tanh(conv(up(h_L))),  hₗ = relu(norm(conv(up(hₗ₋₁))))   (Sun 2022, Kwon 2019).

    z (batch, latent), condition c, scope of the whole image -> (image,), in [-1, 1]. h₀ = relu(norm(W (z, c) + b)) has
    the size of the base, and up is nearest x 2.
    """

    def __init__(self, config: ConvolutionalGenerator, space: ImageSpace) -> None:
        super().__init__()
        sizes, ndim = compute_pyramid(space.shape), len(space.shape)
        count = len(sizes) - 1
        widths = [min(config.features * 2 ** (count - 1 - i), config.widest) for i in range(count)]
        bias = config.norm == "none"
        self.base = sizes[0]
        self.dense = nn.Linear(space.latent + space.conditions.width, widths[0] * math.prod(self.base), bias=bias)
        self.norm = make_norm(config.norm, widths[0])
        self.blocks = nn.ModuleList(
            NormalisedLayer(PlainUpConv(ndim, a, b, bias=bias), make_norm(config.norm, b), 0.0)
            for a, b in pairwise(widths)
        )
        self.head = PlainUpConv(ndim, widths[-1], space.channels, "phases")
        self.kinds = space.kinds

    def list_blocks(self) -> list[nn.Module]:
        """List the modules that may be recomputed or compiled separately."""
        return list(self.blocks)

    def forward(self, z: Tensor, condition: Condition, scope: WholeScope) -> ImageParts:
        x = self.dense(torch.cat((z, condition.vector), 1)).view(len(z), -1, *self.base)
        x = F.relu(self.norm(x))
        for block in self.blocks:
            x = block(x)
        return (end_channels(self.head(x), self.kinds, torch.tanh).float(),)


class ConvolutionalDiscriminatorModule(nn.Module):
    """(D(x), labels) = `ConvolutionalTower`(x)   (Sun 2022, Kwon 2019; label logits: Odena 2017).

    (image,), condition, scope of the whole image -> scores and label logits.
    """

    def __init__(self, config: ConvolutionalDiscriminator, space: ImageSpace) -> None:
        super().__init__()
        out = 1 + space.conditions.label_width
        self.tower = ConvolutionalTower(space.shape, space.channels, config.features, config.widest, config.norm, out)

    def forward(self, images: ImageParts, condition: Condition, scope: WholeScope) -> DiscriminatorOutput:
        answer = self.tower(images[0])
        return DiscriminatorOutput(answer[:, 0], answer[:, 1:])


class ConvolutionalEncoderModule(nn.Module):
    """z = E(x), or (μ, log σ²) = E(x), where E is one `ConvolutionalTower`   (Kwon 2019).

    Image (batch, channels, *shape) -> code (batch, latent), or mean and log variance (batch, 2 latent).
    """

    def __init__(self, config: ConvolutionalEncoder, space: ImageSpace) -> None:
        super().__init__()
        out = space.latent * (2 if config.variational else 1)
        self.tower = ConvolutionalTower(space.shape, space.channels, config.features, config.widest, config.norm, out)

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.tower(x)
        return code


class CodeDiscriminatorModule(nn.Module):
    """C(z) = W₃ lrelu(W₂ lrelu(W₁ z + b₁) + b₂) + b₃   (Rosca 2017, Kwon 2019).

    Codes (batch, latent) -> scores (batch,).

    There is no normalisation over the batch, so that the gradient penalty of a code does not depend on other codes.
    """

    def __init__(self, config: CodeDiscriminator, space: ImageSpace) -> None:
        super().__init__()
        self.first = nn.Linear(space.latent, config.hidden)
        self.second = nn.Linear(config.hidden, config.hidden)
        self.head = nn.Linear(config.hidden, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(z), LEAKY_SLOPE)
        x = F.leaky_relu(self.second(x), LEAKY_SLOPE)
        scores: Tensor = self.head(x)[:, 0].float()
        return scores
