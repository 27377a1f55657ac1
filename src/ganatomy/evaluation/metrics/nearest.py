"""Nearest neighbours between two sets by the correlation of small, area-averaged images."""

import numpy as np
from numpy.typing import NDArray

from ganatomy.pictures import Grey
from ganatomy.refused import Refused


def vectors(images: list[Grey]) -> NDArray[np.float32]:
    """Each image as a row of zero mean and unit length: (images, pixels).

    Raises:
        Refused: images of different shapes.
    """
    if len({image.shape for image in images}) != 1:
        raise Refused(f"All images must have one shape; there are {sorted({image.shape for image in images})}.")
    rows = np.stack([image.ravel() for image in images]).astype(np.float32)
    rows -= rows.mean(1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-12)


def nearest(queries: NDArray[np.float32], keys: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """For each query the most correlated key and that correlation, -1 to 1; both from `vectors`."""
    similarity = queries @ keys.T
    best = similarity.argmax(1)
    return best, similarity[np.arange(len(best)), best]


def averaged(image: Grey, rows: int = 80) -> Grey:
    """Mean over square cells until the image has at most `rows` rows."""
    while image.shape[0] > rows and all(n % 2 == 0 for n in image.shape):
        image = (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / np.float32(4)
    return image
