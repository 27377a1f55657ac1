"""T1-weighted brain MRI: normalisation of grey values, a fixed field of view, and the inverse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ganatomy.dicom import contrast
from ganatomy.dicom.read import read_header
from ganatomy.dicom.volume_class import MR
from ganatomy.errors import Refused
from ganatomy.imaging import nifti
from ganatomy.imaging.image import Doubt, Image, UnusableImage
from ganatomy.imaging.pictures import GreyPicture, render_planes
from ganatomy.modalities import anatomy
from ganatomy.modalities.modality import Candidate
from ganatomy.modalities.resampling import resample_volume
from ganatomy.modalities.volume import VolumeModality, check_enlargement

FIELD_OF_VIEW_MM = 192.0  # edge of the cube that the grid covers; holds a brain without its skull
WHITE_QUANTILE = 0.998  # quantile of the foreground that becomes white
PADDING_DISTANCE = {
    True: 1.0,
    False: 2.0,
}  # ranges of the image, for values below zero and others; fluid is 0.3 of white
MIN_PADDING_SHARE = 0.001  # of the voxels
FOREGROUND_SHARE = 0.15  # of the white value: what is darker is air or the zero around a brain


@dataclass(frozen=True)
class BrainMRI(VolumeModality):
    """T1-weighted MRI of the head or of a skull-stripped brain, with one isotropic voxel size for all cases.

    Args:
        field_of_view_mm: millimetres that the longest axis of the grid covers.
    """

    field_of_view_mm: float = FIELD_OF_VIEW_MM

    name = "brain_mri"
    volume_class = MR

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.field_of_view_mm <= 0:
            raise Refused(f"--field-of-view-mm {self.field_of_view_mm:g}: give millimetres above zero.")

    @property
    def options(self) -> Mapping[str, Any]:
        return {"field_of_view_mm": self.field_of_view_mm, "white_quantile": WHITE_QUANTILE}

    @property
    def spacing(self) -> float:
        """Edge of a voxel of the grid in millimetres."""
        return self.field_of_view_mm / max(self.shape)

    def check_image(self, image: Image, candidate: Candidate) -> Image:
        """Check that a volume is a T1-weighted image as far as values, header and name show it, and find its padding.

        Raises:
            UnusableImage: the volume is a label map.
        """
        image = super().check_image(image, candidate)
        doubts = list(image.doubts)
        if nifti.is_nifti(candidate.path):
            doubts += contrast.find_name_doubts(candidate.path.name)
        else:
            doubts += contrast.find_contrast_doubts(read_header(candidate.path, contrast.CONTRAST_ATTRIBUTES))
        if (padding := find_far_padding(image.pixels)) is not None:
            words = f"{padding[0]:.4g} where no other value is below {padding[1]:.4g}; taken for padding"
            doubts.append(Doubt("padding far below the image", words))
        return image.copy_with(doubts=tuple(doubts))

    def normalise(self, image: Image) -> Image:
        """Map zero to -1 and the 99.8th percentile of the foreground to 1, and resample with the foreground centred.

        Raises:
            UnusableImage: the image has no spacing, no foreground or too few voxels, or exceeds the field of view.
        """
        if image.spacing is None:
            raise UnusableImage("no spacing")
        pixels, padding = image.pixels, find_far_padding(image.pixels)
        if padding is not None:
            pixels = np.maximum(pixels, np.float32(padding[1]))
        dark = float(np.quantile(pixels, 0.01))
        dark = min(0.0, dark) if padding is None else dark
        shifted = pixels - np.float32(dark)
        mask = threshold_foreground(shifted)
        white = float(np.quantile(shifted[mask], WHITE_QUANTILE))
        placed = tuple(max(1, round(n * s / self.spacing)) for n, s in zip(image.shape, image.spacing, strict=True))
        check_enlargement(image.shape, placed)
        voxels = resample_volume(shifted / np.float32(white), placed)
        centre = [(a + b) / 2 * m / n for (a, b), m, n in zip(_find_ends(mask), placed, image.shape, strict=True)]
        self._check_field_of_view(mask, image.spacing)
        corner = [
            int(np.floor(c - g / 2 + 0.5)) for c, g in zip(centre, self.shape, strict=True)
        ]  # of the grid in the resampled one
        grid = _cut_box(voxels, corner, self.shape)
        geometry = {
            **image.geometry,
            "shape": image.shape,
            "placed": placed,
            "corner": corner,
            "white": white,
            "dark": dark,
        }
        pixels = np.clip(grid, 0, 1) * np.float32(2) - 1
        return image.copy_with(pixels=pixels, spacing=(self.spacing,) * 3, geometry=geometry)

    def _check_field_of_view(self, mask: NDArray[np.bool_], spacing: tuple[float, ...]) -> None:
        for (a, b), s, n in zip(_find_ends(mask), spacing, self.shape, strict=True):
            if (b - a) * s > n * self.spacing * 1.05:
                raise UnusableImage(
                    "larger than the field of view",
                    f"{(b - a) * s:.0f} mm against {n * self.spacing:.0f} mm; prepare with a larger --field-of-view-mm",
                )

    def fit_to_grid(self, voxels: NDArray[np.float32], geometry: Mapping[str, Any]) -> NDArray[np.float32]:
        """Resample a map to the voxels of the grid, and cut the grid out where `normalise` has placed it."""
        return _cut_box(resample_volume(voxels, geometry["placed"]), geometry["corner"], self.shape)

    def denormalise(self, image: Image) -> Image:
        """Map [-1, 1] to [0, 1]; an image that carries its geometry gets its own values, size and spacing back."""
        voxels, spacing = (image.pixels + 1) / np.float32(2), image.spacing
        if "placed" in image.geometry:
            told = image.geometry
            back = _cut_box(voxels, [-c for c in told["corner"]], told["placed"])
            voxels = resample_volume(back, told["shape"]) * np.float32(told["white"]) + np.float32(told["dark"])
            sizes = zip(image.spacing or (self.spacing,) * 3, told["placed"], told["shape"], strict=True)
            spacing = tuple(round(s * m / n, 4) for s, m, n in sizes)
        return image.copy_with(pixels=voxels.astype(np.float32), spacing=spacing, geometry={})

    def canonicalise(self, image: Image) -> Image:
        """Map [0, 1] to [-1, 1]."""
        return image.copy_with(pixels=np.clip(image.pixels, 0, 1) * np.float32(2) - 1)

    def segment_foreground(self, image: Image) -> NDArray[np.bool_]:
        return anatomy.segment_head(image.pixels, FOREGROUND_SHARE)

    def segment_class(self, name: str, image: Image) -> NDArray[np.bool_] | None:
        """Segment ``head`` or, in images without a skull, ``brain``."""
        return self.segment_foreground(image) if name.lower() in ("head", "brain") else None

    def measure_image(self, image: Image) -> dict[str, float]:
        """Measure volume, shares of three tissues and correlation of the halves (`anatomy.measure_head`)."""
        return anatomy.measure_head(image.pixels, image.spacing, FOREGROUND_SHARE)

    def render_image(self, image: Image) -> GreyPicture:
        return render_planes(np.clip(image.pixels, 0, 1), image.spacing)


def find_far_padding(values: NDArray[np.float32]) -> tuple[float, float] | None:
    """Find the value that pads an image from below, and the smallest value of the image itself; None without padding.

    The padding is one value that at least `MIN_PADDING_SHARE` of the voxels have. It lies farther below all other
    values than `PADDING_DISTANCE` times their range. That distance is larger for a padding of zero or above, since
    zero also surrounds a brain without its skull.
    """
    lowest = float(values.min())
    others = values[values > lowest]
    if others.size == 0 or others.size > (1 - MIN_PADDING_SHARE) * values.size:
        return None
    low, high = float(others.min()), float(others.max())
    distance = PADDING_DISTANCE[lowest < 0] * (high - low)
    return (lowest, low) if high > low and low - lowest > distance else None


def threshold_foreground(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Segment the largest connected piece brighter than a share of the white value; values are zero and above.

    Raises:
        UnusableImage: no voxel is bright enough.
    """
    positive = values[values > 0]
    if not positive.size:
        raise UnusableImage("no image", "no voxel is above zero")
    pieces, count = ndimage.label(values > FOREGROUND_SHARE * np.quantile(positive, WHITE_QUANTILE))
    if not count:
        raise UnusableImage("no image", "no foreground")
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax())


def _find_ends(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first plane and one past the last plane of the mask along each axis."""
    found = []
    for axis in range(mask.ndim):
        planes = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        found.append((int(planes[0]), int(planes[-1]) + 1))
    return found


def _cut_box(voxels: NDArray[np.float32], corner: Sequence[int], shape: Sequence[int]) -> NDArray[np.float32]:
    """Cut out a box of `shape` that begins at `corner`; the box is zero where it lies outside the volume."""
    box = np.zeros(tuple(shape), dtype=np.float32)
    source, target = [], []
    for c, n, m in zip(corner, shape, voxels.shape, strict=True):
        start, stop = max(0, c), min(m, c + n)
        if stop <= start:
            return box
        source.append(slice(start, stop))
        target.append(slice(start - c, stop - c))
    box[tuple(target)] = voxels[tuple(source)]
    return box
