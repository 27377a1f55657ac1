"""HA-GAN's discriminator (Sun 2022; official code): D^H scores a sub-volume and its position, D^L the whole volume.

D^L takes the whole volume at low resolution. The kernels are computed from the shapes by a rule that gives those of the
official code: kernels of 4 halve an axis of 8 or more planes, kernels of 2 an axis of 4 or 2 planes, kernels of 1 keep
a single plane, and the last kernel covers the remaining planes. An axis that has reached its base while others are
still halved is kept by kernels of 3.
"""

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ganatomy.networks.config import NetworkConfig
from ganatomy.nn.spectral import SpectralConv, SpectralDense
from ganatomy.pyramid import Shape
from ganatomy.steps import hierarchy
from ganatomy.steps.condition import Condition
from ganatomy.steps.scope import ImageParts, SubVolumeScope
from ganatomy.steps.space import DiscriminatorOutput, ImageSpace

LEAKY_SLOPE = 0.2  # slope of the leaky rectifiers below zero


class HierarchicalDiscriminator(NetworkConfig):
    """Settings of D^H(x_r, r) and D^L(x_low)   (Sun 2022).

    Args:
        features: as in the generator.
        low: whether there is a low-resolution branch D^L.
        scores: ``apart`` = one score from each branch, so that a loss has two adversarial terms (figure of the paper);
            ``averaged`` = the mean of both scores (official code).
    """

    kind: Literal["hierarchical-discriminator"] = "hierarchical-discriminator"
    features: int = Field(64, ge=4, multiple_of=4)
    low: bool = True
    scores: Literal["apart", "averaged"] = "apart"

    @property
    def feature_layer(self) -> str:
        return "high.score"

    def build(self, space: ImageSpace) -> nn.Module:
        return HierarchicalDiscriminatorModule(self, space)

    def make_tiny(self) -> "HierarchicalDiscriminator":
        return self.replace(features=8)


class _SpectralTower(nn.Module):
    """hₗ = lrelu(SN conv(hₗ₋₁)), out = SN conv(h_L)   (Sun 2022; spectral normalisation SN: Miyato 2018, algorithm 1).

    (batch, channels, *shape) -> (batch, last).

    Args:
        widths: channels of the image and after each layer.
        whole: shape of the whole image at the same resolution, whose axes determine what each layer halves.
        shape: shape of the input, which has fewer planes along the first axis if it is a sub-volume.
        last: number of outputs.
    """

    def __init__(self, widths: list[int], whole: Shape, shape: Shape, last: int) -> None:
        super().__init__()
        convs = []
        for (a, b), halved in zip(pairwise(widths), hierarchy.list_halved_axes(whole), strict=True):
            steps = [
                _choose_short_kernel(n) if axis == 0 and shape[0] != whole[0] else _choose_kernel(halved[axis])
                for axis, n in enumerate(shape)
            ]
            kernel, stride, padding = zip(*steps, strict=True)
            convs.append(SpectralConv(a, b, kernel, stride, padding))
            shape = tuple(n // s for n, s in zip(shape, stride, strict=True))
        self.convs = nn.ModuleList(convs)
        self.head = SpectralConv(widths[-1], last, shape, (1,) * len(shape), (0,) * len(shape))

    def forward(self, x: Tensor) -> Tensor:
        for convolution in self.convs:
            x = F.leaky_relu_(convolution(x), LEAKY_SLOPE)
        return self.head(x).flatten(1)


def _choose_kernel(halved: bool) -> tuple[int, int, int]:
    """Choose kernel, stride and padding that halve or keep an axis."""
    return (4, 2, 1) if halved else (3, 1, 1)


def _choose_short_kernel(n: int) -> tuple[int, int, int]:
    """Choose kernel, stride and padding for n planes along the first axis of a sub-volume, which is halved to 1."""
    if n >= 8:
        return 4, 2, 1
    return (2, 2, 0) if n % 2 == 0 else (1, 1, 0)


class HighBranch(nn.Module):
    """D^H(x_r, r) = SN W₂ lrelu(SN W₁ (lrelu(tower(x_r)), r))   (Sun 2022).

    A sub-volume and its position r (0 to 1) -> score and label logits (batch, 1 + labels).
    """

    def __init__(self, config: HierarchicalDiscriminator, space: ImageSpace) -> None:
        super().__init__()
        w, count = config.features, hierarchy.count_halvings(space.shape)
        shape = (hierarchy.compute_sub_volume_depth(space.shape[0]), *space.shape[1:])
        widths = [space.channels, *hierarchy.compute_rising_widths(8 * w, max(1, w // 4), count)]
        self.tower = _SpectralTower(widths, space.shape, shape, 2 * w)
        self.dense = SpectralDense(2 * w + 1, w)
        self.score = SpectralDense(w, 1)
        labels = space.conditions.label_width
        self.labels = SpectralDense(w, labels) if labels else None

    def forward(self, x: Tensor, position: float) -> Tensor:
        x = F.leaky_relu_(self.tower(x), LEAKY_SLOPE)
        x = F.leaky_relu_(self.dense(torch.cat((x, x.new_full((len(x), 1), position)), 1)), LEAKY_SLOPE)
        return self.score(x) if self.labels is None else torch.cat((self.score(x), self.labels(x)), 1)


class LowBranch(_SpectralTower):
    """D^L(x_low) = SN tower(x_low): score and label logits (batch, 1 + labels)   (Sun 2022)."""

    def __init__(self, config: HierarchicalDiscriminator, space: ImageSpace) -> None:
        shape = hierarchy.compute_low_shape(space.shape)
        w, count = config.features, hierarchy.count_halvings(shape)
        widths = [space.channels, *hierarchy.compute_rising_widths(4 * w, w // 2, count)]
        super().__init__(widths, shape, shape, 1 + space.conditions.label_width)


class HierarchicalDiscriminatorModule(nn.Module):
    """(D^H(x_r, r), D^L(x_low)), or their mean (D^H + D^L) / 2   (Sun 2022; the mean: official code).

    (sub-volume,) or (sub-volume, low-resolution volume), condition, scope -> scores and label logits. The label logits
    are the mean of those of both branches.
    """

    def __init__(self, config: HierarchicalDiscriminator, space: ImageSpace) -> None:
        super().__init__()
        self.averaged = config.scores == "averaged"
        self.high = HighBranch(config, space)
        self.low = LowBranch(config, space) if config.low else None

    def forward(self, images: ImageParts, condition: Condition, scope: SubVolumeScope) -> DiscriminatorOutput:
        answers = [self.high(images[0], scope.position).float()]
        if self.low is not None:
            answers.append(self.low(images[1]).float())
        both = torch.stack(answers)  # (branches, batch, 1 + conditions)
        scores = both[:, :, 0].mean(0) if self.averaged else both[:, :, 0].T
        return DiscriminatorOutput(scores, both[:, :, 1:].mean(0))
