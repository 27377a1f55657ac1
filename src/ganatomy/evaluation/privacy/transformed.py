"""Transformations of copies that a generator may produce: shift, rotation, scaling, bending, change of brightness."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from ganatomy.evaluation.extractors.extractor import Pixels

SHIFT = 0.05  # share of each axis
ANGLE = 5.0  # degrees, in the plane of the last two axes
SCALE = 0.05  # relative increase or decrease of the size
BEND, BEND_WIDTH = 0.02, 0.125  # displacement, and width of the kernel that smooths it, as shares of the axis
GAIN = 0.2  # relative increase or decrease of the brightness

Transformation = Callable[[Pixels, np.random.Generator], Pixels]


def _warp(image: Pixels, places: list[np.ndarray]) -> Pixels:
    return np.asarray(ndimage.map_coordinates(image, places, order=1, mode="constant", cval=-1.0), dtype=np.float32)


def shift_image(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Shift an image by 5 % along every axis, in either direction."""
    move = [rng.choice((-1, 1)) * SHIFT * n for n in image.shape]
    return np.asarray(ndimage.shift(image, move, order=1, cval=-1.0), dtype=np.float32)


def turn_image(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Rotate an image by 5 degrees about its middle."""
    angle = rng.choice((-1, 1)) * ANGLE
    return np.asarray(ndimage.rotate(image, angle, axes=(-2, -1), reshape=False, order=1, cval=-1.0), dtype=np.float32)


def scale_image(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Enlarge or reduce an image by 5 % about its middle."""
    factor = 1 + rng.choice((-1, 1)) * SCALE
    middle = [(n - 1) / 2 for n in image.shape]
    grid = np.indices(image.shape, dtype=np.float64)
    return _warp(image, [(axis - m) / factor + m for axis, m in zip(grid, middle, strict=True)])


def bend_image(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Deform an image smoothly, with displacements of 2 % of an axis (root mean square)."""
    grid = np.indices(image.shape, dtype=np.float64)
    places = []
    for axis, n in zip(grid, image.shape, strict=True):
        field = ndimage.gaussian_filter(rng.normal(size=image.shape), [BEND_WIDTH * m for m in image.shape])
        places.append(axis + field * BEND * n / field.std())
    return _warp(image, places)


def change_brightness(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Increase or decrease the brightness by 20 %, measured from black."""
    return np.clip((image + 1) * (1 + rng.choice((-1, 1)) * GAIN) - 1, -1, 1).astype(np.float32)


TRANSFORMATIONS: dict[str, Transformation] = {
    f"shifted by {100 * SHIFT:g} %": shift_image,
    f"turned by {ANGLE:g} degrees": turn_image,
    f"scaled by {100 * SCALE:g} %": scale_image,
    f"bent by {100 * BEND:g} %": bend_image,
    f"brightness changed by {100 * GAIN:g} %": change_brightness,
}
