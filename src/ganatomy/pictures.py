"""Pictures as a reader looks at them: grids, pairs, PNG files."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from ganatomy.durable import new_file

GAP = 2  # pixels between the images of a grid

Grey = NDArray[np.float32]  # (rows, columns) in [0, 1]


def grid(images: Sequence[Grey], columns: int, gap: int = GAP) -> NDArray[np.uint8]:
    """Images of one shape side by side, row by row, on mid grey: 8 bit."""
    height, width = images[0].shape
    rows = math.ceil(len(images) / columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), 96, dtype=np.uint8)
    for i, image in enumerate(images):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        sheet[y : y + height, x : x + width] = eight_bit(image)
    return sheet


def eight_bit(image: Grey) -> NDArray[np.uint8]:
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def sixteen_bit(image: Grey) -> NDArray[np.uint16]:
    return np.round(np.clip(image, 0, 1) * 65535).astype(np.uint16)


def save_png(pixels: NDArray[np.uint8] | NDArray[np.uint16], path: Path, text: dict[str, str] | None = None) -> None:
    """A grey PNG of 8 or 16 bits; `text` goes into the file's own text fields."""
    fields = PngInfo()
    for name, value in (text or {}).items():
        fields.add_itxt(name, value)
    with new_file(path) as temporary:
        Pillow.fromarray(pixels).save(temporary, format="PNG", pnginfo=fields)
