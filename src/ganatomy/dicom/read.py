"""Find DICOM instances, read their headers, say what is wrong with a file."""

import io
import math
import os
import warnings
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from ganatomy.imaging.image import Unusable

PREAMBLE = 128


def is_dicom(path: Path) -> bool:
    """Whether the file starts as PS3.10 section 7.1 says: 128 bytes, then DICM."""
    with path.open("rb") as file:
        return file.read(PREAMBLE + 4)[PREAMBLE:] == b"DICM"


class _Bounded(io.BufferedReader):
    """A file that never makes room for more than it holds, whatever a broken length asks for."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def instance(path: Path) -> Dataset:
    """The data set of a file.

    Raises:
        Unusable: not readable as DICOM.
    """
    return _read(path)


def header(path: Path, names: tuple[str, ...]) -> Dataset:
    """Some attributes of a file, without reading its pixels.

    Raises:
        Unusable: not readable as DICOM.
    """
    return _read(path, stop_before_pixels=True, specific_tags=list(names))


def _read(path: Path, **options: Any) -> Dataset:
    try:
        with warnings.catch_warnings(), _Bounded(path) as file:
            warnings.simplefilter("ignore")  # pydicom warns of every value that breaks a rule; we check those we use
            return dcmread(file, **options)
    except Exception as error:  # what a broken file makes of a reader is not to be foreseen
        raise Unusable("not readable as DICOM", first_line(error)) from error


# ----------------------------------------------------------------------------------------------------------------------
# Attributes of anybody's files: pydicom converts a value when it is asked for, and a broken one raises only then.


def values(dataset: Dataset, name: str) -> list[Any]:
    """The values of an attribute; none when it is absent or empty.

    Raises:
        Unusable: they are not what the attribute's value representation says.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = dataset.get(name)
    except Exception as error:
        raise Unusable("broken header", f"{name}: {first_line(error)}") from error
    if value is None or value in ("", b""):
        return []
    return list(value) if isinstance(value, (MultiValue, Sequence, list, tuple)) else [value]


def text(dataset: Dataset, name: str) -> str:
    """The first value as text without blanks around it; empty when there is none."""
    return str(next(iter(values(dataset, name)), "")).strip()


def numbers(dataset: Dataset, name: str, count: int | None = None) -> tuple[float, ...]:
    """The values as finite numbers.

    Raises:
        Unusable: they are none, or not as many as `count`.
    """
    try:
        found = tuple(float(str(value)) for value in values(dataset, name))
    except ValueError as error:
        raise Unusable("broken header", f"{name} is not numbers") from error
    if not all(math.isfinite(value) for value in found):
        raise Unusable("broken header", f"{name} is not finite")
    if count is not None and found and len(found) != count:
        raise Unusable("broken header", f"{name} has {len(found)} values, not {count}")
    return found


def whole(dataset: Dataset, name: str, default: int) -> int:
    """The first value as a whole number."""
    return int(next(iter(numbers(dataset, name)), default))


def items(dataset: Dataset, name: str) -> list[Dataset]:
    """The items of a sequence."""
    return [item for item in values(dataset, name) if isinstance(item, Dataset)]


def patient(dataset: Dataset, path: Path) -> str:
    """Who an instance is of: Patient ID with its issuer, else the study, else the folder. Never stored as it is."""
    if given := text(dataset, "PatientID"):
        return f"{text(dataset, 'IssuerOfPatientID')}/{given}"
    return text(dataset, "StudyInstanceUID") or str(path.parent)


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
