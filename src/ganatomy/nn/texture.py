"""Noise for fine texture that is a function of the latent code, so that an image stays one."""

import math

import torch
from torch import Tensor, nn

from ganatomy.pyramid import Shape

TILE = {2: 64, 3: 32}  # places an axis after which a texture repeats, of pictures and of volumes
TEXTURE_NUMBERS = 64  # of the code, at most, that a texture depends on


class CodeTexture(nn.Module):
    """n(p) = Σₖ uₖ Tₖ(p) / √K: noise over the places p of an image that is a function of the code u, of variance one.

    A network is slow to make fine texture from a code of a few numbers. The noise inputs of StyleGAN (Karras 2019) give
    it, but here a generator draws nothing itself. The patterns T are white, drawn once, and repeated beyond `TILE`
    places an axis.

    Args:
        numbers: K.
        shape: of the whole image.
    """

    tiles: Tensor

    def __init__(self, numbers: int, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        tile = [min(n, TILE[len(shape)]) for n in shape]
        self.register_buffer("tiles", torch.randn(numbers, *tile) / math.sqrt(numbers))

    def forward(self, u: Tensor, start: int = 0, depth: int | None = None) -> Tensor:
        """u (batch, K) -> noise (batch, 1, depth, *rest): `depth` planes of the first axis from `start` on, or all."""
        tile = self.tiles.shape[1:]
        noise = (u @ self.tiles.flatten(1)).view(len(u), 1, *tile)
        planes = range(start, start + (self.shape[0] if depth is None else depth))
        for axis, (n, period) in enumerate(zip((len(planes), *self.shape[1:]), tile, strict=True)):
            first = planes.start if axis == 0 else 0
            if first or n != period:
                places = (torch.arange(first, first + n, device=u.device)) % period
                noise = noise.index_select(2 + axis, places)
        return noise
