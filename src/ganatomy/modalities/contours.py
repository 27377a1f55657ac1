"""Drawing of masks as contours over a picture."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ganatomy.imaging.pictures import GreyPicture, render_planes

MASK_COLOURS = ((60, 220, 90), (235, 70, 60), (80, 150, 255))


def draw_contours(
    picture: GreyPicture, masks: Sequence[NDArray[np.bool_]], spacing: tuple[float, ...] | None
) -> NDArray[np.float32]:
    """`draw_outlines`, for masks of the image that a flat picture was made of (`pictures.render_planes`)."""
    return draw_outlines(picture, [render_planes(mask.astype(np.float32), spacing) > 0.5 for mask in masks])


def draw_outlines(picture: GreyPicture, masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.float32]:
    """A grey picture in [0, 1] with the edge of each mask in a colour of its own: (rows, columns, 3) in [0, 1]."""
    rgb = np.repeat(picture[..., None], 3, axis=2).astype(np.float32)
    for mask, colour in zip(masks, MASK_COLOURS, strict=False):
        edge = mask & ~ndimage.binary_erosion(mask)
        rgb[edge] = np.array(colour, dtype=np.float32) / 255
    return rgb
