"""Residual generator and discriminator without normalisation, 2D and 3D: the networks of the recommended recipes.

The elements are published: residual blocks without normalisation in both networks (Huang 2024, "R3GAN"), equalised
layers and linear enlarging with the filter 1-3-3-1 (Karras 2020), the latent code at every block (Karras 2019), and the
inner product of condition and image features instead of a classifier (Miyato and Koyama 2018). Two elements are of this
project: the clamp to the range of values (`nn.bounds`), with which air has exactly its value, and fine texture as a
function of the code (`nn.texture`).

- The image is the sum of one contribution per level, and a new level fades in by weighting its contribution.
- A generator block applies its first convolution before it enlarges, and a discriminator block its second one while it
  shrinks, so that only one convolution of each block runs at the larger size.
"""

import itertools
import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ganatomy.networks.config import NetworkConfig, TruncationPlace
from ganatomy.networks.progressive import LEAKY_SLOPE, count_features, rectify
from ganatomy.nn.bounds import clamp_to_range
from ganatomy.nn.ending import end_channels
from ganatomy.nn.equalised import Conv, Dense, DownConv
from ganatomy.nn.norm import normalise_pixels
from ganatomy.nn.resample import downsample_mean, upsample_linear
from ganatomy.nn.texture import TEXTURE_NUMBERS, CodeTexture
from ganatomy.pyramid import Shape, compute_pyramid
from ganatomy.steps.condition import Condition
from ganatomy.steps.scope import ImageParts, LevelScope
from ganatomy.steps.space import DiscriminatorOutput, ImageSpace

HALF = math.sqrt(0.5)  # factor that keeps the variance when two branches are added
TINY_WIDTHS = {"width": 64, "widest": 16}


# ----------------------------------------------------------------------------------------------------------------------
# Configurations.


class ResidualGenerator(NetworkConfig):
    """Settings of x = clamp(Σₗ up(rgbₗ(hₗ))), hₗ a residual block of hₗ₋₁   (Karras 2020, section 4.1; Huang 2024).

    Args:
        width, widest: feature maps, as in the progressive networks.
        mapping: layers of the mapping network.
    """

    kind: Literal["residual-generator"] = "residual-generator"
    width: int = Field(8192, ge=4)
    widest: int = Field(256, ge=1)
    mapping: int = Field(2, ge=1)

    @property
    def truncation_place(self) -> TruncationPlace:
        return "style"

    def build(self, space: ImageSpace) -> nn.Module:
        return ResidualGeneratorModule(self, space)

    def make_tiny(self) -> "ResidualGenerator":
        return self.replace(**TINY_WIDTHS)


class ProjectionDiscriminator(NetworkConfig):
    """Settings of D(x, c) = v φ(x) + ⟨V c, φ(x)⟩, φ a residual network   (Miyato and Koyama 2018, section 3).

    Args:
        width, widest: feature maps, as in the progressive networks.
    """

    kind: Literal["projection-discriminator"] = "projection-discriminator"
    width: int = Field(8192, ge=4)
    widest: int = Field(256, ge=1)

    @property
    def feature_layer(self) -> str:
        return "head"

    def build(self, space: ImageSpace) -> nn.Module:
        return ProjectionDiscriminatorModule(self, space)

    def make_tiny(self) -> "ProjectionDiscriminator":
        return self.replace(**TINY_WIDTHS)


# ----------------------------------------------------------------------------------------------------------------------
# Generator.


class Modulation(nn.Module):
    """y = (1 + a) x + b, where (a, b) = W w for every channel   (Perez 2018, "FiLM").

    x (batch, channels, *space), styles w (batch, latent) -> (batch, channels, *space).
    """

    def __init__(self, latent: int, channels: int) -> None:
        super().__init__()
        self.dense = Dense(latent, 2 * channels, gain=0.5)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        scale, shift = self.dense(w).to(x.dtype).view(len(w), -1, *[1] * (x.ndim - 2)).chunk(2, 1)
        return torch.addcmul(shift, x, 1 + scale)


class GeneratorBlock(nn.Module):
    """y = (up(skip(x)) + conv₂(lrelu(mod_w(up(conv₁(lrelu(x)))) + s n(u)))) / √2   (blocks: Karras 2020, section 4.1).

    (batch, in, *space), styles w, texture code u -> (batch, out, *shape), where shape is twice the space. skip is a
    1 x 1 convolution, mod_w a `Modulation`, n a `CodeTexture`, and s one number per channel.
    """

    def __init__(self, n_in: int, n_out: int, latent: int, texture: int, shape: Shape) -> None:
        super().__init__()
        ndim = len(shape)
        self.skip = Conv(ndim, n_in, n_out, kernel=1, gain=1)
        self.first, self.second = Conv(ndim, n_in, n_out), Conv(ndim, n_out, n_out)
        self.modulation = Modulation(latent, n_out)
        self.texture = CodeTexture(texture, shape)
        self.strength = nn.Parameter(torch.zeros(n_out, *[1] * ndim))

    def forward(self, x: Tensor, w: Tensor, u: Tensor) -> Tensor:
        y = self.modulation(upsample_linear(self.first(F.leaky_relu(x, LEAKY_SLOPE))), w)
        y = torch.addcmul(y, self.texture(u).to(y.dtype), self.strength.to(y.dtype))
        return (upsample_linear(self.skip(x)) + self.second(rectify(y))) * HALF


