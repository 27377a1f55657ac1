"""HA-GAN's generator (Sun 2022; official code): a common part, a high- and a low-resolution head.

    A = G^A(z, c)              features at a quarter of the size
    x_r = G^H(A_r)             a sub-volume at full size, from the features of its planes
    x_low = G^L(A)             the whole volume at a quarter of the size

- All sizes are computed from the shape (`steps.hierarchy`). At 256 cubed they equal those of the paper.
- The objective of the encoders and slab-wise sampling use `generator.common`, `.high`, `.low` and `.decode_features`.
- `features` is 64 in the official code; all other widths are a multiple or a fraction of it.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganatomy.networks.config import NetworkConfig
from ganatomy.nn.bounds import clamp_to_range
from ganatomy.nn.ending import end_channels
from ganatomy.nn.layout import CHANNELS_LAST
from ganatomy.nn.norm import normalise_pixels
from ganatomy.nn.plain import (
    NORM_CLASSES,
    GroupNormReLU,
    PlainBlock,
    PlainUpConv,
    compute_group_moments,
    make_conv,
    make_up_conv,
)
from ganatomy.nn.texture import TEXTURE_NUMBERS, CodeTexture
from ganatomy.steps import hierarchy
from ganatomy.steps.condition import Condition
from ganatomy.steps.scope import ImageParts, SubVolumeScope, WholeScope
from ganatomy.steps.space import ImageSpace

LOW_FACTOR = hierarchy.LOW_FACTOR
BOUNDS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "clamp": clamp_to_range}
LEAST_BLOCKS = 5  # blocks of G^A, of which those after the last enlargement keep the size (official code)
CHANNELS_LAST_FROM = 16  # voxels per axis from which channels last is faster on a CPU (docs/performance.md)


class HierarchicalGenerator(NetworkConfig):
    """Settings of x_r = G^H(G^A(z, c)_r) and x_low = G^L(G^A(z, c))   (Sun 2022).

    Args:
        features: channels of the features A at a quarter of the size.
        groups: groups of every group normalisation.
        low: whether there is a low-resolution head G^L.
        halo: additional feature planes beyond each end of a sub-volume that training computes and then cuts off, so
            that the ends of a sub-volume are not affected by zero padding. The official code has none.
        high_norm: the normalisation of G^H. ``group`` (official code) takes statistics over its input, which is a
            sub-volume in training and the whole volume in sampling; ``voxel`` normalises each voxel separately, so that
            training and sampling compute the same function.
        bound: how voxels are kept in the range of values. ``tanh`` (official code) approaches the lowest value, that of
            air, without reaching it; ``clamp`` reaches it.
        texture: whether G^H returns a mean a and a strength b for every voxel, and the volume is a + b n, where the
            noise n is a function of the code (`CodeTexture`). The encoders' reconstructions have no noise, since they
            start from features instead of a code.
    """

    kind: Literal["hierarchical-generator"] = "hierarchical-generator"
    features: int = Field(64, ge=4, multiple_of=4)
    groups: int = Field(8, ge=1)
    low: bool = True
    halo: int = Field(1, ge=0, le=1)
    high_norm: Literal["group", "voxel"] = "voxel"
    bound: Literal["tanh", "clamp"] = "tanh"
    texture: bool = False

    retired_fields: ClassVar[frozenset[str]] = frozenset({"folded"})

    @property
    def image_parts(self) -> int:
        return 2 if self.low else 1

    @property
    def min_slab_planes(self) -> int:
        return LOW_FACTOR

    @property
    def makes_drafts(self) -> bool:
        return self.low

    def build(self, space: ImageSpace) -> nn.Module:
        return HierarchicalGeneratorModule(self, space)

    def make_tiny(self) -> "HierarchicalGenerator":
        return self.replace(features=8, groups=2)


# ----------------------------------------------------------------------------------------------------------------------
# G^A: latent code to features at a quarter of the size.


class CommonTrunk(nn.Module):
    """A = G^A(z, c): a dense layer, then hᵢ = relu(GN(conv(up(hᵢ₋₁)))) five times or more   (Sun 2022).

    z (batch, latent), condition c -> features (batch, features, *quarter of the size). GN is group normalisation. The
    first block does not enlarge its input; the following blocks do until the size is reached. Volumes of more than 256
    planes need more than five blocks; those in addition are among the first and have the largest width.
    """

    def __init__(self, config: HierarchicalGenerator, space: ImageSpace) -> None:
        super().__init__()
        sizes = hierarchy.compute_feature_shapes(space.shape)
        ndim, w = len(space.shape), config.features
        blocks = max(LEAST_BLOCKS, len(sizes))
        widths = [*[8 * w] * (blocks - 2), 4 * w, 2 * w, w]
        enlarged = hierarchy.list_halved_axes(hierarchy.compute_low_shape(space.shape))[::-1]
        self.base = sizes[0]
        self.dense = nn.Linear(space.latent + space.conditions.width, widths[0] * math.prod(self.base))
        self.blocks = nn.ModuleList(
            PlainBlock(
                make_up_conv(enlarged[i - 1], a, b) if 0 < i < len(sizes) else make_conv(ndim, a, b),
                GroupNormReLU(b, config.groups),
            )
            for i, (a, b) in enumerate(pairwise(widths))
        )

    def forward(self, z: Tensor, condition: Condition) -> Tensor:
        x = self.dense(torch.cat((z, condition.vector), 1)).view(len(z), -1, *self.base)
        for block in self.blocks:
            if x.device.type == "cpu" and min(x.shape[2:]) >= CHANNELS_LAST_FROM:
                x = x.contiguous(memory_format=CHANNELS_LAST[x.ndim - 2])
            x = block(x)
        return x


# ----------------------------------------------------------------------------------------------------------------------
# G^H: from the features of some planes to these planes at full size; G^L: from features to the low-resolution volume.


class HighResolutionHead(nn.Module):
    """x_r = G^H(A_r) = bound(a + b n), (a, b) = conv(up(relu(norm(conv(up(A_r))))))   (Sun 2022).

    Features (batch, features, n, *rest) -> volume (batch, channels, 4 n, *4 rest), in [-1, 1].
    """

    def __init__(self, config: HierarchicalGenerator, space: ImageSpace) -> None:
        super().__init__()
        ndim, w = len(space.shape), config.features
        self.hidden = PlainUpConv(ndim, w, w // 2)
        self.norm = NORM_CLASSES[config.high_norm](w // 2, config.groups)
        self.channels, self.kinds = space.channels, space.kinds
        outputs = space.channels * (2 if config.texture else 1)
        self.head = PlainUpConv(ndim, w // 2, outputs, "phases")
        self.bound = BOUNDS[config.bound]

    def forward(self, features: Tensor, before: int = 0, after: int = 0, noise: Tensor | None = None) -> Tensor:
        """Return the planes without the halo; `before` and `after` (0 or 1) are the halo's feature planes at each end.

        `noise` (batch, 1, planes, *rest) is the noise of the returned planes; None = no noise.
        """
        return self.decode_hidden(self.norm(self.compute_hidden(features, before, after)), before, after, noise)

    def compute_hidden(self, features: Tensor, before: int, after: int) -> Tensor:
        """Return conv(up(A_r)) before its normalisation, without the planes that zero padding has changed."""
        both = min(before, after)
        x = self.hidden(features, both)
        return x[:, :, before - both : x.shape[2] - (after - both)]

    def decode_hidden(self, x: Tensor, before: int, after: int, noise: Tensor | None) -> Tensor:
        """bound(a + b n), (a, b) = conv(up(h)): from the normalised hidden layer h and the noise n to the image."""
        both = min(before, after)
        y = self.head(x, 2 * both)
        y = y[:, :, 2 * (before - both) : y.shape[2] - 2 * (after - both)]
        mean, strength = y[:, : self.channels], y[:, self.channels :]
        if strength.shape[1] and noise is not None:
            mean = torch.addcmul(mean, strength, noise.to(y.dtype))
        return end_channels(mean, self.kinds, self.bound)


class LowResolutionHead(nn.Module):
    """x_low = G^L(A) = bound(conv(h₂)),  hᵢ = relu(GN(conv(hᵢ₋₁))),  h₀ = A   (Sun 2022).

    Features -> the whole volume at a quarter of the size (batch, channels, *quarter), in [-1, 1].
    """

    def __init__(self, config: HierarchicalGenerator, space: ImageSpace) -> None:
        super().__init__()
        ndim, w = len(space.shape), config.features
        widths = (w, w // 2, w // 4)
        self.blocks = nn.Sequential(
            *(PlainBlock(make_conv(ndim, a, b), GroupNormReLU(b, config.groups)) for a, b in pairwise(widths))
        )
        self.head = make_conv(ndim, w // 4, space.channels)
        self.kinds = space.kinds
        self.bound = BOUNDS[config.bound]

    def forward(self, x: Tensor) -> Tensor:
        return end_channels(self.head(self.blocks(x)), self.kinds, self.bound)


class HierarchicalGeneratorModule(nn.Module):
    """x_r = G^H(A_r), x_low = G^L(A), A = G^A(z, c)   (Sun 2022).

    z (batch, latent), condition c, scope -> (planes,) or, for a sub-volume, (planes, low-resolution volume).
    """

    def __init__(self, config: HierarchicalGenerator, space: ImageSpace) -> None:
        super().__init__()
        self.halo = config.halo
        self.common = CommonTrunk(config, space)
        self.high = HighResolutionHead(config, space)
        self.low = LowResolutionHead(config, space) if config.low else None
        numbers = min(space.latent, TEXTURE_NUMBERS)
        self.texture = CodeTexture(numbers, space.shape) if config.texture else None

    def forward(self, z: Tensor, condition: Condition, scope: SubVolumeScope | WholeScope) -> ImageParts:
        noise = self._make_noise(z, scope.start, scope.depth)
        return self.decode_features(self.common(z, condition), scope, noise)

    def _make_noise(self, z: Tensor, start: int, depth: int) -> Tensor | None:
        """Compute the noise of some planes from the direction of z; None if the generator has no texture."""
        return None if self.texture is None else self.texture(normalise_pixels(z)[:, :TEXTURE_NUMBERS], start, depth)

    def decode_features(
        self, features: Tensor, scope: SubVolumeScope | WholeScope, noise: Tensor | None = None
    ) -> ImageParts:
        """Return G^H(A_r) and, if the scope has a low-resolution volume, G^L(A)."""
        first = scope.start // LOW_FACTOR
        planes, before, after = cut_with_halo(features, first, first + scope.depth // LOW_FACTOR, self.halo)
        high = self.high(planes, before, after, noise).float()
        return (high,) if self.low is None or scope.low is None else (high, self.low(features).float())

    def generate_draft(self, z: Tensor, condition: Condition) -> Tensor:
        """Generate x_low = G^L(G^A(z, c)), the whole volume at a quarter of its size."""
        assert self.low is not None, "the configuration makes no drafts"
        return self.low(self.common(z, condition))

    def list_blocks(self) -> list[nn.Module]:
        """List the modules that may be recomputed or compiled separately, for any scope."""
        return [*self.common.blocks, self.high, *([] if self.low is None else [self.low])]

    @torch.no_grad()
    def generate_slabs(self, z: Tensor, condition: Condition, planes: int) -> Iterator[Tensor]:
        """Generate x = G^H(A) in slabs of `planes` planes of the first axis; the result equals that of one pass.

        Equal means up to rounding. The features A are computed at once. G^H processes them in pieces, and the hidden
        planes that two pieces share are kept. Group normalisation needs statistics of the whole volume, so its input is
        computed twice. Memory is needed for the features and one piece.

        Args:
            z: latent codes (batch, latent).
            condition: condition of the images.
            planes: planes of a slab, a multiple of 4; the last slab may have fewer.
        """
        features = self.common(z, condition)
        norm = self.high.norm
        whole = self._compute_hidden_moments(features, planes, norm) if isinstance(norm, GroupNormReLU) else None
        carried = None  # the last two planes of the hidden layer, which the next piece needs too
        start = 0
        for raw, before, after in self._hidden_pieces(features, planes):
            x = norm(raw) if whole is None else norm.apply_statistics(raw, *whole)  # type: ignore[operator]
            x = x if carried is None else torch.cat((carried, x), 2)
            carried = x[:, :, -2:].clone()
            depth = 2 * (x.shape[2] - before - after)
            yield self.high.decode_hidden(x, before, after, self._make_noise(z, start, depth)).float()
            start += depth

    def _hidden_pieces(self, features: Tensor, planes: int) -> Iterator[tuple[Tensor, int, int]]:
        """Yield the hidden layer before its normalisation, each plane once, and whether others precede and follow."""
        each, n = max(1, planes // LOW_FACTOR), features.shape[2]
        for start in range(0, n, each):
            stop = min(start + each, n)
            before, after = int(start > 0), int(stop < n)
            yield self.high.compute_hidden(features[:, :, start : stop + after], before, after), before, after

    def _compute_hidden_moments(self, features: Tensor, planes: int, norm: GroupNormReLU) -> tuple[Tensor, Tensor]:
        """Merge mean and variance of each group of the hidden layer over all pieces of the volume   (Chan 1983):

        mean = mean_a + δ n_b / n,  S = S_a + S_b + δ² n_a n_b / n,  δ = mean_b - mean_a,  variance = S / n
        """
        count, mean, squares = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        for x, *_ in self._hidden_pieces(features, planes):
            new = x[0, 0].numel() * (x.shape[1] // norm.groups)
            its_mean, its_variance = (m.double().cpu() for m in compute_group_moments(x, norm.groups))
            total = count + new
            difference = its_mean - mean
            squares = squares + its_variance * new + difference.square() * (count * new / total)
            mean = mean + difference * (new / total)
            count = total
        return mean.float().to(features.device), (squares / count).float().to(features.device)


def cut_with_halo(features: Tensor, start: int, stop: int, halo: int) -> tuple[Tensor, int, int]:
    """Cut planes start to stop with up to `halo` more at each end; return them and the numbers before and after."""
    before, after = min(halo, start), min(halo, features.shape[2] - stop)
    return features[:, :, start - before : stop + after], before, after
