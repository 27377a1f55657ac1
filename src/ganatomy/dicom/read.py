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

from ganatomy.imaging.image import UnusableImage

PREAMBLE_BYTES = 128


def is_dicom(path: Path) -> bool:
    """Whether the file starts as PS3.10 section 7.1 says: 128 bytes, then DICM."""
    with path.open("rb") as file:
        return file.read(PREAMBLE_BYTES + 4)[PREAMBLE_BYTES:] == b"DICM"


class _Bounded(io.BufferedReader):
    """A file that never makes room for more than it holds, whatever a broken length asks for."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def read_instance(path: Path) -> Dataset:
    """The data set of a file.

    Raises:
        Unusable: not readable as DICOM.
    """
    return _read_dataset(path)


def read_header(path: Path, names: tuple[str, ...]) -> Dataset:
    """Some attributes of a file, without reading its pixels.

    Raises:
        Unusable: not readable as DICOM.
    """
    return _read_dataset(path, stop_before_pixels=True, specific_tags=list(names))


def _read_dataset(path: Path, **options: Any) -> Dataset:
    try:
        with warnings.catch_warnings(), _Bounded(path) as file:
            warnings.simplefilter("ignore")  # pydicom warns of every value that breaks a rule; we check those we use
            return dcmread(file, **options)
    except Exception as error:  # what a broken file makes of a reader is not to be foreseen
        raise UnusableImage("not readable as DICOM", describe_error(error)) from error


# ----------------------------------------------------------------------------------------------------------------------
# Attributes of anybody's files: pydicom converts a value when it is asked for, and a broken one raises only then.


def get_values(dataset: Dataset, name: str) -> list[Any]:
    """The values of an attribute; none when it is absent or empty.

    Raises:
        Unusable: they are not what the attribute's value representation says.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = dataset.get(name)
    except Exception as error:
        raise UnusableImage("broken header", f"{name}: {describe_error(error)}") from error
    if value is None or value in ("", b""):
        return []
    return list(value) if isinstance(value, (MultiValue, Sequence, list, tuple)) else [value]


def get_text(dataset: Dataset, name: str) -> str:
    """The first value as text without blanks around it; empty when there is none."""
    return str(next(iter(get_values(dataset, name)), "")).strip()


def get_numbers(dataset: Dataset, name: str, count: int | None = None) -> tuple[float, ...]:
    """The values as finite numbers.

    Raises:
        Unusable: they are none, or not as many as `count`.
    """
    try:
        found = tuple(float(str(value)) for value in get_values(dataset, name))
    except ValueError as error:
        raise UnusableImage("broken header", f"{name} is not numbers") from error
    if not all(math.isfinite(value) for value in found):
        raise UnusableImage("broken header", f"{name} is not finite")
    if count is not None and found and len(found) != count:
        raise UnusableImage("broken header", f"{name} has {len(found)} values, not {count}")
    return found


def get_integer(dataset: Dataset, name: str, default: int) -> int:
    """The first value as a whole number."""
    return int(next(iter(get_numbers(dataset, name)), default))


def get_items(dataset: Dataset, name: str) -> list[Dataset]:
    """The items of a sequence."""
    return [item for item in get_values(dataset, name) if isinstance(item, Dataset)]


def identify_patient(dataset: Dataset, path: Path) -> str:
    """Who an instance is of: Patient ID with its issuer, else the study, else the folder. Never stored as it is."""
    if given := get_text(dataset, "PatientID"):
        return f"{get_text(dataset, 'IssuerOfPatientID')}/{given}"
    return get_text(dataset, "StudyInstanceUID") or str(path.parent)


def describe_error(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