class ResidualGeneratorModule(nn.Module):
    """xₗ = clamp(yₗ), yₗ = up(yₗ₋₁) + rgbₗ(hₗ), hₗ = blockₗ(hₗ₋₁, w, u), w = f(PN(z), c)   (sum: Karras 2020).

    PN is pixel normalisation, and u consists of the first numbers of PN(z). A level that fades in adds α rgbₗ(hₗ).
    z (batch, latent), condition c, scope of level l with its share α -> (image at that level,).
    """

    def __init__(self, config: ResidualGenerator, space: ImageSpace) -> None:
        super().__init__()
        sizes, ndim = compute_pyramid(space.shape), len(space.shape)
        widths = [count_features(level, config.width, config.widest) for level in range(len(sizes))]
        self.base = sizes[0]
        n = space.latent
        pairs = itertools.pairwise([n + space.conditions.width, *[n] * config.mapping])
        self.mapping = nn.ModuleList(Dense(a, b) for a, b in pairs)
        self.dense = Dense(n, widths[0] * math.prod(self.base))
        self.latent, texture = n, min(n, TEXTURE_NUMBERS)
        self.blocks = nn.ModuleList(
            GeneratorBlock(a, b, n, texture, size)
            for (a, b), size in zip(itertools.pairwise(widths), sizes[1:], strict=True)
        )
        self.to_image = nn.ModuleList(Conv(ndim, n, space.channels, gain=1) for n in widths)
        self.kinds = space.kinds

    def list_blocks(self) -> list[nn.Module]:
        """List the modules that may be recomputed or compiled separately."""
        return list(self.blocks)

    def map_codes(self, z: Tensor, condition: Condition) -> Tensor:
        """Return w = f(PN(z), c) and u, the first numbers of PN(z), side by side: (batch, latent + texture)."""
        direction = normalise_pixels(z)
        w = torch.cat((direction, condition.vector), 1)
        for layer in self.mapping:
            w = rectify(layer(w))
        return torch.cat((w, direction[:, :TEXTURE_NUMBERS]), 1)

    def forward(self, z: Tensor, condition: Condition, scope: LevelScope) -> ImageParts:
        return self.decode_styles(self.map_codes(z, condition), scope)

    def decode_styles(self, w: Tensor, scope: LevelScope) -> ImageParts:
        """x = g(w, u): styles and texture codes side by side (batch, latent + texture) -> (image,)."""
        w, u = w[:, : self.latent], w[:, self.latent :]
        x = self.dense(w).view(len(w), -1, *self.base)
        image = self.to_image[0](F.leaky_relu(x, LEAKY_SLOPE))
        for level in range(1, scope.level + 1):
            x = self.blocks[level - 1](x, w, u)
            detail = self.to_image[level](F.leaky_relu(x, LEAKY_SLOPE))
            share = scope.alpha if level == scope.level else 1.0
            image = torch.add(upsample_linear(image), detail, alpha=share)
        return (end_channels(image.float(), self.kinds, clamp_to_range),)


# ----------------------------------------------------------------------------------------------------------------------
# Discriminator.


class DiscriminatorBlock(nn.Module):
    """y = (skip(down(x)) + down(conv₂(lrelu(conv₁(lrelu(x)))))) / √2   (Karras 2020, section 4.1).

    (batch, in, *space) -> (batch, out, *half the space). skip is a 1 x 1 convolution, and down the mean over cells of
    two voxels per axis.
    """

    def __init__(self, ndim: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first, self.second = Conv(ndim, n_in, n_in), DownConv(ndim, n_in, n_out)
        self.skip = Conv(ndim, n_in, n_out, kernel=1, gain=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(rectify(self.first(F.leaky_relu(x, LEAKY_SLOPE))))
        return (self.skip(downsample_mean(x)) + y) * HALF


class ProjectionDiscriminatorModule(nn.Module):
    """D(x, c) = v φ(x) + ⟨V c, φ(x)⟩ / √n   (Miyato and Koyama 2018, section 3).

    (image at level l,), condition c, scope of level l -> scores. n, the width of φ(x), is not in the paper. Levels fade
    in as in the progressive GAN.
    """

    def __init__(self, config: ProjectionDiscriminator, space: ImageSpace) -> None:
        super().__init__()
        sizes, ndim = compute_pyramid(space.shape), len(space.shape)
        widths = [count_features(level, config.width, config.widest) for level in range(len(sizes))]
        self.from_image = nn.ModuleList(Conv(ndim, space.channels, n) for n in widths)
        self.blocks = nn.ModuleList(DiscriminatorBlock(ndim, b, a) for a, b in itertools.pairwise(widths))
        self.last = Conv(ndim, widths[0], widths[0])
        self.dense = Dense(widths[0] * math.prod(sizes[0]), widths[0])
        self.head = Dense(widths[0], 1, gain=1)
        facts = space.conditions.width
        self.embedding = Dense(facts, widths[0], gain=1, bias=False) if facts else None

    def forward(self, images: ImageParts, condition: Condition, scope: LevelScope) -> DiscriminatorOutput:
        (image,) = images
        x = self.from_image[scope.level](image)
        for level in range(scope.level, 0, -1):
            x = self.blocks[level - 1](x)
            if level == scope.level and scope.alpha < 1:
                x = self.from_image[level - 1](downsample_mean(image)).lerp(x, scope.alpha)
        x = rectify(self.last(F.leaky_relu(x, LEAKY_SLOPE)))
        x = rectify(self.dense(x.flatten(1)))
        scores = self.head(x)[:, 0].float()
        if self.embedding is not None:
            projected = (self.embedding(condition.vector).float() * x.float()).sum(1)
            scores = scores + projected / math.sqrt(x.shape[1])
        return DiscriminatorOutput(scores, scores.new_zeros(len(scores), 0))
