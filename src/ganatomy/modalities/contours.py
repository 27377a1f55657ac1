"""Masks over a picture as contours."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ganatomy.imaging.pictures import Grey, flat

COLOURS = ((60, 220, 90), (235, 70, 60), (80, 150, 255))


def contoured(
    picture: Grey, masks: Sequence[NDArray[np.bool_]], spacing: tuple[float, ...] | None
) -> NDArray[np.float32]:
    """`outlined`, for masks of the image that a flat picture was made of (`pictures.flat`)."""
    return outlined(picture, [flat(mask.astype(np.float32), spacing) > 0.5 for mask in masks])


def outlined(picture: Grey, masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.float32]:
    """A grey picture in [0, 1] with the edge of each mask in a colour of its own: (rows, columns, 3) in [0, 1]."""
    rgb = np.repeat(picture[..., None], 3, axis=2).astype(np.float32)
    for mask, colour in zip(masks, COLOURS, strict=False):
        edge = mask & ~ndimage.binary_erosion(mask)
        rgb[edge] = np.array(colour, dtype=np.float32) / 255
    return rgb
