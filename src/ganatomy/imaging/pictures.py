"""Display pictures: grids, pairs and PNG files."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo
from skimage.transform import downscale_local_mean

from ganatomy.machine.durable import new_file

GRID_GAP = 2  # pixels between the images of a grid

GRID_COLUMNS = {2: 8, 3: 2}  # of a grid of images, and of volumes, of which each is three planes wide

GreyPicture = NDArray[np.float32]  # (rows, columns) in [0, 1]


def make_grid(images: Sequence[NDArray[np.float32]], columns: int, gap: int = GRID_GAP) -> NDArray[np.uint8]:
    """Pictures in [0, 1], grey or all RGB, side by side, row by row, on mid grey: 8 bit.

    The cell is as large as the largest picture; smaller ones stand in its upper left corner.
    """
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    rows, columns = math.ceil(len(images) / columns), min(columns, len(images))
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap, *images[0].shape[2:])
    sheet = np.full(size, 96, dtype=np.uint8)
    for i, image in enumerate(images):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        sheet[y : y + image.shape[0], x : x + image.shape[1]] = convert_to_uint8(image)
    return sheet


def render_planes(image: NDArray[np.float32], spacing: tuple[float, ...] | None = None) -> GreyPicture:
    """A picture of an image: itself in 2D; of a volume its three orthogonal middle planes, side by side.

    A volume has its axes upwards, backwards and to the left of the body (`ganatomy.imaging.orientation`). The axial
    plane is seen from the feet, the coronal from the front, the sagittal from the left, as radiologists do; the head
    is up.

    Args:
        image: (height, width) or (S, P, L).
        spacing: millimetres; planes are stretched so that a millimetre is the same in all directions.
    """
    if image.ndim == 2:
        return image
    d, h, w = image.shape
    dz, dy, dx = spacing or (1.0, 1.0, 1.0)
    planes = ((image[d // 2], (dy, dx)), (image[::-1, h // 2], (dz, dx)), (image[::-1, :, w // 2], (dz, dy)))
    finest = min(dz, dy, dx)
    shown = [_stretch(plane, (rows / finest, columns / finest)) for plane, (rows, columns) in planes]
    height = max(plane.shape[0] for plane in shown)
    return np.hstack([_pad(plane, height) for plane in shown])


def _stretch(plane: GreyPicture, factors: tuple[float, float]) -> GreyPicture:
    size = tuple(round(n * t) for n, t in zip(plane.shape, factors, strict=True))
    if size == plane.shape:
        return plane
    picture = Pillow.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    return np.asarray(picture.resize((size[1], size[0]), Pillow.Resampling.BILINEAR))


def _pad(plane: GreyPicture, height: int) -> GreyPicture:
    above = (height - plane.shape[0]) // 2
    return np.pad(plane, ((above, height - plane.shape[0] - above), (0, 0)))


def convert_to_uint8(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def convert_to_uint16(image: GreyPicture) -> NDArray[np.uint16]:
    return np.round(np.clip(image, 0, 1) * 65535).astype(np.uint16)


def save_png(pixels: NDArray[np.uint8] | NDArray[np.uint16], path: Path, text: dict[str, str] | None = None) -> None:
    """A PNG: grey of 8 or 16 bits, or RGB of 8; `text` goes into the file's own text fields."""
    fields = PngInfo()
    for name, value in (text or {}).items():
        fields.add_itxt(name, value)
    with new_file(path) as temporary:
        Pillow.fromarray(pixels).save(temporary, format="PNG", pnginfo=fields)


def shrink_to_row(pixels: NDArray[np.float32], max_size: int) -> NDArray[np.float64]:
    """Shrink an image to less than twice `max_size` pixels or voxels an axis by means over cells, as one row."""
    factors = tuple(max(1, n // max_size) for n in pixels.shape)
    return np.asarray(downscale_local_mean(pixels, factors), dtype=np.float64).ravel()
