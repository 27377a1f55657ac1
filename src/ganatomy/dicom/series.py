"""CT and MR series to a volume: group, order by position, find what is wrong. Nothing is stacked silently.

Files of one series are those that agree in all that a volume has once (`GROUP_KEY`). They are ordered by Image Position
(Patient) along the normal of Image Orientation (Patient), never by Instance Number (PS3.3 C.7.6.2).
"""

import warnings
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import highdicom
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ganatomy.dicom import pixels, read
from ganatomy.imaging.image import UnusableImage
from ganatomy.imaging.orientation import LARGEST_SHEAR_DEGREES, reorient_volume

ENHANCED_CLASSES = (  # all frames in one instance: Enhanced and Legacy Converted Enhanced, CT and MR
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.4.4",
)
LOCALIZER_TYPES = ("LOCALIZER", "SCOUT")
GROUP_KEY = (
    "SeriesInstanceUID",
    "Modality",
    "Rows",
    "Columns",
    "PixelSpacing",
    "EchoNumbers",
    "TemporalPositionIdentifier",
    "AcquisitionNumber",
)
NEEDED_ATTRIBUTES = (
    *GROUP_KEY,
    "ImageType",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "SOPClassUID",
    "SOPInstanceUID",
)
MIN_SLICES = 8  # slices
STEP_TOLERANCE = 0.02  # of the median distance: slices further off are missing or doubled
SPACE_AXES, LPS_TO_RAS = 3, np.diag([-1.0, -1.0, 1.0])

OrientedVolume = tuple[
    NDArray[np.float32], tuple[float, ...], float
]  # voxels S P L, spacing in mm, degrees to the body's axes


def group_files(paths: Iterable[Path]) -> list[list[Path]]:
    """Files that belong to one volume each, from their headers alone; what cannot be read stands by itself."""
    found: dict[tuple[object, ...], list[Path]] = defaultdict(list)
    for path in paths:
        try:
            found[_group_key(path)].append(path)
        except UnusableImage:
            found[(path,)].append(path)
    return [sorted(files) for files in found.values()]


def _group_key(path: Path) -> tuple[object, ...]:
    """What the files of one volume have in common."""
    header = read.read_header(path, NEEDED_ATTRIBUTES)
    if read.get_text(header, "SOPClassUID") in ENHANCED_CLASSES or _is_localizer(header):
        return (path,)
    orientation = tuple(round(v, 3) + 0.0 for v in read.get_numbers(header, "ImageOrientationPatient"))
    return path.parent, orientation, *(str(read.get_values(header, name)) for name in GROUP_KEY)


def read_volume(paths: tuple[Path, ...], modality: str) -> tuple[OrientedVolume, str]:
    """The volume of a group of files, in HU for CT and in rescaled values for MR, and who it is of.

    Args:
        modality: ``CT`` or ``MR``.

    Raises:
        Unusable: the group is not one regular volume of that modality; the message says why.
    """
    first = read.read_instance(paths[0])
    if _is_localizer(first):
        raise UnusableImage("localizer", "a scout image, not a slice of a volume")
    if (given := read.get_text(first, "Modality")) != modality:
        raise UnusableImage("wrong modality", f"Modality is {given or 'absent'}, {modality} is needed")
    who = read.identify_patient(first, paths[0])
    if read.get_text(first, "SOPClassUID") in ENHANCED_CLASSES:
        return _read_enhanced(first), who
    if len(paths) < MIN_SLICES:
        raise UnusableImage("too few slices", f"{len(paths)}; {MIN_SLICES} are needed at least")
    slices = [first, *(read.read_instance(path) for path in paths[1:])]
    normal, places = _read_positions(slices)
    order = np.argsort(places @ normal, kind="stable")
    slices, places = [slices[i] for i in order], places[order]
    step = _find_step(places, normal)
    voxels = np.stack([_read_slice_values(one, modality) for one in slices])
    if not np.isfinite(voxels).all():
        raise UnusableImage("values are not finite")
    return reorient_volume(voxels, _make_affine(slices[0], step, places[0])), who


def _is_localizer(header: Dataset) -> bool:
    return any(str(value).upper() in LOCALIZER_TYPES for value in read.get_values(header, "ImageType"))


# ----------------------------------------------------------------------------------------------------------------------
# Geometry.


