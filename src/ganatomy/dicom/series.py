"""CT and MR series to a volume: group, order by position, find what is wrong. Nothing is stacked silently.

Files of one series are those that agree in all that a volume has once (`KEY`). They are ordered by Image Position
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
from ganatomy.imaging.image import Unusable
from ganatomy.imaging.orientation import LARGEST_SHEAR_DEGREES, canonical

ENHANCED = (  # all frames in one instance: Enhanced and Legacy Converted Enhanced, CT and MR
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.4.4",
)
LOCALIZERS = ("LOCALIZER", "SCOUT")
KEY = (
    "SeriesInstanceUID",
    "Modality",
    "Rows",
    "Columns",
    "PixelSpacing",
    "EchoNumbers",
    "TemporalPositionIdentifier",
    "AcquisitionNumber",
)
NEEDED = (*KEY, "ImageType", "ImageOrientationPatient", "ImagePositionPatient", "SOPClassUID", "SOPInstanceUID")
FEWEST = 8  # slices
UNEVEN = 0.02  # of the median distance: slices further off are missing or doubled
NORMAL, LPS_TO_RAS = 3, np.diag([-1.0, -1.0, 1.0])

Volume = tuple[NDArray[np.float32], tuple[float, ...], float]  # voxels S P L, spacing in mm, degrees to the body's axes


def groups(paths: Iterable[Path]) -> list[list[Path]]:
    """Files that belong to one volume each, from their headers alone; what cannot be read stands by itself."""
    found: dict[tuple[object, ...], list[Path]] = defaultdict(list)
    for path in paths:
        try:
            found[_group(path)].append(path)
        except Unusable:
            found[(path,)].append(path)
    return [sorted(files) for files in found.values()]


def _group(path: Path) -> tuple[object, ...]:
    """What the files of one volume have in common."""
    header = read.header(path, NEEDED)
    if read.text(header, "SOPClassUID") in ENHANCED or _localizer(header):
        return (path,)
    orientation = tuple(round(v, 3) + 0.0 for v in read.numbers(header, "ImageOrientationPatient"))
    return path.parent, orientation, *(str(read.values(header, name)) for name in KEY)


def volume(paths: tuple[Path, ...], modality: str) -> tuple[Volume, str]:
    """The volume of a group of files, in HU for CT and in rescaled values for MR, and who it is of.

    Args:
        modality: ``CT`` or ``MR``.

    Raises:
        Unusable: the group is not one regular volume of that modality; the message says why.
    """
    first = read.instance(paths[0])
    if _localizer(first):
        raise Unusable("localizer", "a scout image, not a slice of a volume")
    if (given := read.text(first, "Modality")) != modality:
        raise Unusable("wrong modality", f"Modality is {given or 'absent'}, {modality} is needed")
    who = read.patient(first, paths[0])
    if read.text(first, "SOPClassUID") in ENHANCED:
        return _enhanced(first), who
    if len(paths) < FEWEST:
        raise Unusable("too few slices", f"{len(paths)}; {FEWEST} are needed at least")
    slices = [first, *(read.instance(path) for path in paths[1:])]
    normal, places = _places(slices)
    order = np.argsort(places @ normal, kind="stable")
    slices, places = [slices[i] for i in order], places[order]
    step = _regular(places, normal)
    voxels = np.stack([_values(one, modality) for one in slices])
    if not np.isfinite(voxels).all():
        raise Unusable("values are not finite")
    return canonical(voxels, _affine(slices[0], step, places[0])), who


def _localizer(header: Dataset) -> bool:
    return any(str(value).upper() in LOCALIZERS for value in read.values(header, "ImageType"))


# ----------------------------------------------------------------------------------------------------------------------
# Geometry.


def _places(slices: list[Dataset]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The normal of the slices and the position of each: (3,), (slices, 3), in DICOM's millimetres (L, P, S)."""
    directions = read.numbers(slices[0], "ImageOrientationPatient", 2 * NORMAL)
    found = [read.numbers(one, "ImagePositionPatient", NORMAL) for one in slices]
    if not directions or not all(found):
        raise Unusable("no position", "a slice has no Image Position or Image Orientation (Patient)")
    row, column = np.array(directions).reshape(2, NORMAL)
    places = np.array(found)
    normal = np.cross(row, column)
    if abs(np.linalg.norm(normal) - 1) > 1e-3:
        raise Unusable("broken orientation", "Image Orientation (Patient) is not two directions at right angles")
    return normal, places


