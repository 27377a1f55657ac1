"""Progressive GAN (Karras 2018, table 2 and appendix A.1), 2D and 3D.

- All levels are built at the start. The scope selects the levels of a pass, so growing is no state of the network.
- The base of the pyramid may have any size, such as 5 x 4 for mammograms, and determines the aspect ratio.
- Labels enter as in the official code: one-hot beside the latent code, and as additional outputs of the discriminator.
- Generator and discriminator mirror each other level by level: blocks[l] belongs to level l of the pyramid.
"""

import itertools
import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ganatomy.networks.config import NetworkConfig
from ganatomy.nn.ending import end_channels, leave_unbounded
from ganatomy.nn.equalised import HE_GAIN, Conv, Dense, DownConv, UpConv
from ganatomy.nn.norm import append_minibatch_deviation, normalise_pixels
from ganatomy.nn.resample import downsample_mean, upsample_nearest
from ganatomy.pyramid import compute_pyramid
from ganatomy.steps.condition import Condition
from ganatomy.steps.coupling import Coupling, couple_groups
from ganatomy.steps.scope import ImageParts, LevelScope
from ganatomy.steps.space import DiscriminatorOutput, ImageSpace

LEAKY_SLOPE = 0.2  # slope of the leaky rectifiers below zero
TINY_WIDTHS = {"width": 64, "widest": 16}


def rectify(x: Tensor) -> Tensor:
    """lrelu(x) = max(x, 0.2 x), in place: no other layer may use x   (Karras 2018, appendix A.1)."""
    return F.leaky_relu_(x, LEAKY_SLOPE)


# ----------------------------------------------------------------------------------------------------------------------
# Configurations.


class ProgressiveGenerator(NetworkConfig):
    """Settings of G: z -> base -> block 1 -> ... -> block L, an image at any level   (Karras 2018, table 2).

    Level l has min(width / 2^(l + 1), widest) feature maps.

    Args:
        width: ``fmap_base`` of the official code.
        widest: ``fmap_max`` of the official code, the largest number of feature maps of a level.
        base_bias: whether the dense layer has one bias per feature ``map`` (official code) or per ``voxel`` of each map
            (pytorch_GAN_zoo).
    """

    kind: Literal["progressive-generator"] = "progressive-generator"
    width: int = Field(8192, ge=4)
    widest: int = Field(512, ge=1)

    retired_fields: ClassVar[frozenset[str]] = frozenset({"folded"})
    base_bias: Literal["map", "voxel"] = "map"

    def build(self, space: ImageSpace) -> nn.Module:
        return ProgressiveGeneratorModule(self, space)

    def make_tiny(self) -> "ProgressiveGenerator":
        return self.replace(**TINY_WIDTHS)


class ProgressiveDiscriminator(NetworkConfig):
    """Settings of D, the mirror image of G   (Karras 2018, table 2).

    Args:
        width, widest: as in the generator.
        group: images of a group of the minibatch standard deviation.
        pool_first: shrink before the rectifier instead of after it, as the official code does by default (fused
            layers). Convolution and shrinking then fold into one strided convolution, which is much cheaper. This is
            another function than that of the published table, where the pooling comes last.
    """

    kind: Literal["progressive-discriminator"] = "progressive-discriminator"
    width: int = Field(8192, ge=4)
    widest: int = Field(512, ge=1)
    group: int = Field(4, ge=1)
    pool_first: bool = False

    @property
    def coupling(self) -> Coupling:
        return couple_groups(self.group)

    @property
    def feature_layer(self) -> str:
        return "blocks.0.head"

    def build(self, space: ImageSpace) -> nn.Module:
        return ProgressiveDiscriminatorModule(self, space)

    def make_tiny(self) -> "ProgressiveDiscriminator":
        return self.replace(**TINY_WIDTHS)


