"""Nearest neighbours between two sets of images, by the correlation of reduced images."""

import numpy as np
from numpy.typing import NDArray

from ganatomy.errors import Refused
from ganatomy.imaging.pictures import GreyPicture

MAX_ROWS = {2: 80, 3: 32}


def make_unit_vectors(images: list[GreyPicture]) -> NDArray[np.float32]:
    """Convert images to rows of zero mean and unit length: (images, pixels).

    Raises:
        Refused: the images have different shapes.
    """
    if len({image.shape for image in images}) != 1:
        raise Refused(f"All images must have one shape; there are {sorted({image.shape for image in images})}.")
    rows = np.stack([image.ravel() for image in images]).astype(np.float32)
    rows -= rows.mean(1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-12)


def find_nearest(
    queries: NDArray[np.float32], keys: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Find, for each query, the key with the largest correlation (-1 to 1), and this correlation.

    Queries and keys are rows from `make_unit_vectors`.
    """
    similarity = queries @ keys.T
    best = similarity.argmax(1)
    return best, similarity[np.arange(len(best)), best]


def downsample_image(image: NDArray[np.float32], rows: int | None = None) -> NDArray[np.float32]:
    """Halve an image by means over cells until it has at most `rows` rows or planes; None = 80 in 2D and 32 in 3D."""
    rows = rows or MAX_ROWS[image.ndim]
    while image.shape[0] > rows and all(n % 2 == 0 for n in image.shape):
        for axis in range(image.ndim):
            first, second = ((slice(None),) * axis + (slice(start, None, 2),) for start in (0, 1))
            image = (image[first] + image[second]) / np.float32(2)
    return image
