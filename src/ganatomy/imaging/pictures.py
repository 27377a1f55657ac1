"""Display pictures: grids, pairs and PNG files."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo
from skimage.transform import downscale_local_mean

from ganatomy.imaging.marking import Mark
from ganatomy.imaging.xmp import PNG_KEYWORD, make_packet, read_packet
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
    """Render an image as a picture: a 2D image as it is, a volume as its three orthogonal middle planes side by side.

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


def save_png(pixels: NDArray[np.uint8] | NDArray[np.uint16], path: Path, mark: Mark) -> None:
    """Save a PNG file that says what it shows, in grey of 8 or 16 bits or in RGB of 8 bits."""
    with new_file(path) as temporary:
        Pillow.fromarray(pixels).save(temporary, format="PNG", pnginfo=make_png_fields(mark, pixels))


def make_png_fields(mark: Mark, pixels: NDArray[Any] | None = None) -> PngInfo:
    """Make the text fields of a PNG: the mark as XMP, and its comment and record in fields of their own.

    Args:
        mark: the mark.
        pixels: the pixels, whose hash is added; None = without a hash, where another library makes them.
    """
    fields = PngInfo()
    fields.add_itxt(PNG_KEYWORD, make_packet(mark.make_document(pixels)))
    fields.add_itxt("Comment", mark.comment)
    fields.add_itxt("Provenance", json.dumps(mark.record))
    return fields


def copy_png_fields(picture: Pillow.Image) -> PngInfo:
    """Make the text fields for a changed copy of a PNG of ours, with the hash of its pixels as they are now."""
    mark = read_packet(picture.info.get("xmp", b""))
    return PngInfo() if mark is None else make_png_fields(mark, np.asarray(picture))


def shrink_to_row(pixels: NDArray[np.float32], max_size: int) -> NDArray[np.float64]:
    """Shrink an image to less than twice `max_size` pixels or voxels an axis by means over cells, as one row."""
    factors = tuple(max(1, n // max_size) for n in pixels.shape)
    return np.asarray(downscale_local_mean(pixels, factors), dtype=np.float64).ravel()
