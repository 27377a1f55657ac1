"""A line of words above a picture, so that it says on its face what it shows."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

REAL_PATIENTS, NO_PATIENTS = "REAL PATIENTS - not to be handed on", "NO PATIENTS - phantoms or synthetic images"
SIZES = range(28, 5, -1)  # pixels of height of the letters, the largest that fits
MARGIN = 3  # pixels


def add_caption(picture: NDArray[np.uint8], shows_patients: bool) -> NDArray[np.uint8]:
    """Add a line of words above a picture, and widen the picture if the words need it.

    Args:
        picture: (rows, columns), or (rows, columns, 3).
        shows_patients: whether any of it may be of a real patient (`Store.shows_patients`).
    """
    words = REAL_PATIENTS if shows_patients else NO_PATIENTS
    for size in SIZES:
        font = ImageFont.load_default(size)
        left, top, right, bottom = (int(v) for v in font.getbbox(words))
        if right - left + 2 * MARGIN <= picture.shape[1]:
            break
    width = max(picture.shape[1], right - left + 2 * MARGIN)
    strip = Pillow.new("L", (width, bottom - top + 2 * MARGIN))
    ImageDraw.Draw(strip).text((MARGIN - left, MARGIN - top), words, fill=255, font=font)
    letters = np.asarray(strip).reshape(strip.height, width, *(1,) * (picture.ndim - 2))
    whole = np.zeros((strip.height + picture.shape[0], width, *picture.shape[2:]), dtype=np.uint8)
    whole[: strip.height] = letters
    whole[strip.height :, : picture.shape[1]] = picture
    return whole
