"""Latent diffusion: noise flows to a grid of codes, a decoder makes the image (Rombach 2022; flow of Liu 2023).

The velocity along the flow is MONAI's diffusion U-Net. Sampling is a plain integration without new noise, so an image
is a function of its latent code z, the noise at the start, as for every other generator here; run backwards it encodes.
"""

import math
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganatomy.config import Value
from ganatomy.networks.autoencoder import GROUPS, Decoder, Grid, monai, tiny_grid
from ganatomy.nn.across import BatchNorm
from ganatomy.pyramid import Shape
from ganatomy.steps.scope import Images, Whole
from ganatomy.steps.space import Space

CLOCK = 1000.0  # the U-Net embeds times of a thousand steps
LEVELS = 2  # of the U-Net


class LatentDiffusionGenerator(Value):
    """Settings of the generator.

    Args:
        grid: of the codes, that of the encoder.
        width: feature maps of the U-Net's finer level; the coarser one, with attention, has twice as many.
        steps: of the integration when an image is made or encoded.
    """

    kind: Literal["latent-diffusion-generator"] = "latent-diffusion-generator"
    grid: Grid = Grid()
    width: int = Field(64, ge=GROUPS, multiple_of=GROUPS)
    steps: int = Field(15, ge=1)

    def build(self, space: Space) -> nn.Module:
        return Generator(self, space)

    def latent(self, shape: Shape) -> int:
        """Width of the latent code for images of a shape."""
        return self.grid.channels * math.prod(self.grid.grid(shape))

    def objection(self, shape: Shape) -> str | None:
        """What is wrong with a shape, as the end of a sentence; None if nothing is."""
        multiple = 2 ** (self.grid.halvings + LEVELS - 1)
        return None if all(n % multiple == 0 for n in shape) else f"every axis must be a multiple of {multiple}"

    def tiny(self) -> "LatentDiffusionGenerator":
        return self.model_copy(update={"grid": tiny_grid(self.grid), "width": 16, "steps": 4})


class Generator(nn.Module):
    """z (batch, latent), condition (batch, conditions), the whole -> (image,), in [-1, 1]."""

    def __init__(self, config: LatentDiffusionGenerator, space: Space) -> None:
        super().__init__()
        ndim, channels = len(space.shape), config.grid.channels
        self.steps = config.steps
        self.grid = (channels, *config.grid.grid(space.shape))
        self.decoder = Decoder(config.grid, space)
        self.scale: Any = BatchNorm(channels, affine=False)  # of the codes
        self.net = monai("diffusion_model_unet").DiffusionModelUNet(
            spatial_dims=ndim,
            in_channels=channels + space.conditions,
            out_channels=channels,
            channels=(config.width, 2 * config.width),
            num_res_blocks=2,
            attention_levels=(False, True),
            num_head_channels=(0, config.width),
            norm_num_groups=GROUPS,
        )

    def parts(self) -> list[nn.Module]:
        """What may be recomputed or compiled, each by itself."""
        return self.decoder.parts()

    def velocity(self, at: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        """Where scaled codes (batch, channels, *grid) at times (batch,) flow to: 0 = codes, 1 = noise."""
        planes = condition.view(*condition.shape, *[1] * (at.ndim - 2)).expand(-1, -1, *at.shape[2:])
        flow: Tensor = self.net(torch.cat((at, planes), 1), time * CLOCK)
        return flow.float()

    def flown(self, at: Tensor, condition: Tensor, start: float, end: float) -> Tensor:
        """Scaled codes after the flow from one time to another, by the midpoint rule."""
        step = (end - start) / self.steps
        for i in range(self.steps):
            time = torch.full((len(at),), start + i * step, device=at.device)
            half = at + step / 2 * self.velocity(at, time, condition)
            at = at + step * self.velocity(half, time + step / 2, condition)
        return at

    def scaled(self, codes: Tensor) -> Tensor:
        """Codes of mean 0 and deviation 1 in every channel, as known so far."""
        return (codes - self._along(self.scale.running_mean)) / self._along(self._deviation())

    def forward(self, z: Tensor, condition: Tensor, scope: Whole) -> Images:
        codes = self.flown(z.view(-1, *self.grid), condition, 1.0, 0.0)
        return (self.decoder(codes * self._along(self._deviation()) + self._along(self.scale.running_mean)),)

    def _deviation(self) -> Tensor:
        deviation: Tensor = (self.scale.running_var + self.scale.eps).sqrt()
        return deviation

    def _along(self, channels: Tensor) -> Tensor:
        return channels.view(1, -1, *[1] * (len(self.grid) - 1))
