"""An image as it travels to the browser: a header in JSON, then the 16-bit values, then the numbers of classes.

The values are those that `ganatomy.sample` writes: the grey of 16-bit PNG files, or the whole numbers of NIfTI files.

    4 bytes   length n of the header, little-endian
    n bytes   the header (JSON), padded with spaces to a multiple of four bytes in all
    pixels    uint16 or int16, little-endian, in the order of the array
    labels    uint8 of the same shape, if the header says so
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.imaging.image import Image
from ganatomy.imaging.pictures import convert_to_uint16
from ganatomy.modalities.modality import Modality

WORD = 4  # bytes to which the header is padded, so that the browser can view the values in place
UINT16_STEPS = 65535


def encode_shown_image(image: Image, kind: Modality, about: dict[str, Any]) -> bytes:
    """Encode an image in [-1, 1], as displayed.

    Args:
        image: canonically oriented, perhaps with a label map.
        kind: its modality.
        about: what else the page shows of it: name, facts, record.
    """
    shown = kind.denormalise(image)
    voxels, slope = _quantise(kind.convert_voxels(shown.pixels))
    labels = None
    if image.shares is not None:
        labels = kind.show_map(image.shares, image).argmax(0).astype(np.uint8)
    header = {
        **about,
        "shape": list(voxels.shape),
        "spacing": None if shown.spacing is None else [float(n) for n in shown.spacing],
        "type": voxels.dtype.name,
        "slope": slope,
        "unit": kind.unit,
        "windows": {name: list(window) for name, window in kind.display_windows.items()},
        "classes": list(image.classes) if labels is not None else [],
        "facts": dict(image.facts),
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % WORD)
    little = voxels.astype(voxels.dtype.newbyteorder("<"), copy=False)
    whole = len(text).to_bytes(WORD, "little") + text + little.tobytes()
    return whole if labels is None else whole + labels.tobytes()


def _quantise(values: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """Return 16-bit values, and the factor that makes them the modality's own; whole numbers stay as they are."""
    if np.issubdtype(values.dtype, np.integer):
        return values.astype(np.int16), 1.0
    return convert_to_uint16(values), 1.0 / UINT16_STEPS
