"""The word SYNTHETIC in the pixels of an image, outside the anatomy."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from ganatomy.errors import Refused

LABEL_TEXT = "SYNTHETIC"
MIN_LETTER_HEIGHT = 8  # pixels; smaller letters cannot be read
LETTER_HEIGHT_DIVISOR = 24  # the height of the image divided by the largest height of letters
MARGIN = 2  # pixels kept free around the word

Mask = NDArray[np.bool_]


def draw_label(pixels: NDArray[np.float32], anatomy: Mask) -> NDArray[np.float32]:
    """Draw the word in the brightest value of the image, as near to a corner as the anatomy allows.

    Args:
        pixels: (rows, columns), or (planes, rows, columns), where all planes have the word at the same position.
        anatomy: mask of the same shape that the word must not cover.

    Raises:
        Refused: there is no room for the word.
    """
    taken: Mask = anatomy if anatomy.ndim == 2 else np.any(anatomy, axis=0)
    largest = max(MIN_LETTER_HEIGHT, taken.shape[0] // LETTER_HEIGHT_DIVISOR)
    for size in range(largest, MIN_LETTER_HEIGHT - 1, -1):
        written = _render_word(size)
        for word in (written, np.rot90(written)):
            place = _find_free_box(taken, (word.shape[0] + 2 * MARGIN, word.shape[1] + 2 * MARGIN))
            if place is not None:
                y, x = place[0] + MARGIN, place[1] + MARGIN
                out = pixels.copy()
                out[..., y : y + word.shape[0], x : x + word.shape[1]][..., word] = pixels.max()
                return out
    rows, columns = taken.shape
    raise Refused(
        f"There is no room outside the anatomy for the word {LABEL_TEXT} in an image of {rows} x {columns};"
        " omit --label; the"
        " header marks the image as synthetic as well."
    )


def _render_word(size: int) -> Mask:
    """Render the pixels of the word in letters of about this height."""
    font = ImageFont.load_default(size)
    left, top, right, bottom = (int(v) for v in font.getbbox(LABEL_TEXT))
    picture = Pillow.new("L", (right - left, bottom - top))
    ImageDraw.Draw(picture).text((-left, -top), LABEL_TEXT, fill=255, font=font)
    letters: Mask = np.asarray(picture) > 127
    return letters


def _find_free_box(occupied: Mask, box: tuple[int, int]) -> tuple[int, int] | None:
    """Find the upper left corner of the free box nearest to a corner of the image; None if there is none."""
    rows, columns = (n - b for n, b in zip(occupied.shape, box, strict=True))
    if rows < 0 or columns < 0:
        return None
    sums = np.pad(occupied.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = box
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    y, x = np.nonzero(inside == 0)
    if not len(y):
        return None
    nearest = np.argmin(np.minimum(y, rows - y) + np.minimum(x, columns - x))
    return int(y[nearest]), int(x[nearest])
