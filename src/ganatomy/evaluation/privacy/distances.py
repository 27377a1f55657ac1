"""Distances between images and mirrored images in two spaces: registered low-resolution pixels, and features."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.distance import cdist

from ganatomy.evaluation.extractors.extractor import Extractor, FeatureRows, Pixels
from ganatomy.evaluation.feature_cache import FeatureCache
from ganatomy.evaluation.images.image_set import ImageSet, MirroredImages
from ganatomy.evaluation.metrics.nearest import downsample_image, make_unit_vectors

NEIGHBOUR = 3

DistanceMatrix = NDArray[np.float32]  # (queries, keys)


class ImageDistance(Protocol):
    """A space in which copies are searched."""

    @property
    def description(self) -> str: ...

    def encode_images(self, images: ImageSet, what: str) -> FeatureRows:
        """Compute one row per image; `what` are words for the progress bar."""
        ...

    def compute_distances(self, queries: FeatureRows, keys: FeatureRows) -> DistanceMatrix:
        """Compute the distance of each query to each key."""
        ...


class PixelDistance:
    """1 minus the correlation of reduced images, each shifted so that its centre of brightness is in the middle."""

    description = "1 - correlation of images averaged to at most 80 rows (32 planes) and centred on their brightness"

    def encode_images(self, images: ImageSet, what: str) -> FeatureRows:
        return make_unit_vectors([centre_image(downsample_image(image)) for image in images])

    def compute_distances(self, queries: FeatureRows, keys: FeatureRows) -> DistanceMatrix:
        return 1 - queries @ keys.T


class FeatureDistance:
    """Euclidean distance of features."""

    def __init__(self, extractor: Extractor, features: FeatureCache) -> None:
        self._extractor, self._features = extractor, features
        self.description = f"Euclidean distance of features ({extractor.label})"

    def encode_images(self, images: ImageSet, what: str) -> FeatureRows:
        return self._features.get_features(self._extractor, images, what)

    def compute_distances(self, queries: FeatureRows, keys: FeatureRows) -> DistanceMatrix:
        return np.asarray(cdist(queries, keys), dtype=np.float32)


def centre_image(image: Pixels) -> Pixels:
    """Shift an image by whole and half voxels until its centre of brightness above the minimum is in the middle."""
    weight = image - image.min()
    if weight.sum() <= 0:
        return image
    centre = ndimage.center_of_mass(weight)
    move = [(n - 1) / 2 - c for n, c in zip(image.shape, centre, strict=True)]
    return np.asarray(ndimage.shift(image, move, order=1, mode="nearest"), dtype=np.float32)


def compute_reach(space: ImageDistance, rows: FeatureRows, patients: list[str]) -> FeatureRows:
    """Compute, for each real image, the distance to its third nearest image of another patient.

    Distances to a real image are divided by it, because some patients are more typical than others and therefore nearer
    to all images.
    """
    apart = space.compute_distances(rows, rows).copy()
    who = np.array(patients)
    apart[who[:, None] == who] = np.inf
    nearest = np.sort(apart, axis=1)[:, :NEIGHBOUR]
    widest = np.where(np.isfinite(nearest), nearest, -np.inf).max(1)  # there may be fewer than three other patients
    return np.maximum(widest, 1e-12).astype(np.float32)


def list_mirror_axes(ndim: int) -> tuple[int, ...]:
    """List the axes along which a mirrored image counts as a copy too."""
    return (0, 1) if ndim == 2 else (2,)


def compute_mirror_distances(space: ImageDistance, queries: list[FeatureRows], keys: FeatureRows) -> DistanceMatrix:
    """Compute the distance of each query to each key, the smallest over the mirror images of the query."""
    return np.minimum.reduce([space.compute_distances(rows, keys) for rows in queries])


def encode_mirrors(space: ImageDistance, images: ImageSet, what: str) -> list[FeatureRows]:
    """Compute rows of the images, and of the images mirrored along each axis of `list_mirror_axes`."""
    mirrored = (MirroredImages(images, axis) for axis in list_mirror_axes(len(images.shape)))
    return [space.encode_images(images, what), *(space.encode_images(one, f"{what}, mirrored") for one in mirrored)]
