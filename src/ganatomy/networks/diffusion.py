"""Latent diffusion: a flow from noise to a grid of codes, and a decoder to the image (Rombach 2022; flow: Liu 2023).

MONAI's diffusion U-Net predicts the velocity of the flow. Sampling integrates the flow from the latent code z without
further noise, so an image is a function of z, as for every other generator. Integration in the other direction encodes
an image.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganatomy.networks.autoencoder import MONAI, NORM_GROUPS, CodeGrid, GridDecoderModule, import_monai, make_tiny_grid
from ganatomy.networks.config import NetworkConfig
from ganatomy.nn.across import BatchNorm
from ganatomy.nn.foreign import adopt_layers
from ganatomy.pyramid import Shape
from ganatomy.steps.condition import Condition
from ganatomy.steps.coupling import BATCH_NORM_COUPLING, Coupling
from ganatomy.steps.scope import ImageParts, WholeScope
from ganatomy.steps.space import ImageSpace

TIME_SCALE = 1000.0  # the U-Net expects times from 0 to 1000
UNET_LEVELS = 2  # levels of the U-Net


class LatentDiffusionGenerator(NetworkConfig):
    """Settings of x = D(σ c₀ + μ), c₀ = z + ∫₁⁰ v(c_t, t) dt   (Rombach 2022, section 3; flow: Liu 2023, eq. 1).

    Args:
        grid: the size of the codes; it equals that of the encoder.
        width: feature maps of the U-Net's finer level; the coarser level, with attention, has twice as many.
        steps: integration steps when an image is generated or encoded.
    """

    kind: Literal["latent-diffusion-generator"] = "latent-diffusion-generator"
    grid: CodeGrid = CodeGrid()
    width: int = Field(64, ge=NORM_GROUPS, multiple_of=NORM_GROUPS)
    steps: int = Field(15, ge=1)

    @property
    def libraries(self) -> Mapping[str, int]:
        return MONAI

    @property
    def coupling(self) -> Coupling:
        return BATCH_NORM_COUPLING  # the codes are standardised over the batch

    def build(self, space: ImageSpace) -> nn.Module:
        return LatentDiffusionGeneratorModule(self, space)

    def compute_latent_width(self, shape: Shape) -> int:
        """Return the number of elements of a grid of codes for images of a shape."""
        return self.grid.channels * math.prod(self.grid.compute_grid_shape(shape))

    def find_shape_problem(self, shape: Shape) -> str | None:
        """Explain, as the end of a sentence, why images of a shape cannot be generated; None if they can."""
        multiple = 2 ** (self.grid.halvings + UNET_LEVELS - 1)
        return None if all(n % multiple == 0 for n in shape) else f"every axis must be a multiple of {multiple}"

    def make_tiny(self) -> "LatentDiffusionGenerator":
        return self.replace(grid=make_tiny_grid(self.grid), width=16, steps=4)


class LatentDiffusionGeneratorModule(nn.Module):
    """x = D(σ c₀ + μ), c₀ = z + ∫₁⁰ v(c_t, t) dt   (Rombach 2022, section 3; flow: Liu 2023, eq. 1).

    z (batch, latent), condition, scope of the whole image -> (image,), in [-1, 1]. μ and σ are the mean and the
    standard deviation of each channel of the codes.
    """

    def __init__(self, config: LatentDiffusionGenerator, space: ImageSpace) -> None:
        super().__init__()
        ndim, channels = len(space.shape), config.grid.channels
        self.steps = config.steps
        self.grid = (channels, *config.grid.compute_grid_shape(space.shape))
        self.decoder = GridDecoderModule(config.grid, space)
        self.scale: Any = BatchNorm(channels, affine=False)  # standardises the codes
        unet = import_monai("diffusion_model_unet").DiffusionModelUNet(
            spatial_dims=ndim,
            in_channels=channels + space.conditions.width,
            out_channels=channels,
            channels=(config.width, 2 * config.width),
            num_res_blocks=2,
            attention_levels=(False, True),
            num_head_channels=(0, config.width),
            norm_num_groups=NORM_GROUPS,
        )
        self.net = adopt_layers(unet)

    def list_blocks(self) -> list[nn.Module]:
        """List the modules that may be recomputed or compiled separately."""
        return self.decoder.list_blocks()

    def predict_velocity(self, codes: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """v(c_t, t) ≈ ε - c: the velocity of the flow   (Liu 2023, eq. 1).

        Standardised codes (batch, channels, *grid), times (batch,) -> velocities in the shape of the codes. Time 0
        means codes, time 1 noise ε. The condition is appended to the codes as channels of constant value.
        """
        vector = condition.vector
        planes = vector.view(*vector.shape, *[1] * (codes.ndim - 2)).expand(-1, -1, *codes.shape[2:])
        flow: Tensor = self.net(torch.cat((codes, planes), 1), time * TIME_SCALE)
        return flow.float()

    def integrate_flow(self, codes: Tensor, condition: Condition, start: float, end: float) -> Tensor:
        """c ← c + h v(c + h/2 v(c, t), t + h/2), `steps` times from t = `start` to `end`: the midpoint rule.

        Argument and result are standardised codes (batch, channels, *grid); h = (end - start) / steps.
        """
        step = (end - start) / self.steps
        for i in range(self.steps):
            time = torch.full((len(codes),), start + i * step, device=codes.device)
            half = codes + step / 2 * self.predict_velocity(codes, time, condition)
            codes = codes + step * self.predict_velocity(half, time + step / 2, condition)
        return codes

    def standardise_codes(self, codes: Tensor) -> Tensor:
        """Return (c - μ) / σ with the running mean and standard deviation of each channel."""
        return (codes - self._broadcast_channels(self.scale.running_mean)) / self._broadcast_channels(self._deviation())

    def forward(self, z: Tensor, condition: Condition, scope: WholeScope) -> ImageParts:
        codes = self.integrate_flow(z.view(-1, *self.grid), condition, 1.0, 0.0)
        return (
            self.decoder(
                codes * self._broadcast_channels(self._deviation()) + self._broadcast_channels(self.scale.running_mean)
            ),
        )

    def _deviation(self) -> Tensor:
        """Return σ, the running standard deviation of each channel."""
        deviation: Tensor = (self.scale.running_var + self.scale.eps).sqrt()
        return deviation

    def _broadcast_channels(self, channels: Tensor) -> Tensor:
        """Reshape one number per channel so that it multiplies a grid."""
        return channels.view(1, -1, *[1] * (len(self.grid) - 1))
