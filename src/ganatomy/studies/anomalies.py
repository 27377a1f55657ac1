"""Artificial anomalies: real images, each altered in one way that an outlier score should detect."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ganatomy.evaluation.extractors.extractor import Pixels

BODY_LEVEL = -0.8  # brighter voxels belong to the body
BALL_RADIUS = 0.12  # radius of a ball relative to the shortest axis
BAND_WIDTH = 0.12  # width of a band relative to its axis
NOISE_DEVIATION = 0.25  # standard deviation, for values in [-1, 1]
BLUR_DEVIATION = 0.04  # standard deviation relative to an axis

AnomalyMaker = Callable[[Pixels, np.random.Generator], Pixels]


def add_bright_ball(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Add a ball with the image's highest value in the body, like a mass, a calcification or metal."""
    return np.where(_make_ball_mask(image, rng), image.max(), image).astype(np.float32)


def add_dark_ball(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Add a ball with the image's lowest value in the body, like a cavity or a loss of signal."""
    return np.where(_make_ball_mask(image, rng), image.min(), image).astype(np.float32)


def blank_band(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Remove the signal of some planes across the body."""
    spoilt, width = image.copy(), max(1, round(BAND_WIDTH * image.shape[0]))
    start = int(_draw_place(image, rng)[0]) - width // 2
    spoilt[max(0, start) : max(0, start) + width] = image.min()
    return spoilt


def add_noise(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Add noise, as from too few photons or too short a scan."""
    return np.clip(image + NOISE_DEVIATION * rng.normal(size=image.shape), -1, 1).astype(np.float32)


def blur_image(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Blur the image, as by motion or a thicker slice."""
    return np.asarray(ndimage.gaussian_filter(image, BLUR_DEVIATION * image.shape[-1]), dtype=np.float32)


def mirror_image(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Reverse the last axis, which exchanges left and right."""
    return np.ascontiguousarray(image[..., ::-1])


ANOMALIES: dict[str, AnomalyMaker] = {
    "bright ball": add_bright_ball,
    "dark ball": add_dark_ball,
    "band": blank_band,
    "noise": add_noise,
    "blur": blur_image,
    "mirrored": mirror_image,
}


def _draw_place(image: Pixels, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw a position in the body, or anywhere if the image shows no body."""
    places = np.argwhere(image > BODY_LEVEL)
    if not len(places):
        return np.array([rng.integers(n) for n in image.shape])
    return np.asarray(places[rng.integers(len(places))])


def _make_ball_mask(image: Pixels, rng: np.random.Generator) -> NDArray[np.bool_]:
    centre, radius = _draw_place(image, rng), BALL_RADIUS * min(image.shape)
    axes = np.ogrid[tuple(slice(n) for n in image.shape)]
    squares = sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True))
    return np.asarray(squares <= radius**2)
