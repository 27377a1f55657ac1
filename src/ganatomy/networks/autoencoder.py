"""An encoder c = E(x) and a decoder x = D(c) between images and a grid of codes (Rombach 2022, section 3.1).

MONAI provides both; they consist of residual blocks with group normalisation, without attention. `networks.diffusion`
and `networks.autoregressive` model the distribution of the codes. The extra ``benchmark`` installs MONAI.
"""

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganatomy.config import Config
from ganatomy.errors import Refused
from ganatomy.networks.config import NetworkConfig
from ganatomy.nn.ending import end_channels
from ganatomy.nn.foreign import adopt_layers
from ganatomy.pyramid import Shape
from ganatomy.steps.space import ImageSpace

MONAI = {"monai": 200 * 2**20}  # bytes of memory that the import takes, as measured (`benchmarks/memory_plan.py`)
NORM_GROUPS = 4  # groups of every group normalisation
GROUP_NORM_EPSILON = 1e-6


class CodeGrid(Config):
    """The size of c = E(x): `channels` numbers at each of n / 2^halvings places per axis   (Rombach 2022, section 3.1).

    Args:
        features: feature maps at full resolution; each halving doubles them, up to `widest`.
        widest: largest number of feature maps of a level.
        channels: numbers at each place of the grid.
        halvings: how often each axis of n voxels is halved.
    """

    features: int = Field(16, ge=NORM_GROUPS, multiple_of=NORM_GROUPS)
    widest: int = Field(128, ge=NORM_GROUPS, multiple_of=NORM_GROUPS)
    channels: int = Field(4, ge=1)
    halvings: int = Field(3, ge=1)

    def compute_grid_shape(self, shape: Shape) -> Shape:
        """Return n / 2^halvings, the places of the grid along each axis of n voxels."""
        return tuple(n // 2**self.halvings for n in shape)

    def list_widths(self) -> list[int]:
        """Return min(features · 2^l, widest) for l = 0 to halvings: feature maps from full resolution to the grid."""
        return [min(self.features * 2**i, self.widest) for i in range(self.halvings + 1)]

    def make_monai_settings(self, ndim: int) -> dict[str, object]:
        """Return the settings that MONAI's encoder and decoder have in common."""
        none = [False] * (self.halvings + 1)
        return {
            "spatial_dims": ndim,
            "channels": self.list_widths(),
            "num_res_blocks": [1] * (self.halvings + 1),
            "norm_num_groups": NORM_GROUPS,
            "norm_eps": GROUP_NORM_EPSILON,
            "attention_levels": none,
            "with_nonlocal_attn": False,
        }


class GridEncoder(NetworkConfig):
    """Settings of E: c = E(x), or (μ, log σ²) = E(x) if `variational`   (Rombach 2022, section 3.1).

    Args:
        grid: the size of the codes.
        variational: whether E returns the mean and the logarithm of the variance of the code, side by side.
    """

    kind: Literal["grid-encoder"] = "grid-encoder"
    grid: CodeGrid = CodeGrid()
    variational: bool = False

    @property
    def libraries(self) -> Mapping[str, int]:
        return MONAI

    def build(self, space: ImageSpace) -> nn.Module:
        return GridEncoderModule(self, space)

    def make_tiny(self) -> "GridEncoder":
        return self.replace(grid=make_tiny_grid(self.grid))


def make_tiny_grid(grid: CodeGrid) -> CodeGrid:
    """Return the same grid with narrow networks."""
    return grid.replace(features=2 * NORM_GROUPS, widest=2 * NORM_GROUPS)


class GridEncoderModule(nn.Module):
    """c = E(x): image (batch, channels, *shape) -> (batch, channels, *grid)   (Rombach 2022, section 3.1).

    A variational encoder returns twice as many channels: those of μ, then those of log σ².
    """

    def __init__(self, config: GridEncoder, space: ImageSpace) -> None:
        super().__init__()
        out = config.grid.channels * (2 if config.variational else 1)
        settings = config.grid.make_monai_settings(len(space.shape))
        encoder = import_monai("autoencoderkl").Encoder(in_channels=space.channels, out_channels=out, **settings)
        self.net = adopt_layers(encoder)

    def forward(self, x: Tensor) -> Tensor:
        grid: Tensor = self.net(x)
        return grid.float()


class GridDecoderModule(nn.Module):
    """x = tanh(D(c)), in [-1, 1]   (Rombach 2022, section 3.1).

    Grid (batch, channels, *grid) -> image (batch, channels, *shape).
    """

    def __init__(self, grid: CodeGrid, space: ImageSpace) -> None:
        super().__init__()
        settings = grid.make_monai_settings(len(space.shape))
        decoder = import_monai("autoencoderkl").Decoder(
            in_channels=grid.channels, out_channels=space.channels, **settings
        )
        self.net = adopt_layers(decoder)
        self.kinds = space.kinds

    def list_blocks(self) -> list[nn.Module]:
        """List the modules that may be recomputed or compiled separately."""
        return list(self.net.blocks)

    def forward(self, grid: Tensor) -> Tensor:
        return end_channels(self.net(grid).float(), self.kinds, torch.tanh)


def import_monai(module: str) -> ModuleType:
    """Import a module of MONAI's networks.

    Raises:
        Refused: MONAI is not installed.
    """
    try:
        return import_module(f"monai.networks.nets.{module}")
    except ModuleNotFoundError as error:
        raise Refused(
            f"MONAI's networks need the package {error.name}; install it with: pip install 'ganatomy[benchmark]'"
        ) from error
