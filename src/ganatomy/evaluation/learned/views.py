"""The views of an image for the classifiers of the learned test: the whole image in several sizes, and patches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ganatomy.evaluation.images.image_set import ImageSet
from ganatomy.machine import progress
from ganatomy.pyramid import Shape

FACTORS = {"an eighth": 8, "a quarter": 4, "half": 2, "full": 1}  # name of a size -> divisor of the axes
SMALLEST_AXIS = 8  # least number of voxels per axis
LARGEST_IMAGE = 2**18  # voxels above which only patches are shown: 512 x 512, 64 cubed
PATCH = {2: 32, 3: 16}  # voxels per axis of a patch, at full resolution
MAX_PATCHES = 24  # patches per image
MAX_VALUES = 2**26  # voxels of one set in memory at a time, 256 MB in float32


@dataclass(frozen=True)
class View:
    """One way of showing images.

    Args:
        name: ``an eighth`` to ``full``, or ``patches``.
        factor: factor by which the axes are divided, by averaging.
        patch: voxels per axis of the patches; None = the whole image.
    """

    name: str
    factor: int = 1
    patch: int | None = None


def list_views(shape: Shape) -> tuple[View, ...]:
    """List the views of images of this shape, coarse ones first."""
    sizes = {name: [n // factor for n in shape] for name, factor in FACTORS.items()}
    whole = [
        View(name, FACTORS[name])
        for name, size in sizes.items()
        if min(size) >= SMALLEST_AXIS and np.prod(size) <= LARGEST_IMAGE
    ]
    patch = PATCH[len(shape)]
    return (*whole, View("patches", patch=patch)) if min(shape) >= patch else tuple(whole)


@dataclass(frozen=True)
class ShownImages:
    """A set of images in one view.

    Args:
        pixels: (images * pieces, 1, *size), the pieces of an image one after another.
        pieces: number of patches per image; 1 for whole images.
    """

    pixels: Tensor
    pieces: int = 1

    def select(self, places: Sequence[int]) -> "ShownImages":
        """Select some of the images by their indices."""
        rows = torch.as_tensor(places)[:, None] * self.pieces + torch.arange(self.pieces)
        return ShownImages(self.pixels[rows.ravel()], self.pieces)


def show_images(images: ImageSet, views: Sequence[View], what: str) -> dict[str, ShownImages]:
    """Make all views of all images, by name; each image is read once.

    Args:
        images: the images.
        views: the views.
        what: words for the progress bar.
    """
    corners = _choose_corners(images.shape)
    found: dict[str, list[Tensor]] = {view.name: [] for view in views}
    with progress.bar(f"reading {what}", len(images)) as bar:
        for image in images:
            for view in views:
                found[view.name].append(_show_image(image, view, corners))
            bar.advance()
    return {
        view.name: ShownImages(torch.cat(found[view.name]), 1 if view.patch is None else len(corners)) for view in views
    }


def limit_images(shape: Shape) -> int:
    """Return the largest number of images that are held in memory at a time."""
    return max(1, MAX_VALUES // int(np.prod(shape)))


def _show_image(image: NDArray[np.float32], view: View, corners: NDArray[np.intp]) -> Tensor:
    if view.patch is not None:
        boxes = [tuple(slice(c, c + view.patch) for c in corner) for corner in corners]
        return torch.from_numpy(np.stack([image[box] for box in boxes]))[:, None]
    pixels = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    pool = F.avg_pool2d if image.ndim == 2 else F.avg_pool3d
    return pool(pixels, view.factor) if view.factor > 1 else pixels


def _choose_corners(shape: Shape) -> NDArray[np.intp]:
    """Choose the corners of patches, which are the same in every image: a regular grid with at most `MAX_PATCHES`."""
    patch = PATCH[len(shape)]
    starts = [np.linspace(0, n - patch, -(-n // patch)).round().astype(int) for n in shape]
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*starts, indexing="ij")], 1)
    if len(grid) <= MAX_PATCHES:
        return grid
    return grid[np.sort(np.random.default_rng(0).choice(len(grid), MAX_PATCHES, replace=False))]
