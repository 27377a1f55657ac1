"""Strong augmentation of an image with its label map: the control that needs no generator."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ganatomy.studies.fitting import Pixels, Targets

ANGLE, SCALE, SHIFT = 15.0, 0.15, 0.08  # degrees in each plane; share of the size; share of each axis
GAMMA, NOISE = 0.35, 0.03  # largest logarithm of the exponent of values in [0, 1]; standard deviation in [-1, 1]
STRONG_DESCRIPTION = (
    "copies turned by up to 15 degrees, scaled by up to 15 %, moved by up to 8 % of an axis, with another gamma (0.7 to"
    " 1.4) and noise of 1.5 %"
)


def augment_strongly(image: Pixels, labels: Targets, rng: np.random.Generator) -> tuple[Pixels, Targets]:
    """Turn, scale and move an image and its label map alike; then change gamma and add noise in the image alone.

    Nothing is mirrored, since the sides of a body differ.

    Args:
        image: ``(*shape)`` in [-1, 1].
        labels: ``(*shape)``, numbers of classes, which are taken from the nearest pixel or voxel.
        rng: source of the random numbers.
    """
    matrix = _draw_rotation(image.ndim, rng) / (1 + rng.uniform(-SCALE, SCALE))
    centre = (np.array(image.shape) - 1) / 2
    shift = rng.uniform(-SHIFT, SHIFT, image.ndim) * image.shape
    offset = centre - matrix @ (centre + shift)
    moved = ndimage.affine_transform(image, matrix, offset, order=1, mode="constant", cval=-1.0)
    numbers = ndimage.affine_transform(labels, matrix, offset, order=0, mode="constant", cval=0)
    shaded = np.clip((moved + 1) / 2, 0, 1) ** np.exp(rng.uniform(-GAMMA, GAMMA)) * 2 - 1
    noisy = shaded + rng.normal(size=image.shape) * NOISE * (shaded > -1 + NOISE)
    return np.clip(noisy, -1, 1).astype(np.float32), numbers


def _draw_rotation(ndim: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a rotation: one angle in each plane of two axes."""
    turned = np.eye(ndim)
    for one in range(ndim):
        for other in range(one + 1, ndim):
            angle = np.deg2rad(rng.uniform(-ANGLE, ANGLE))
            plane = np.eye(ndim)
            plane[one, one] = plane[other, other] = np.cos(angle)
            plane[other, one] = np.sin(angle)
            plane[one, other] = -plane[other, one]
            turned = turned @ plane
    return turned