def _read_positions(slices: list[Dataset]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The normal of the slices and the position of each: (3,), (slices, 3), in DICOM's millimetres (L, P, S)."""
    directions = read.get_numbers(slices[0], "ImageOrientationPatient", 2 * SPACE_AXES)
    found = [read.get_numbers(one, "ImagePositionPatient", SPACE_AXES) for one in slices]
    if not directions or not all(found):
        raise UnusableImage("no position", "a slice has no Image Position or Image Orientation (Patient)")
    row, column = np.array(directions).reshape(2, SPACE_AXES)
    places = np.array(found)
    normal = np.cross(row, column)
    if abs(np.linalg.norm(normal) - 1) > 1e-3:
        raise UnusableImage("broken orientation", "Image Orientation (Patient) is not two directions at right angles")
    return normal, places


def _find_step(positions: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The step from slice to slice, if there is one for all."""
    gaps = np.diff(positions @ normal)
    usual = float(np.median(gaps))
    if (doubled := int((gaps < max(1e-3, 0.02 * usual)).sum())) or usual <= 0:
        raise UnusableImage("duplicate slices", f"{doubled} of {len(positions)} lie where another one lies")
    wide = gaps[gaps > usual * (1 + STEP_TOLERANCE)]
    if missing := int(np.rint(wide / usual - 1).sum()):
        raise UnusableImage("missing slices", f"{missing} at {len(wide)} places, {usual:.3g} mm apart otherwise")
    if (np.abs(gaps - usual) > STEP_TOLERANCE * usual).any():
        raise UnusableImage("uneven slices", f"{gaps.min():.3g} to {gaps.max():.3g} mm apart")
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    cosine = float(step @ normal) / float(np.linalg.norm(step))
    tilt = float(np.degrees(np.arccos(min(1.0, cosine))))
    if tilt > LARGEST_SHEAR_DEGREES:
        raise UnusableImage(
            "gantry tilt", f"{tilt:.1f} degrees between the slices' normal and the way from slice to slice"
        )
    return step


def _make_affine(first: Dataset, step: NDArray[np.float64], origin: NDArray[np.float64]) -> NDArray[np.float64]:
    """Indices (slice, row, column) to millimetres (R, A, S), PS3.3 C.7.6.2.1.1."""
    row, column = np.array(read.get_numbers(first, "ImageOrientationPatient")).reshape(2, SPACE_AXES)
    if not (spacing := read.get_numbers(first, "PixelSpacing", 2)):
        raise UnusableImage("no pixel spacing")
    between_rows, between_columns = spacing
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS @ np.stack([step, column * between_rows, row * between_columns], axis=1)
    affine[:3, 3] = LPS_TO_RAS @ origin
    return affine


# ----------------------------------------------------------------------------------------------------------------------
# Values.


def _read_slice_values(dataset: Dataset, modality: str) -> NDArray[np.float32]:
    stored = pixels.decode_pixels(dataset)
    kind = read.get_text(dataset, "RescaleType").upper() or "HU"
    if modality == "CT" and kind not in ("HU", "US"):
        raise UnusableImage("not Hounsfield units", f"Rescale Type is {kind}")
    if modality == "CT" and not read.get_numbers(dataset, "RescaleIntercept"):
        raise UnusableImage("not Hounsfield units", "there is no Rescale Intercept")
    values, _ = pixels.apply_display_luts(dataset, stored, apply_voi=False)
    empty = pixels.find_padding(dataset, stored)
    if empty.any():
        values[empty] = values[~empty].min() if modality == "MR" and (~empty).any() else -1024
    return values


def _read_enhanced(dataset: Dataset) -> OrientedVolume:
    """An Enhanced CT or MR instance: all frames in one file (PS3.3 A.38, A.36)."""
    pixels.decompress_pixels(dataset)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = highdicom.Image.from_dataset(dataset, copy=False).get_volume(dtype=np.float32)
    except Exception as error:  # highdicom names what is irregular in errors of many kinds
        raise UnusableImage("frames are not one regular volume", read.describe_error(error)) from error
    voxels = np.asarray(found.array, dtype=np.float32)
    if not np.isfinite(voxels).all():
        raise UnusableImage("values are not finite")
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(found.affine, dtype=np.float64)
    return reorient_volume(voxels, affine)
