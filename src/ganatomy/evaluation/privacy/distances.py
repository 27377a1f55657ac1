"""Distances between images, mirrored ones too, in two spaces: registered pixels at low resolution, and features."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.distance import cdist

from ganatomy.evaluation.extractors.extractor import Extractor, Pixels, Rows, extracted
from ganatomy.evaluation.metrics.nearest import averaged, vectors

NEIGHBOUR = 3

Matrix = NDArray[np.float32]  # (queries, keys)


class Searched(Protocol):
    """A space in which copies are looked for."""

    @property
    def words(self) -> str: ...

    def rows(self, images: Iterable[Pixels], n: int, what: str) -> Rows:
        """One row an image."""
        ...

    def apart(self, queries: Rows, keys: Rows) -> Matrix:
        """Distance of each query to each key."""
        ...


class LowPixels:
    """1 minus the correlation of small images, each moved so that its centre of brightness is in the middle."""

    words = "1 - correlation of images averaged to at most 80 rows (32 planes) and centred on their brightness"

    def rows(self, images: Iterable[Pixels], n: int, what: str) -> Rows:
        return vectors([registered(averaged(image)) for image in images])

    def apart(self, queries: Rows, keys: Rows) -> Matrix:
        return 1 - queries @ keys.T


class FeatureSpace:
    """Euclidean distance of features."""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor
        self.words = f"Euclidean distance of features ({extractor.name} {extractor.digest[:12]})"

    def rows(self, images: Iterable[Pixels], n: int, what: str) -> Rows:
        return extracted(self._extractor, images, n, what)

    def apart(self, queries: Rows, keys: Rows) -> Matrix:
        return np.asarray(cdist(queries, keys), dtype=np.float32)


def registered(image: Pixels) -> Pixels:
    """Moved by whole and half voxels until the centre of what is brighter than the darkest is in the middle."""
    weight = image - image.min()
    if weight.sum() <= 0:
        return image
    centre = ndimage.center_of_mass(weight)
    move = [(n - 1) / 2 - c for n, c in zip(image.shape, centre, strict=True)]
    return np.asarray(ndimage.shift(image, move, order=1, mode="nearest"), dtype=np.float32)


def reach(space: Searched, rows: Rows, patients: list[str]) -> Rows:
    """Of each real image the distance to its third nearest image of another patient: what is far where it stands.

    Distances to a real image are counted in it, since some patients are more ordinary than others and near to everyone.
    """
    apart = space.apart(rows, rows).copy()
    who = np.array(patients)
    apart[who[:, None] == who] = np.inf
    nearest = np.sort(apart, axis=1)[:, :NEIGHBOUR]
    widest = np.where(np.isfinite(nearest), nearest, -np.inf).max(1)  # with few patients there is no third
    return np.maximum(widest, 1e-12).astype(np.float32)


def mirrors(ndim: int) -> tuple[int | None, ...]:
    """The axes along which a mirrored image would still be taken for the same person's; None = not mirrored."""
    return (None, 0, 1) if ndim == 2 else (None, 2)


def mirrored(images: Iterable[Pixels], axis: int | None) -> Iterator[Pixels]:
    for image in images:
        yield image if axis is None else np.ascontiguousarray(np.flip(image, axis))


def nearest_of_mirrors(space: Searched, queries: list[Rows], keys: Rows) -> Matrix:
    """Each query to each key, the nearest of its mirror images."""
    return np.minimum.reduce([space.apart(rows, keys) for rows in queries])


def all_mirrors(space: Searched, images: Iterable[Pixels], n: int, ndim: int, what: str) -> list[Rows]:
    """Rows of the images as they are and mirrored; `images` is gone through once for each."""
    images = list(images) if isinstance(images, Iterator) else images
    return [
        space.rows(mirrored(images, axis), n, f"{what}, mirrored" if axis is not None else what)
        for axis in mirrors(ndim)
    ]
