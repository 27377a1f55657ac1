"""Scopes: the part of the final image that one training step computes."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from ganatomy.nn.resample import downsample_mean, upsample_nearest
from ganatomy.pyramid import Shape
from ganatomy.steps.hierarchy import LOW_FACTOR, compute_low_shape

ImageParts = tuple[
    Tensor, ...
]  # (whole image,)  or  (sub-volume, low-resolution volume); each (batch, channel, *space)


@dataclass(frozen=True)
class Region:
    """The part of an image that has to be read: planes along the first axis at one resolution.

    Args:
        shape: voxels per axis of the whole image at this resolution; a larger stored level may be read instead.
        start: first plane.
        depth: number of planes; None = all of them.
    """

    shape: Shape
    start: int = 0
    depth: int | None = None


@runtime_checkable
class Scope(Protocol):
    """A part of the final image at one resolution: the generator returns it, and `crop` cuts it from real images."""

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions that have to be read for `crop`."""
        ...

    @property
    def log_values(self) -> dict[str, float]:
        """The numbers of the scope that are written to the log, by name."""
        ...

    def crop(self, *regions: Tensor) -> ImageParts:
        """Cut the scope from the regions of real images that were read, each (batch, channel, *space)."""
        ...


@dataclass(frozen=True)
class WholeScope:
    """The whole image at full resolution; for a hierarchical network it is a sub-volume of all planes."""

    shape: Shape
    start = 0
    low = None

    @property
    def depth(self) -> int:
        """The number of planes."""
        return self.shape[0]

    @property
    def regions(self) -> tuple[Region, ...]:
        return (Region(self.shape),)

    @property
    def log_values(self) -> dict[str, float]:
        return {}

    def crop(self, *regions: Tensor) -> ImageParts:
        return (_shrink_to_shape(regions[0], self.shape),)


@dataclass(frozen=True)
class SubVolumeScope:
    """x_r = x[r : r + depth] at full resolution, and x_low, the whole volume at a quarter of its size   (Sun 2022).

    Args:
        shape: voxels per axis of the whole volume.
        start: r, the first plane of the sub-volume; the features of the generator are cut at ``start // 4``.
        depth: number of planes of the sub-volume.
        low: how real volumes are reduced to the low-resolution volume: ``mean`` over cells of 4, ``nearest`` takes
            every fourth voxel (official code), None = there is no low-resolution branch.
        whole: whether the whole volume is read, which an encoder needs.
    """

    shape: Shape
    start: int
    depth: int
    low: Literal["mean", "nearest"] | None = "mean"
    whole: bool = False

    @property
    def position(self) -> float:
        """r / (n - depth): 0 = the sub-volume starts at the first plane, 1 = it ends at the last."""
        return self.start / (self.shape[0] - self.depth)

    @property
    def regions(self) -> tuple[Region, ...]:
        if self.whole or self.low == "nearest":
            return (Region(self.shape),)
        high = Region(self.shape, self.start, self.depth)
        return (high,) if self.low is None else (high, Region(compute_low_shape(self.shape)))

    @property
    def log_values(self) -> dict[str, float]:
        return {"start": float(self.start)}

    def crop(self, *regions: Tensor) -> ImageParts:
        if len(self.regions) == 1 and self.regions[0].depth is None:
            volume = _shrink_to_shape(regions[0], self.shape)
            high = volume[:, :, self.start : self.start + self.depth]
            low = volume
        else:
            high, low = regions[0], regions[-1]
        if self.low is None:
            return (high,)
        if self.low == "nearest":
            every_fourth = [slice(None), slice(None), *[slice(None, None, LOW_FACTOR)] * len(self.shape)]
            return high, low[tuple(every_fourth)]
        return high, _shrink_to_shape(low, compute_low_shape(self.shape))


def crop_whole_images(scope: Scope, images: Tensor) -> ImageParts:
    """Cut a scope from whole images (batch, channel, *space); coarser regions are computed from the finest one."""
    regions = (images if r.depth is None else images[:, :, r.start : r.start + r.depth] for r in scope.regions)
    return scope.crop(*regions)


def _shrink_to_shape(image: Tensor, shape: Shape) -> Tensor:
    """Reduce the image by means over cells if it is larger than `shape`, as a stored level may be."""
    factor = image.shape[-1] // shape[-1]
    return downsample_mean(image, factor) if factor > 1 else image


@dataclass(frozen=True)
class LevelScope:
    """x_l ← (1 - α) up(down(x_l)) + α x_l   (Karras 2018, section 2; official code).

    The whole image at level l, which is faded in over level l - 1.

    Args:
        level: l; 0 is the base of the pyramid.
        alpha: α in [0, 1], the share of the new level; 1 = this level only.
        shape: voxels per axis of this level.
    """

    level: int
    alpha: float
    shape: Shape

    @property
    def regions(self) -> tuple[Region, ...]:
        return (Region(self.shape),)

    @property
    def log_values(self) -> dict[str, float]:
        return {"level": float(self.level), "alpha": self.alpha}

    def crop(self, *regions: Tensor) -> ImageParts:
        image = _shrink_to_shape(regions[0], self.shape)
        if self.alpha < 1:  # real images are faded like those of the generator (official code: process_reals)
            image = upsample_nearest(downsample_mean(image)).lerp(image, self.alpha)
        return (image,)
