"""Reading of a CT or MR series as a volume; irregular series are refused and never stacked without notice.

`ganatomy.dicom.grouping` determines which files are the slices of one volume. They are ordered by Image Position
(Patient) along the normal of Image Orientation (Patient), never by Instance Number (PS3.3 C.7.6.2).
"""

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path

import highdicom
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ganatomy.dicom import geometry, pixels, read
from ganatomy.dicom.contrast import check_kind
from ganatomy.dicom.grouping import ENHANCED_CLASSES, MIN_SLICES, is_localizer
from ganatomy.imaging.image import Doubt, UnusableImage
from ganatomy.imaging.orientation import OrientedVolume, reorient_volume
from ganatomy.imaging.person import Person

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
AIR_HU = -1024  # replaces padding
HIGHEST_PADDING_HU = -900.0  # a Pixel Padding Value up to this is air or less; above, it is a value of tissue
HIGHEST_CT_HU = 3071.0  # largest value with 12 bits; a padding value above is not a value of tissue either
SHOWN_DOUBTS = 3  # details of one kind that a doubt lists


def read_volume(paths: tuple[Path, ...], modality: str) -> tuple[OrientedVolume, Person, tuple[Doubt, ...]]:
    """Read the volume of a group of files in HU for CT and in rescaled values for MR, its person, and its doubts.

    Args:
        modality: ``CT`` or ``MR``.

    Raises:
        UnusableImage: the group is not one regular volume of that modality; the message says why.
    """
    first = read.read_instance(paths[0])
    if is_localizer(read.get_values(first, "ImageType")):
        raise UnusableImage("localizer", "a scout image, not a slice of a volume")
    if (given := read.get_text(first, "Modality")) != modality:
        raise UnusableImage("wrong modality", f"Modality is {given or 'absent'}, {modality} is needed")
    check_kind(first)
    who = read.identify_patient(first, paths[0])
    if read.get_text(first, "SOPClassUID") in ENHANCED_CLASSES:
        doubts = pixels.find_doubts(first)
        return _read_enhanced(first), who, doubts
    if len(paths) < MIN_SLICES:
        raise UnusableImage("too few slices", f"{len(paths)}; {MIN_SLICES} are needed at least")
    slices, names, copies = _drop_copies([first, *(read.read_instance(path) for path in paths[1:])], paths)
    directions, places = _read_positions(slices, names)
    normal = geometry.find_normal(directions)
    order = np.argsort(places @ normal, kind="stable")
    slices, names, places = [slices[i] for i in order], [names[i] for i in order], places[order]
    step = geometry.find_step(places, normal, names)
    _check_alike(slices, names)
    doubts = (*copies, *_count_doubts([_find_slice_doubts(one, modality) for one in slices]))
    voxels = np.stack([_read_slice_values(one, modality, name) for one, name in zip(slices, names, strict=True)])
    if not np.isfinite(voxels).all():
        raise UnusableImage("values are not finite")
    affine = _make_affine(directions, read.get_numbers(slices[0], "PixelSpacing", 2), step, places[0])
    return reorient_volume(voxels, affine), who, doubts


def _drop_copies(slices: list[Dataset], paths: tuple[Path, ...]) -> tuple[list[Dataset], list[str], tuple[Doubt, ...]]:
    """Keep each SOP Instance UID once; returns slices, the names of their files, and a doubt if there were copies.

    Raises:
        UnusableImage: two files have the same SOP Instance UID and different pixels.
    """
    seen: dict[str, tuple[Dataset, str]] = {}
    kept: list[tuple[Dataset, str]] = []
    copies = []
    for dataset, path in zip(slices, paths, strict=True):
        uid = read.get_text(dataset, "SOPInstanceUID")
        if uid and uid in seen:
            if not _have_equal_pixels(dataset, seen[uid][0]):
                raise UnusableImage(
                    "contradictory copies",
                    f"{seen[uid][1]} and {path.name} have the same SOP Instance UID and different pixels;"
                    " keep the right one, or put each volume into a folder of its own",
                )
            copies.append(path.name)
            continue
        seen[uid] = dataset, path.name
        kept.append((dataset, path.name))
    told = f"{len(copies)} of {len(paths)} files have the SOP Instance UID and the pixels of another one, such as"
    doubts = (Doubt("copies of slices", f"{told} {copies[0]}; each counts once"),) if copies else ()
    return [dataset for dataset, _ in kept], [name for _, name in kept], doubts


def _have_equal_pixels(one: Dataset, other: Dataset) -> bool:
    if one.get("PixelData") == other.get("PixelData"):
        return True
    return np.array_equal(pixels.decode_pixels(copy.deepcopy(one)), pixels.decode_pixels(copy.deepcopy(other)))


# ----------------------------------------------------------------------------------------------------------------------
# Geometry.


def _read_positions(slices: list[Dataset], names: Sequence[str]) -> tuple[tuple[float, ...], NDArray[np.float64]]:
    """Read the direction cosines (6,) of the slices and their positions (slices, 3) in millimetres (L, P, S)."""
    count = 2 * geometry.SPACE_AXES
    directions = [read.get_numbers(one, "ImageOrientationPatient", count) for one in slices]
    places = [read.get_numbers(one, "ImagePositionPatient", geometry.SPACE_AXES) for one in slices]
    for one, place, name in zip(directions, places, names, strict=True):
        if not one or not place:
            raise UnusableImage("no position", f"{name} has no Image Position or Image Orientation (Patient)")
        if not geometry.has_same_orientation(one, directions[0]):
            raise UnusableImage(
                "different orientations",
                f"the slices of {names[0]} and {name} are more than {geometry.ANGLE_TOLERANCE_DEGREES} degrees apart",
            )
    return tuple(np.median(directions, axis=0).tolist()), np.array(places)


