"""Reading of grey values from PNG, TIFF and JPEG files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from ganatomy.imaging.image import UnusableImage

PICTURE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")


def read_grey_picture(path: Path) -> NDArray[np.float32]:
    """One-channel picture in [0, 1]: 8 bits over 255, more bits from the smallest to the largest value.

    Colour pictures whose channels are equal count as grey.

    Raises:
        Unusable: unreadable, truncated, coloured, of several frames, or without contrast.
    """
    try:
        with Pillow.open(path) as picture:
            if getattr(picture, "n_frames", 1) != 1:
                raise UnusableImage(
                    "several frames", f"{getattr(picture, 'n_frames', 0)} frames where one was expected"
                )
            values = np.asarray(picture.convert("RGB") if picture.mode in ("P", "RGBA", "CMYK") else picture)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
        raise UnusableImage(
            "not readable as a picture", str(error).splitlines()[0][:160] if str(error) else ""
        ) from error
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
