"""The base class of volume modalities: finding cases among DICOM series and NIfTI files, and reading them."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ganatomy.dicom import segmentation, series
from ganatomy.dicom.grouping import SliceGroup, group_files
from ganatomy.dicom.instances import DicomKind
from ganatomy.dicom.read import is_dicom
from ganatomy.dicom.volume_class import VolumeClass
from ganatomy.dicom.volume_instances import VolumeKind
from ganatomy.errors import Refused
from ganatomy.imaging import nifti
from ganatomy.imaging.image import Doubt, Image, UnusableImage
from ganatomy.imaging.orientation import Affine, sample_nearest
from ganatomy.imaging.person import FILE, Person, choose_person
from ganatomy.modalities.checks import check_label_map
from ganatomy.modalities.folder import FolderListing
from ganatomy.modalities.modality import Candidate, Modality
from ganatomy.pyramid import Shape, format_shape
from ganatomy.steps import hierarchy

MIN_VOXELS_PER_AXIS = 8  # voxels an axis of a source; a thinner one is no volume
LARGEST_ENLARGEMENT = 6.0  # an axis that would be enlarged more holds too little


@dataclass(frozen=True)
class VolumeModality(Modality):
    """Candidates, labels and reading of volumes; a modality adds its DICOM class, its values and its grid.

    Args:
        facts: a table with a column ``file`` (NIfTI file or folder of a series) and the facts to condition on, each
            named by ``--column NAME=COLUMN``, or given for all by ``--fact NAME=VALUE``; a column ``patient`` tells
            which files are of one person.
        shape: voxels per axis of the grid: upwards, backwards, to the left.
    """

    shape: Shape = (128, 128, 128)

    volume_class: ClassVar[VolumeClass | None] = None  # its DICOM objects; None = it is read and written as NIfTI only

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or not hierarchy.fits_hierarchy(self.shape):
            raise Refused(
                f"--shape {','.join(map(str, self.shape))}: give three multiples of {hierarchy.AXIS_MULTIPLE}, such as"
                " 128,128,128."
            )

    @property
    def formats(self) -> tuple[str, ...]:
        return ("nifti", "npy", *(() if self.volume_class is None else ("dicom",)), *self.own_formats)

    @property
    def dicom(self) -> DicomKind:
        """A classic series, an Enhanced instance, or pictures of slices.

        Raises:
            Refused: the modality has no DICOM objects.
        """
        if self.volume_class is None:
            raise Refused(f"{self.name} has no DICOM object; it is written as {', '.join(self.formats)}.")
        return VolumeKind(self.volume_class)

    def group_files(self, listing: FolderListing) -> list[Candidate]:
        """Group DICOM slices into series; every NIfTI file and every other file is a candidate by itself."""
        found = listing.files
        names = dict(found)
        dicom = [path for path, _ in found if not nifti.is_nifti(path) and _may_be_dicom(path)]
        sliced = set(dicom)
        groups = [SliceGroup([path], []) for path in names if path not in sliced] + group_files(dicom)
        groups.sort(key=lambda group: names[group.paths[0]])
        return [
            Candidate((*group.paths, *group.copies), name, {}, group.remark)
            for group, name in zip(groups, _name_groups(groups, listing.root), strict=True)
        ]

    def read(self, candidate: Candidate) -> tuple[Image, Person]:
        """Read the volume in its own values, canonically oriented, with its labels, and its person.

        Raises:
            UnusableImage: the candidate cannot be used; the message says why.
        """
        try:
            if nifti.is_nifti(candidate.path):
                found, who = nifti.read_nifti(candidate.path), Person(candidate.name, FILE)
                doubts = nifti.find_nifti_doubts(candidate.path)
            elif self.volume_class is not None and is_dicom(candidate.path):
                found, who, doubts = series.read_volume(candidate.paths, self.volume_class.modality)
            else:
                words = "not NIfTI" if self.volume_class is None else "neither DICOM nor NIfTI"
                raise UnusableImage("not an image file", words)
        except OSError as error:
            raise UnusableImage("not readable", error.strerror or "") from error
        labels = self.get_labels(candidate)
        voxels, spacing, oblique, frame = found
        if min(voxels.shape) < MIN_VOXELS_PER_AXIS:
            raise UnusableImage(
                "too small", f"{voxels.shape}; at least {MIN_VOXELS_PER_AXIS} voxels per axis are needed"
            )
        if candidate.remark:
            doubts = (Doubt("part of a series", candidate.remark), *doubts)
        image = Image(voxels, spacing, labels, {"oblique_degrees": oblique}, doubts, frame)
        return image, choose_person(candidate.facts.get("patient", ""), who)

    def read_mask(self, path: Path, image: Image, candidate: Candidate) -> tuple[NDArray[np.int32], tuple[Doubt, ...]]:
        """Read a NIfTI label map or a DICOM segmentation on the voxels of an image, by their headers.

        Where the grids differ, the nearest voxel is taken.

        Raises:
            UnusableImage: the file is neither, does not cover the image, or is not of its patient.
        """
        values, affine, is_sparse = _read_values(path, candidate)
        assert image.frame is not None, "volumes are read with their frame"
        frame = image.frame
        read = [sample_nearest(layer, affine, frame, image.shape, is_sparse) for layer in values]
        sampled, is_same = np.stack([layer for layer, _ in read]), all(same for _, same in read)
        if values.any() and not sampled.any():
            raise UnusableImage("mask lies elsewhere", f"by its header no voxel of {path.name} lies within the image")
        if is_same:
            return sampled, ()
        words = (
            f"{path.name} has {format_shape(values.shape[1:])} voxels on a grid of its own; the nearest voxel was taken"
        )
        return sampled, (Doubt("mask of another grid", words),)

    def check_image(self, image: Image, candidate: Candidate) -> Image:
        """Check that the values are intensities.

        Raises:
            UnusableImage: the values are the numbers of labelled structures.
        """
        return image.copy_with(doubts=(*image.doubts, *check_label_map(image.pixels)))


def _read_values(path: Path, candidate: Candidate) -> tuple[NDArray[np.int32], Affine, bool]:
    """Read the values of a mask (layers, *axes of its file), their matrix to mm, and whether empty slices are absent.

    Raises:
        UnusableImage: the file is no mask of this image.
    """
    if nifti.is_nifti(path):
        values, affine = nifti.read_label_map(path)
        return values[None], affine, False
    if not _may_be_dicom(path):
        raise UnusableImage("mask is no label map", f"{path.name} is neither NIfTI nor DICOM")
    if not _may_be_dicom(candidate.path):
        words = f"{path.name} is a DICOM segmentation, whose patient cannot be compared with an image that is not DICOM"
        raise UnusableImage("mask without reference", words)
    return *segmentation.read_segments(path, candidate.path), True


def check_enlargement(shape: Shape, grid_shape: Shape) -> None:
    """Refuse a source whose axes have too few voxels for the grid.

    Raises:
        UnusableImage: an axis would be enlarged more than `LARGEST_ENLARGEMENT` times.
    """
    times = max(target / n for n, target in zip(shape, grid_shape, strict=True))
    if times > LARGEST_ENLARGEMENT:
        raise UnusableImage("too small", f"{shape} voxels for a grid of {grid_shape}: enlarged {times:.1f} times")


def _may_be_dicom(path: Path) -> bool:
    """Return whether a file is DICOM; False for a file that cannot be opened, since reading it reports the reason."""
    try:
        return is_dicom(path)
    except OSError:
        return False


def _name_groups(groups: list[SliceGroup], raw: Path) -> list[str]:
    """Name a file by its path, and a series by its folder, with a number if the folder holds several series."""
    folders = [Path(os.path.commonpath([path.parent for path in group.paths])) for group in groups]
    series_in = Counter(folder for group, folder in zip(groups, folders, strict=True) if len(group.paths) > 1)
    seen: Counter[Path] = Counter()
    found = []
    for group, folder in zip(groups, folders, strict=True):
        if len(group.paths) == 1:
            found.append(group.paths[0].relative_to(raw).as_posix())
            continue
        seen[folder] += 1
        name = folder.relative_to(raw).as_posix()
        found.append(name if series_in[folder] == 1 else f"{name}#{seen[folder]}")
    return found
