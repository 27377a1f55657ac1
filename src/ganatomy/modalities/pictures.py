"""Reading of grey values from PNG, TIFF and JPEG files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from ganatomy.imaging.image import Doubt, UnusableImage

PICTURE_FORMATS = ("PNG", "TIFF", "JPEG")  # of Pillow; it would start Ghostscript for a file that begins with %!PS
MASK_FORMATS = ("PNG", "TIFF")
PICTURE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")


def read_grey_picture(path: Path) -> NDArray[np.float32]:
    """Read a one-channel picture (rows, columns) in [0, 1], turned as its orientation tag says.

    Values of 8 bits are divided by 255; others are scaled from their least to their greatest value. Colour pictures
    whose channels are equal count as grey.

    Raises:
        UnusableImage: the file is unreadable, truncated, coloured, of several frames, or without contrast.
    """
    try:
        with Pillow.open(path, formats=PICTURE_FORMATS) as picture:
            if getattr(picture, "n_frames", 1) != 1:
                raise UnusableImage(
                    "several frames", f"{getattr(picture, 'n_frames', 0)} frames where one was expected"
                )
            turned = ImageOps.exif_transpose(picture)  # scanners and cameras say in a tag how rows have to be turned
            values = np.asarray(turned.convert("RGB") if turned.mode in ("P", "RGBA", "CMYK") else turned)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
        raise UnusableImage("not readable as a picture", str(error).splitlines()[0] if str(error) else "") from error
    if values.ndim == 3:
        if values.shape[2] == 2:
            values = values[..., :1]
        if (values != values[..., :1]).any():
            raise UnusableImage("not monochrome", "the channels of the picture differ")
        values = values[..., 0]
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise UnusableImage("values are not finite")
    if high <= low:
        raise UnusableImage("no image", "every pixel has the same value")
    if values.dtype == np.uint8:
        low, high = 0.0, 255.0
    return ((values.astype(np.float32) - low) / (high - low)).astype(np.float32)


def read_mask_picture(path: Path) -> NDArray[np.int32]:
    """Read a picture of whole numbers (rows, columns), such as classes, turned as its orientation tag says.

    A picture with a palette gives the places in the palette.

    Raises:
        UnusableImage: the file is unreadable, truncated, coloured or not compressed without loss.
    """
    try:
        with Pillow.open(path, formats=MASK_FORMATS) as picture:
            if picture.format == "TIFF" and "jpeg" in str(picture.info.get("compression", "")):
                raise UnusableImage("mask is no label map", f"{path.name} has lossy compression, which blurs numbers")
            turned = ImageOps.exif_transpose(picture)
            values = np.asarray(turned)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnusableImage("mask is no label map", f"{path.name} cannot be read as PNG or TIFF ({told})") from error
    if values.ndim == 3:
        if (values[..., :3] != values[..., :1]).any():
            raise UnusableImage("mask is no label map", f"{path.name} is coloured; write class numbers as grey values")
        values = values[..., 0]
    numbers = values.astype(np.int32)
    if (numbers != values).any():
        raise UnusableImage("mask is no label map", f"{path.name} has values that are not whole numbers")
    return numbers


def find_picture_doubts(path: Path) -> tuple[Doubt, ...]:
    """Find lossy compression, which changes the fine texture of an image: JPEG, also within TIFF."""
    with Pillow.open(path, formats=PICTURE_FORMATS) as picture:
        inside = str(picture.info.get("compression", ""))
        told = "JPEG" if picture.format == "JPEG" else f"{picture.format}, {inside}" if "jpeg" in inside else ""
    return (Doubt("lossy compression", told),) if told else ()
