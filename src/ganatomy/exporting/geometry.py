"""Size, spacing, position and orientation of DICOM instances, to compare two of them."""

import math
from typing import Any

from pydicom import Dataset

ROUNDING = 1e-4  # relative, and in millimetres; NIfTI stores spacings in float32 and DICOM in 16 characters
NUMBERS = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ImagePositionPatient",
    "ImageOrientationPatient",
)  # attributes of an instance, or of the functional groups of an enhanced one
WORDS = ("PatientOrientation", "ImageLaterality", "ViewPosition")


def list_geometry(ds: Dataset) -> dict[str, Any]:
    """List the geometry of an instance by keyword; for an enhanced instance in the order of its frames.

    A value that cannot be read is listed as its text, so that it equals no other.
    """
    found: dict[str, Any] = {}
    for element in ds.iterall():
        if element.keyword in NUMBERS:
            found.setdefault(element.keyword, []).extend(_convert_value(element.value))
        elif element.keyword in WORDS:
            found.setdefault(element.keyword, []).append(str(element.value))
    return found


def find_different_geometry(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """List the keywords whose values differ between two instances or are present in only one."""
    return [name for name in (*NUMBERS, *WORDS) if not _is_same(expected.get(name), found.get(name))]


def _convert_value(value: Any) -> list[float | str]:
    if value is None or value == "":
        return []
    values = [value] if isinstance(value, (str, int, float)) else list(value)
    try:
        return [float(one) for one in values]
    except (TypeError, ValueError):
        return [str(value)]


def _is_same(expected: list[Any] | None, found: list[Any] | None) -> bool:
    if expected is None or found is None or len(expected) != len(found):
        return not expected and not found
    return all(
        a == b
        or (isinstance(a, float) and isinstance(b, float) and math.isclose(a, b, rel_tol=ROUNDING, abs_tol=ROUNDING))
        for a, b in zip(expected, found, strict=True)
    )