def count_features(level: int, width: int, widest: int) -> int:
    """nf(l) = max(1, min(width / 2^(l + 1), widest)): feature maps of level l   (Karras 2018, official code)."""
    return max(1, min(width // 2 ** (level + 1), widest))


# ----------------------------------------------------------------------------------------------------------------------
# Generator: from z to the base of the pyramid; each further block doubles the size.


class ProgressiveGeneratorBase(nn.Module):
    """h₀ = PN(lrelu(conv(PN(lrelu(W PN(z, c) + b))))), PN = pixel normalisation   (Karras 2018, table 2).

    (batch, latent + conditions) -> (batch, features, *base).
    """

    def __init__(self, n_in: int, n_out: int, base: tuple[int, ...], bias: Literal["map", "voxel"]) -> None:
        super().__init__()
        self.base = base
        # The gain is sqrt(2) / 4, and each feature map has one bias for all voxels, as in the official code.
        self.dense = Dense(n_in, n_out * math.prod(base), gain=HE_GAIN / 4, bias=False)
        self.bias = nn.Parameter(torch.zeros(n_out, *(base if bias == "voxel" else ())))
        self.conv = Conv(len(base), n_out, n_out)

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(normalise_pixels(z)).view(len(z), -1, *self.base)
        bias = self.bias if self.bias.ndim > 1 else self.bias.view(-1, *[1] * len(self.base))
        x = normalise_pixels(rectify(x + bias.to(x.dtype)))
        return normalise_pixels(rectify(self.conv(x)))


class ProgressiveGeneratorBlock(nn.Module):
    """hₗ = PN(lrelu(conv(PN(lrelu(conv(up(hₗ₋₁)))))))   (Karras 2018, table 2).

    (batch, in, *space) -> (batch, out, *twice the space).
    """

    def __init__(self, ndim: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.up = UpConv(ndim, n_in, n_out)
        self.conv = Conv(ndim, n_out, n_out)

    def forward(self, x: Tensor) -> Tensor:
        x = normalise_pixels(rectify(self.up(x)))
        return normalise_pixels(rectify(self.conv(x)))


class ProgressiveGeneratorModule(nn.Module):
    """x = (1 - α) up(rgbₗ₋₁(hₗ₋₁)) + α rgbₗ(hₗ), rgb a 1 x 1 convolution   (Karras 2018, section 2, figure 2).

    z (batch, latent), condition, scope of level l -> (image at that level,). α is the share of level l while it fades
    in, and 1 afterwards.
    """

    def __init__(self, config: ProgressiveGenerator, space: ImageSpace) -> None:
        super().__init__()
        sizes = compute_pyramid(space.shape)
        ndim = len(space.shape)
        widths = [count_features(level, config.width, config.widest) for level in range(len(sizes))]
        base = ProgressiveGeneratorBase(space.latent + space.conditions.width, widths[0], sizes[0], config.base_bias)
        pairs = itertools.pairwise(widths)
        self.blocks = nn.ModuleList([base, *(ProgressiveGeneratorBlock(ndim, a, b) for a, b in pairs)])
        self.to_image = nn.ModuleList(Conv(ndim, n, space.channels, kernel=1, gain=1) for n in widths)
        self.kinds = space.kinds

    def list_blocks(self) -> list[nn.Module]:
        """List the modules that may be recomputed or compiled separately, for any scope."""
        return list(self.blocks)

    def forward(self, z: Tensor, condition: Condition, scope: LevelScope) -> ImageParts:
        x = self.blocks[0](torch.cat((z, condition.vector), 1))
        before = x
        for block in self.blocks[1 : scope.level + 1]:
            before, x = x, block(x)
        image = self.to_image[scope.level](x)
        if scope.alpha < 1:
            image = upsample_nearest(self.to_image[scope.level - 1](before)).lerp(image, scope.alpha)
        return (end_channels(image, self.kinds, leave_unbounded).float(),)


# ----------------------------------------------------------------------------------------------------------------------
# Discriminator: the generator's layers in reverse order.


class ProgressiveDiscriminatorBlock(nn.Module):
    """hₗ₋₁ = down(lrelu(conv(lrelu(conv(hₗ)))))   (Karras 2018, table 2).

    (batch, in, *space) -> (batch, out, *half the space). down is the mean over cells of two voxels per axis.
    """

    def __init__(self, ndim: int, n_in: int, n_out: int, pool_first: bool) -> None:
        super().__init__()
        self.conv = Conv(ndim, n_in, n_in)
        self.down = DownConv(ndim, n_in, n_out) if pool_first else Conv(ndim, n_in, n_out)
        self.pool_first = pool_first

    def forward(self, x: Tensor) -> Tensor:
        x = rectify(self.down(rectify(self.conv(x))))
        return x if self.pool_first else downsample_mean(x)


class ProgressiveDiscriminatorBase(nn.Module):
    """(D(x), labels) = W₂ lrelu(W₁ lrelu(conv(h₀, s)))   (Karras 2018, table 2; minibatch deviation s: section 3).

    (batch, features, *base) -> score and label logits (batch, 1 + labels).
    """

    def __init__(self, n_in: int, widest: int, base: tuple[int, ...], group: int, labels: int) -> None:
        super().__init__()
        self.group = group
        self.conv = Conv(len(base), n_in + 1, n_in)
        self.dense = Dense(n_in * math.prod(base), widest)
        self.head = Dense(widest, 1 + labels, gain=1)

    def forward(self, x: Tensor) -> Tensor:
        x = rectify(self.conv(append_minibatch_deviation(x, self.group)))
        answer: Tensor = self.head(rectify(self.dense(x.flatten(1))))
        return answer


class ProgressiveDiscriminatorModule(nn.Module):
    """hₗ₋₁ = (1 - α) rgbₗ₋₁(down(x)) + α blockₗ(rgbₗ(x)), then blocks l - 1 to 0   (Karras 2018, section 2, figure 2).

    (image at level l,), condition, scope of level l -> scores and label logits.
    """

    def __init__(self, config: ProgressiveDiscriminator, space: ImageSpace) -> None:
        super().__init__()
        sizes = compute_pyramid(space.shape)
        ndim = len(space.shape)
        widths = [count_features(level, config.width, config.widest) for level in range(len(sizes))]
        base = ProgressiveDiscriminatorBase(widths[0], widths[0], sizes[0], config.group, space.conditions.label_width)
        pairs = itertools.pairwise(widths)
        self.blocks = nn.ModuleList(
            [base, *(ProgressiveDiscriminatorBlock(ndim, b, a, config.pool_first) for a, b in pairs)]
        )
        self.from_image = nn.ModuleList(Conv(ndim, space.channels, n, kernel=1) for n in widths)

    def forward(self, images: ImageParts, condition: Condition, scope: LevelScope) -> DiscriminatorOutput:
        (image,) = images
        x = rectify(self.from_image[scope.level](image))
        for level in range(scope.level, 0, -1):
            x = self.blocks[level](x)
            if level == scope.level and scope.alpha < 1:
                below = rectify(self.from_image[level - 1](downsample_mean(image)))
                x = below.lerp(x, scope.alpha)
        answer = self.blocks[0](x).float()
        return DiscriminatorOutput(answer[:, 0], answer[:, 1:])
