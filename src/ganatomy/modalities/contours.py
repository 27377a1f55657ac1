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
    """Draw masks of an image over the flat picture that `pictures.render_planes` made of it (see `draw_outlines`)."""
    return draw_outlines(picture, [render_planes(mask.astype(np.float32), spacing) > 0.5 for mask in masks])


def draw_outlines(picture: GreyPicture, masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.float32]:
    """Draw the edge of each mask in its own colour over a grey picture in [0, 1]: (rows, columns, 3) in [0, 1]."""
    rgb = np.repeat(picture[..., None], 3, axis=2).astype(np.float32)
    for mask, colour in zip(masks, MASK_COLOURS, strict=False):
        edge = mask & ~ndimage.binary_erosion(mask)
        rgb[edge] = np.array(colour, dtype=np.float32) / 255
    return rgb
