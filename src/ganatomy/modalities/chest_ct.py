"""Chest CT: conversion between Hounsfield units and the grid, and display of lungs and bone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.dicom.volume_class import CT
from ganatomy.imaging.image import Image, UnusableImage
from ganatomy.imaging.pictures import GreyPicture, make_grid, render_planes
from ganatomy.modalities import anatomy
from ganatomy.modalities.checks import check_hounsfield_units
from ganatomy.modalities.contours import draw_contours
from ganatomy.modalities.modality import Candidate, ReportFigure
from ganatomy.modalities.resampling import resample_volume
from ganatomy.modalities.tissue import segment_body, segment_bone, segment_lungs
from ganatomy.modalities.volume import VolumeModality, check_enlargement
from ganatomy.pyramid import rescale_spacing

CLIP_HU = (-1024.0, 600.0)  # HA-GAN's preprocessing (Sun 2022)
WINDOW_HU = (-1000.0, 400.0)  # of pictures: lung and soft tissue together
SEGMENTED_CLASSES = {"lung": segment_lungs, "lungs": segment_lungs, "bone": segment_bone, "body": segment_body}
DISPLAY_WINDOWS = {"lung": (-600.0, 1500.0), "mediastinum": (50.0, 350.0), "bone": (300.0, 1500.0)}  # common in reading
FIGURE_VOLUMES = 6  # volumes of a plate


@dataclass(frozen=True)
class ChestCT(VolumeModality):
    """CT of the thorax in HU; blank planes are trimmed, the rest is stretched to the grid, spacing kept (Sun 2022)."""

    name = "chest_ct"
    value_range = CLIP_HU
    unit = "HU"
    display_windows = DISPLAY_WINDOWS
    volume_class = CT

    @property
    def options(self) -> Mapping[str, Any]:
        return {"clip_hu": list(CLIP_HU)}

    def check_image(self, image: Image, candidate: Candidate) -> Image:
        """Check that the values are the Hounsfield units of an image.

        Raises:
            UnusableImage: the values are labels, or no voxel is as dark as air.
        """
        image = super().check_image(image, candidate)
        return image.copy_with(doubts=(*image.doubts, *check_hounsfield_units(image.pixels)))

    def normalise(self, image: Image) -> Image:
        """Map HU to [-1, 1] on the grid: clip, drop planes that hold only air at the ends of each axis, stretch.

        Raises:
            UnusableImage: the volume holds only air, or too few voxels.
        """
        low, high = CLIP_HU
        clipped = np.clip(image.pixels, low, high)
        ends = [_find_filled_planes(clipped, axis, low) for axis in range(3)]
        kept = clipped[tuple(slice(*pair) for pair in ends)]
        check_enlargement(kept.shape, self.shape)
        voxels = (resample_volume(kept, self.shape) - np.float32(low)) * np.float32(2 / (high - low)) - 1
        spacing = rescale_spacing(image.spacing, kept.shape, self.shape)
        geometry = {**image.geometry, "shape": image.shape, "kept": ends}
        return image.copy_with(pixels=np.clip(voxels, -1, 1), spacing=spacing, geometry=geometry)

    def fit_to_grid(self, voxels: NDArray[np.float32], geometry: Mapping[str, Any]) -> NDArray[np.float32]:
        """Cut the planes out that `normalise` has kept, and stretch them to the grid."""
        return resample_volume(voxels[tuple(slice(*pair) for pair in geometry["kept"])], self.shape)

    def denormalise(self, image: Image) -> Image:
        """Map [-1, 1] to HU; an image that carries its geometry gets its own size and spacing back."""
        low, high = CLIP_HU
        voxels, spacing = (image.pixels + 1) * np.float32((high - low) / 2) + np.float32(low), image.spacing
        if "kept" in image.geometry:
            ends, grid_shape = image.geometry["kept"], image.shape
            inside = tuple(stop - start for start, stop in ends)
            whole = np.full(image.geometry["shape"], low, dtype=np.float32)
            whole[tuple(slice(*pair) for pair in ends)] = resample_volume(voxels, inside)
            voxels = whole
            spacing = rescale_spacing(spacing, grid_shape, inside)
        return image.copy_with(pixels=voxels.astype(np.float32), spacing=spacing, geometry={})

    def canonicalise(self, image: Image) -> Image:
        """Map HU to [-1, 1] and leave the grid as it is."""
        low, high = CLIP_HU
        return image.copy_with(pixels=(np.clip(image.pixels, low, high) - low) * np.float32(2 / (high - low)) - 1)

    def convert_voxels(self, pixels: NDArray[np.float32]) -> NDArray[np.int16]:
        """Round the values to whole HU."""
        return np.rint(pixels).astype(np.int16)

    def segment_foreground(self, image: Image) -> NDArray[np.bool_]:
        return segment_body(image.pixels)

    def segment_structures(self, image: Image) -> list[NDArray[np.bool_]]:
        """Segment lungs and bone."""
        return [segment_lungs(image.pixels), segment_bone(image.pixels)]

    def segment_class(self, name: str, image: Image) -> NDArray[np.bool_] | None:
        """Segment ``lung``, ``lungs``, ``bone`` or ``body`` by thresholds."""
        segment = SEGMENTED_CLASSES.get(name.lower())
        return None if segment is None else segment(image.pixels)

    def measure_image(self, image: Image) -> dict[str, float]:
        """Measure volumes of lungs, bone and body, densities and emphysema (`anatomy.measure_thorax`)."""
        return anatomy.measure_thorax(image.pixels, image.spacing)

    def render_image(self, image: Image) -> GreyPicture:
        return render_planes(apply_window(image.pixels), image.spacing)

    def report_figures(self, images: Sequence[Image]) -> list[ReportFigure]:
        """Draw lungs in green and bone in red, as contours over the first `FIGURE_VOLUMES` volumes."""
        sheets = [
            draw_contours(self.render_image(image), self.segment_structures(image), image.spacing)
            for image in images[:FIGURE_VOLUMES]
        ]
        if not sheets:
            return []
        words = "Lungs (green) and bone (red) by thresholds, drawn as contours: where they look wrong, so is the image."
        return [ReportFigure("masks", "Lungs and bone", words, make_grid(sheets, 2))]


def apply_window(hu: NDArray[np.float32], window: tuple[float, float] = WINDOW_HU) -> NDArray[np.float32]:
    """Map HU to [0, 1] for display; values outside the window, from black to white in HU, are clipped."""
    return np.clip((hu - window[0]) / np.float32(window[1] - window[0]), 0, 1).astype(np.float32)


def _find_filled_planes(voxels: NDArray[np.float32], axis: int, air: float) -> tuple[int, int]:
    """Find the first plane and one past the last plane of an axis that hold anything but air."""
    others = tuple(a for a in range(voxels.ndim) if a != axis)
    planes = np.flatnonzero((voxels > air).any(axis=others))
    if not len(planes):
        raise UnusableImage("no image", "nothing but air")
    return int(planes[0]), int(planes[-1]) + 1
