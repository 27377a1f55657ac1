"""Noise for fine texture as a function of the latent code, so that an image remains a function of its code."""

import math

import torch
from torch import Tensor, nn

from ganatomy.pyramid import Shape

TILE = {2: 64, 3: 32}  # voxels per axis after which a texture repeats, by the number of spatial axes
TEXTURE_NUMBERS = 64  # a texture depends on at most so many numbers of the code


class CodeTexture(nn.Module):
    """n(p) = Σₖ uₖ Tₖ(p) / √K: noise of unit variance at each voxel p, a function of the code u   (this project).

    A network learns slowly to make fine texture from a code of a few numbers. StyleGAN has noise inputs for this
    (Karras 2019), but generators here draw no random numbers. The patterns Tₖ are white noise that is drawn once and
    repeats after `TILE` voxels per axis.

    Args:
        numbers: K, the length of u.
        shape: shape of the whole image.
    """

    tiles: Tensor

    def __init__(self, numbers: int, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        tile = [min(n, TILE[len(shape)]) for n in shape]
        self.register_buffer("tiles", torch.randn(numbers, *tile) / math.sqrt(numbers))

    def forward(self, u: Tensor, start: int = 0, depth: int | None = None) -> Tensor:
        """Map u (batch, K) to noise (batch, 1, depth, *rest) of `depth` planes from plane `start` on, or of all."""
        tile = self.tiles.shape[1:]
        noise = (u @ self.tiles.flatten(1)).view(len(u), 1, *tile)
        planes = range(start, start + (self.shape[0] if depth is None else depth))
        for axis, (n, period) in enumerate(zip((len(planes), *self.shape[1:]), tile, strict=True)):
            first = planes.start if axis == 0 else 0
            if first or n != period:
                places = (torch.arange(first, first + n, device=u.device)) % period
                noise = noise.index_select(2 + axis, places)
        return noise
