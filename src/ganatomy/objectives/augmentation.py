"""Differentiable augmentation: what the discriminator sees of reals and fakes alike, so that few images go further.

The generator learns through it, so it is never asked to draw augmented images (Zhao 2020, "DiffAugment"; Karras 2020,
"ADA").
"""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganatomy.config import Config
from ganatomy.objectives.phase import Batch
from ganatomy.steps.scope import ImageParts

LOWEST_VALUE = -1.0  # of an image


class Augmentation(Config):
    """Draws for every image by itself, from the draw's numbers: the same whoever asks.

    Args:
        brightness: added, within +- this, in units of [-1, 1].
        contrast: the image's deviation from its mean times 1 +- this.
        translation: shift of each axis within +- this share of it; what comes in is the lowest value.
    """

    brightness: float = Field(0.2, ge=0, le=1)
    contrast: float = Field(0.3, ge=0, lt=1)
    translation: float = Field(0.125, ge=0, le=0.5)

    def __call__(self, images: ImageParts, batch: Batch, purpose: str) -> ImageParts:
        """Images as the discriminator sees them; a sub-volume and its whole are shaded alike and never moved."""
        lighter, stronger = (2 * batch.draw_uniform(f"{purpose}-{name}") - 1 for name in ("brightness", "contrast"))
        shaded = tuple(self._shade(image, lighter, stronger) for image in images)
        if len(shaded) > 1 or not self.translation:
            return shaded
        return (self._translate(shaded[0], batch, purpose),)

    def _shade(self, image: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
        ones = [1] * (image.ndim - 1)
        mean = image.flatten(1).mean(1).view(-1, *ones)
        scaled = (image - mean) * (1 + self.contrast * contrast).view(-1, *ones) + mean
        return scaled + (self.brightness * brightness).view(-1, *ones)

    def _translate(self, image: Tensor, batch: Batch, purpose: str) -> Tensor:
        """Whole voxels, so that nothing is blurred."""
        shape = image.shape[2:]
        bounds = [int(self.translation * n) for n in shape]
        shares = [batch.draw_uniform(f"{purpose}-shift-{axis}") for axis in range(len(shape))]
        margins = [m for bound in reversed(bounds) for m in (bound, bound)]
        padded = F.pad(image, margins, value=LOWEST_VALUE)
        ndim, n = len(shape), len(image)
        places = [torch.arange(n, device=image.device).view(-1, *[1] * ndim)]
        for axis, (share, bound, size) in enumerate(zip(shares, bounds, shape, strict=True)):
            start = (share * (2 * bound + 1)).long().view(-1, *[1] * ndim)
            along = torch.arange(size, device=image.device).view(*[size if a == axis else 1 for a in range(ndim)])
            places.append(start + along)
        return padded.movedim(1, -1)[tuple(places)].movedim(-1, 1)
