"""Sliced Wasserstein distance between the patches of two sets of images (Karras 2018, section 5).

The published definition is followed: Laplacian pyramid with the binomial filter 1 4 6 4 1 and mirrored borders; levels
down to 16 rows, the coarsest being the low-pass residue; 128 random 7 x 7 patches per image and level; descriptors
standardised per channel by the statistics of their own set; 4 repeats of 128 random directions; mean absolute
difference of the sorted projections; times 1000. Pixels are scaled to 0 to 255. A grey image has one channel; the three
equal channels of the official code give the same value to about 0.2 %. For volumes, the patches are cubes of 7 voxels,
and every axis is treated like the two published axes; this is an extension of this project.

The distance is not sensitive to a change of contrast or brightness of a whole set, because each set is standardised
separately.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ganatomy import randomness
from ganatomy.errors import Refused
from ganatomy.pyramid import Shape

SMALLEST_ROWS = 16
PATCH = 7
PATCHES = 128
REPEATS = 4
DIRECTIONS = 128
BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)


@dataclass(frozen=True)
class SWDProtocol:
    """The parameters of the distance; the published values use 16,384 images per set (`pggan-swd-16384`)."""

    patches: int = PATCHES
    repeats: int = REPEATS
    directions: int = DIRECTIONS
    seed: int = 0

    def describe(self, images: int, ndim: int = 2) -> str:
        size = "x".join([str(PATCH)] * ndim)
        return (
            f"SWD x 1000, {images} images per set, {self.patches} patches of {size} per image and level,"
            f" {self.repeats} x {self.directions} directions, seed {self.seed}"
        )


def list_swd_levels(shape: Shape) -> list[Shape]:
    """List the sizes at which patches are compared: halved while there are at least 16 rows and a patch fits."""
    sizes = [tuple(shape)]
    while (half := tuple(n // 2 for n in sizes[-1]))[0] >= SMALLEST_ROWS and min(half) >= PATCH:
        if any(n % 2 for n in sizes[-1]):
            break
        sizes.append(half)
    return sizes


def compute_swd(real: "Descriptors", fake: "Descriptors", protocol: SWDProtocol) -> list[float]:
    """Compute the distance for each level, finest first, times 1000."""
    return [
        1000 * _compute_sliced_distance(a, b, protocol, level)
        for level, (a, b) in enumerate(zip(real.levels, fake.levels, strict=True))
    ]


@dataclass(frozen=True)
class Descriptors:
    """Standardised patches of a set: one tensor (patches, 49 or 343) per level, finest first."""

    levels: list[Tensor]
    images: int

    def select_images(self, indices: NDArray[np.intp]) -> "Descriptors":
        """Select the descriptors of some images and standardise them again."""
        chosen = torch.from_numpy(indices)
        some = [level.view(self.images, -1, level.shape[1])[chosen].flatten(0, 1) for level in self.levels]
        return Descriptors([_standardise(level) for level in some], len(indices))


def extract_descriptors(images: Iterable[np.ndarray], protocol: SWDProtocol, purpose: str) -> Descriptors:
    """Extract the patches of a set of grey images or volumes in [-1, 1], one image at a time.

    Args:
        images: the images.
        protocol: the parameters.
        purpose: key of the random positions of the patches; it must differ between two sets, because equal images would
            otherwise have equal patches.

    Raises:
        Refused: there is no image, or images have different shapes or are too small for a patch.
    """
    taken: list[list[Tensor]] = []
    shape: tuple[int, ...] | None = None
    for number, image in enumerate(images):
        if shape is None:
            shape = image.shape
            if min(shape) < PATCH or len(shape) not in (2, 3):
                raise Refused(
                    f"The sliced Wasserstein distance needs images with at least {PATCH} voxels per axis, not {shape}."
                )
            taken = [[] for _ in list_swd_levels(shape)]
        if image.shape != shape:
            raise Refused(f"All images must have one shape: image {number} is {image.shape}, the first is {shape}.")
        grey = torch.from_numpy(np.clip((image + 1) * 127.5, 0, 255).astype(np.float32))
        for level, band in enumerate(_build_pyramid(grey, len(taken))):
            rng = np.random.default_rng(randomness.derive_key(protocol.seed, f"patches {purpose} {level}", number))
            taken[level].append(_draw_patches(band, protocol.patches, rng))
    if not taken:
        raise Refused("There is no image to measure.")
    return Descriptors([_standardise(torch.cat(level)) for level in taken], len(taken[0]))


def _build_pyramid(image: Tensor, count: int) -> list[Tensor]:
    """Build the Laplacian pyramid, finest band first; the last band is the low-pass residue."""
    bands = []
    every_second = (slice(None, None, 2),) * image.ndim
    for _ in range(count - 1):
        low = _filter(image)[every_second]
        spread = torch.zeros_like(image)
        spread[every_second] = low
        bands.append(image - 2**image.ndim * _filter(spread))
        image = low
    return [*bands, image]


def _filter(image: Tensor) -> Tensor:
    """Filter with (1, 4, 6, 4, 1) / 16 along every axis, with mirrored borders."""
    taps = (torch.tensor(BINOMIAL) / sum(BINOMIAL)).view(1, 1, -1)
    for axis in range(image.ndim):
        lines = image.movedim(axis, -1)
        padded = F.pad(lines.reshape(-1, 1, lines.shape[-1]), (2, 2), mode="reflect")
        image = F.conv1d(padded, taps).view(lines.shape).movedim(-1, axis)
    return image


def _draw_patches(band: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    corners = [torch.from_numpy(rng.integers(0, n - PATCH + 1, count)) for n in band.shape]
    for axis in range(band.ndim):
        band = band.unfold(axis, PATCH, 1)
    return band[tuple(corners)].reshape(count, -1)


def _standardise(patches: Tensor) -> Tensor:
    """Standardise by the mean and deviation over all patches and positions; images have one channel."""
    deviation = patches.std(unbiased=False)
    return (patches - patches.mean()) / deviation.clamp_min(1e-8)


def _compute_sliced_distance(real: Tensor, fake: Tensor, protocol: SWDProtocol, level: int) -> float:
    if len(real) != len(fake):
        raise Refused(f"Both sets must have the same number of images; they have {len(real)} and {len(fake)} patches.")
    distances = []
    for repeat in range(protocol.repeats):
        directions = randomness.draw_normal(
            protocol.seed, f"directions {level}", range(repeat, repeat + 1), real.shape[1], protocol.directions
        )[0]
        directions = directions / directions.norm(dim=0, keepdim=True)
        sorted_real, sorted_fake = (torch.sort(set_ @ directions, dim=0).values for set_ in (real, fake))
        distances.append(float((sorted_real - sorted_fake).abs().mean()))
    return float(np.mean(distances))
