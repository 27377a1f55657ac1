"""Images as NPY, whose format has no room for words: the mark is in a JSON file beside each."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.imaging.marking import Mark, parse_document
from ganatomy.machine.durable import new_file, write_json

NPY_SUFFIX = ".npy"
MARK_SUFFIX = f"{NPY_SUFFIX}.json"  # of the file with the mark, such as 0001-000012.npy.json
MAX_MARK_BYTES = 16 * 2**20


def get_mark_file(path: Path) -> Path:
    """Return the path of the file with the mark of an NPY file."""
    return path.with_name(f"{path.name}.json")


def write_npy(path: Path, pixels: NDArray[Any], mark: Mark, dtype: type[np.generic] = np.float32) -> None:
    """Write an image after its mark, so that no image is ever without one.

    Args:
        path: a name that ends in ``.npy``.
        pixels: the values.
        mark: what the image is and how it was made.
        dtype: type of the values in the file.
    """
    values = pixels.astype(dtype)
    write_json(get_mark_file(path), mark.make_document(values))
    with new_file(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, values)


def is_npy_image(path: Path) -> bool:
    """Whether a file is NPY by its name, with as many axes as a picture or a volume, or broken.

    Raises:
        OSError: it cannot be read.
    """
    if not path.name.lower().endswith(NPY_SUFFIX):
        return False
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False).ndim in (2, 3)
    except (ValueError, EOFError):  # broken, or of Python objects, which are not read
        return True


def is_lonely_mark(path: Path) -> bool:
    """Whether a file is by its name the mark of an NPY file that is not there."""
    return path.name.endswith(MARK_SUFFIX) and not path.with_suffix("").exists()


def read_npy_mark(path: Path) -> Mark | None:
    """Read the mark beside an NPY file; None if there is none, or it cannot be read."""
    file = get_mark_file(path)
    try:
        if file.stat().st_size > MAX_MARK_BYTES:
            return None
        return parse_document(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None
