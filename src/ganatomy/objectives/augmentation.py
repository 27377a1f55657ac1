"""Differentiable augmentation T: the discriminator scores T(x) and T(G(z)) instead of x and G(z)   (Zhao 2020).

The generator's gradients pass through T, so the generator does not learn to generate augmented images. Augmentation
helps if there are few training images (see also Karras 2020, "ADA").
"""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganatomy.channels import Channels, place_arrays
from ganatomy.config import Config
from ganatomy.objectives.phase import Batch
from ganatomy.steps.scope import ImageParts


class Augmentation(Config):
    """T(x) = shift(mean + (1 + contrast c) (x - mean) + brightness b), with b and c uniform in [-1, 1)   (Zhao 2020).

    The mean is taken over the image. All channels of a case are shifted together, and label maps are not shaded. The
    random numbers of an image depend only on the seed of the run and on the number of the image.

    Args:
        brightness: largest value added to all voxels; voxels are in [-1, 1].
        contrast: largest relative change of the deviation from the mean.
        translation: largest shift along each axis, as a fraction of the axis. The vacated voxels get the value of a
            channel where there is nothing: the lowest of an image, the background of a label map.
    """

    brightness: float = Field(0.2, ge=0, le=1)
    contrast: float = Field(0.3, ge=0, lt=1)
    translation: float = Field(0.125, ge=0, le=0.5)

    def __call__(self, images: ImageParts, batch: Batch, purpose: str) -> ImageParts:
        """Return T(images). A sub-volume and its low-resolution volume get the same b and c and are not shifted."""
        lighter, stronger = (2 * batch.draw_uniform(f"{purpose}-{name}") - 1 for name in ("brightness", "contrast"))
        shaded = tuple(self._shade_channels(image, batch.kinds, lighter, stronger) for image in images)
        if len(shaded) > 1 or not self.translation:
            return shaded
        return (self._translate(shaded[0], batch, purpose),)

    def _shade_channels(self, arrays: Tensor, kinds: Channels, brightness: Tensor, contrast: Tensor) -> Tensor:
        """Shade each image among the arrays of a case (batch, arrays, *space)."""
        parts = [
            self._shade(arrays[:, place], brightness, contrast) if kind.can_be_shaded else arrays[:, place]
            for kind, place in place_arrays(kinds)
        ]
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]

    def _shade(self, image: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
        """Return mean + (1 + contrast c) (x - mean) + brightness b, where b and c are (batch,) in [-1, 1)."""
        ones = [1] * (image.ndim - 1)
        mean = image.flatten(1).mean(1).view(-1, *ones)
        scaled = (image - mean) * (1 + self.contrast * contrast).view(-1, *ones) + mean
        return scaled + (self.brightness * brightness).view(-1, *ones)

    def _translate(self, image: Tensor, batch: Batch, purpose: str) -> Tensor:
        """Shift the images by whole voxels, without interpolation."""
        shape = image.shape[2:]
        bounds = [int(self.translation * n) for n in shape]
        shares = [batch.draw_uniform(f"{purpose}-shift-{axis}") for axis in range(len(shape))]
        margins = [m for bound in reversed(bounds) for m in (bound, bound)]
        values = [value for kind in batch.kinds for value in kind.empty_values]
        sides = [F.pad(image[:, i : i + 1], margins, value=value) for i, value in enumerate(values)]
        padded = torch.cat(sides, 1) if len(sides) > 1 else sides[0]
        ndim, n = len(shape), len(image)
        places = [torch.arange(n, device=image.device).view(-1, *[1] * ndim)]
        for axis, (share, bound, size) in enumerate(zip(shares, bounds, shape, strict=True)):
            start = (share * (2 * bound + 1)).long().view(-1, *[1] * ndim)
            along = torch.arange(size, device=image.device).view(*[size if a == axis else 1 for a in range(ndim)])
            places.append(start + along)
        return padded.movedim(1, -1)[tuple(places)].movedim(-1, 1)