def _regular(places: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The step from slice to slice, if there is one for all."""
    gaps = np.diff(places @ normal)
    usual = float(np.median(gaps))
    if (doubled := int((gaps < max(1e-3, 0.02 * usual)).sum())) or usual <= 0:
        raise Unusable("duplicate slices", f"{doubled} of {len(places)} lie where another one lies")
    wide = gaps[gaps > usual * (1 + UNEVEN)]
    if missing := int(np.rint(wide / usual - 1).sum()):
        raise Unusable("missing slices", f"{missing} at {len(wide)} places, {usual:.3g} mm apart otherwise")
    if (np.abs(gaps - usual) > UNEVEN * usual).any():
        raise Unusable("uneven slices", f"{gaps.min():.3g} to {gaps.max():.3g} mm apart")
    step = (places[-1] - places[0]) / (len(places) - 1)
    cosine = float(step @ normal) / float(np.linalg.norm(step))
    tilt = float(np.degrees(np.arccos(min(1.0, cosine))))
    if tilt > LARGEST_SHEAR_DEGREES:
        raise Unusable("gantry tilt", f"{tilt:.1f} degrees between the slices' normal and the way from slice to slice")
    return step


def _affine(first: Dataset, step: NDArray[np.float64], origin: NDArray[np.float64]) -> NDArray[np.float64]:
    """Indices (slice, row, column) to millimetres (R, A, S), PS3.3 C.7.6.2.1.1."""
    row, column = np.array(read.numbers(first, "ImageOrientationPatient")).reshape(2, NORMAL)
    if not (spacing := read.numbers(first, "PixelSpacing", 2)):
        raise Unusable("no pixel spacing")
    between_rows, between_columns = spacing
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS @ np.stack([step, column * between_rows, row * between_columns], axis=1)
    affine[:3, 3] = LPS_TO_RAS @ origin
    return affine


# ----------------------------------------------------------------------------------------------------------------------
# Values.


def _values(one: Dataset, modality: str) -> NDArray[np.float32]:
    stored = pixels.stored_pixels(one)
    kind = read.text(one, "RescaleType").upper() or "HU"
    if modality == "CT" and kind not in ("HU", "US"):
        raise Unusable("not Hounsfield units", f"Rescale Type is {kind}")
    if modality == "CT" and not read.numbers(one, "RescaleIntercept"):
        raise Unusable("not Hounsfield units", "there is no Rescale Intercept")
    values, _ = pixels.displayed(one, stored, voi=False)
    empty = pixels.padding(one, stored)
    if empty.any():
        values[empty] = values[~empty].min() if modality == "MR" and (~empty).any() else -1024
    return values


def _enhanced(dataset: Dataset) -> Volume:
    """An Enhanced CT or MR instance: all frames in one file (PS3.3 A.38, A.36)."""
    pixels.decompress(dataset)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = highdicom.Image.from_dataset(dataset, copy=False).get_volume(dtype=np.float32)
    except Exception as error:  # highdicom names what is irregular in errors of many kinds
        raise Unusable("frames are not one regular volume", read.first_line(error)) from error
    voxels = np.asarray(found.array, dtype=np.float32)
    if not np.isfinite(voxels).all():
        raise Unusable("values are not finite")
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(found.affine, dtype=np.float64)
    return canonical(voxels, affine)