def _check_alike(slices: list[Dataset], names: Sequence[str]) -> None:
    """Check that all slices have the same size and spacing.

    Raises:
        UnusableImage: they differ, or there is no spacing.
    """
    told = [
        (
            read.get_integer(one, "Rows", 0),
            read.get_integer(one, "Columns", 0),
            read.get_numbers(one, "PixelSpacing", 2),
        )
        for one in slices
    ]
    for (rows, columns, spacing), name in zip(told, names, strict=True):
        if not spacing:
            raise UnusableImage("no pixel spacing", f"{name} has no Pixel Spacing")
        if (rows, columns) != told[0][:2] or not geometry.has_same_spacing(spacing, told[0][2]):
            raise UnusableImage(
                "different slices",
                f"{name} has {rows} x {columns} pixels of {spacing} mm, {names[0]} has {told[0][0]} x {told[0][1]} of"
                f" {told[0][2]} mm; put each volume into a folder of its own",
            )


def _make_affine(
    directions: tuple[float, ...], spacing: tuple[float, ...], step: NDArray[np.float64], origin: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Make the affine map from indices (slice, row, column) to millimetres (R, A, S)   (PS3.3 C.7.6.2.1.1)."""
    row, column = np.array(directions).reshape(2, geometry.SPACE_AXES)
    between_rows, between_columns = spacing
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS @ np.stack([step, column * between_rows, row * between_columns], axis=1)
    affine[:3, 3] = LPS_TO_RAS @ origin
    return affine


# ----------------------------------------------------------------------------------------------------------------------
# Values.


def _read_slice_values(dataset: Dataset, modality: str, name: str) -> NDArray[np.float32]:
    """Read rescaled values; padding becomes air in a CT and the smallest value in an MR.

    Raises:
        UnusableImage: the values cannot be read, or are not Hounsfield units; the message names the file.
    """
    try:
        stored = pixels.decode_pixels(dataset)
        kind = read.get_text(dataset, "RescaleType").upper() or "HU"
        if modality == "CT" and kind not in ("HU", "US"):
            raise UnusableImage("not Hounsfield units", f"Rescale Type is {kind}")
        if modality == "CT" and not read.get_numbers(dataset, "RescaleIntercept"):
            raise UnusableImage("not Hounsfield units", "there is no Rescale Intercept")
        values, _ = pixels.apply_display_luts(dataset, stored, apply_voi=False)
        empty = pixels.find_padding(dataset, stored)
    except UnusableImage as reason:
        raise UnusableImage(reason.kind, f"{name}: {reason.detail}" if reason.detail else name) from reason
    if empty.any() and not (modality == "CT" and _is_padding_tissue(dataset)):
        values[empty] = values[~empty].min() if modality == "MR" and (~empty).any() else AIR_HU
    return values


def _is_padding_tissue(dataset: Dataset) -> bool:
    """Whether the Pixel Padding Value of a CT is a value of tissue.

    A padding value should lie outside the range of image values (PS3.3 C.7.5.1.1.2). If a program has set it to zero
    and the stored values are Hounsfield units, it is the value of water.
    """
    given = read.get_values(dataset, "PixelPaddingValue")
    if not given:
        return False
    slope, intercept = (read.get_numbers(dataset, name) for name in ("RescaleSlope", "RescaleIntercept"))
    signed = read.get_integer(dataset, "PixelRepresentation", 0) == 1
    value = pixels.convert_padding_value(given[0], signed) * (*slope, 1)[0] + (*intercept, 0)[0]
    return HIGHEST_PADDING_HU < value <= HIGHEST_CT_HU


def _find_slice_doubts(dataset: Dataset, modality: str) -> tuple[Doubt, ...]:
    found = pixels.find_doubts(dataset)
    if modality == "CT" and _is_padding_tissue(dataset):
        value = read.get_values(dataset, "PixelPaddingValue")[0]
        words = f"Pixel Padding Value {value} is a value of tissue and was not taken for padding"
        found += (Doubt("padding value of tissue", words),)
    return found


def _count_doubts(slices: Sequence[tuple[Doubt, ...]]) -> tuple[Doubt, ...]:
    """Combine the doubts of all slices; each kind is listed once with its number of slices."""
    details: dict[str, list[str]] = {}
    for doubt in (doubt for doubts in slices for doubt in doubts):
        details.setdefault(doubt.kind, []).append(doubt.detail)
    return tuple(
        Doubt(kind, f"{len(told)} of {len(slices)} slices: {'; '.join(sorted(set(told))[:SHOWN_DOUBTS])}")
        for kind, told in details.items()
    )


def _read_enhanced(dataset: Dataset) -> OrientedVolume:
    """Read an Enhanced CT or MR instance with all frames in one file (PS3.3 A.38, A.36)."""
    pixels.decompress_pixels(dataset)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = highdicom.Image.from_dataset(dataset, copy=False).get_volume(dtype=np.float32)
    except Exception as error:  # highdicom reports irregular instances by errors of many kinds
        raise UnusableImage("frames are not one regular volume", read.describe_error(error)) from error
    voxels = np.asarray(found.array, dtype=np.float32)
    if not np.isfinite(voxels).all():
        raise UnusableImage("values are not finite")
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(found.affine, dtype=np.float64)
    return reorient_volume(voxels, affine)
