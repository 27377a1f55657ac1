"""Finding DICOM files, reading their headers and attributes, and describing what is wrong with them."""

import io
import math
import os
import struct
import warnings
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ganatomy.imaging.image import UnusableImage
from ganatomy.imaging.person import FOLDER, PATIENT_ID, STUDY, Person

PREAMBLE_BYTES = 128
FIRST_GROUPS = (0x0002, 0x0008)  # first groups of a data set in a file without a preamble
LONGEST_FIRST_VALUE = 256  # bytes; the first element is a group length, a UID or a character set
ITEM_TAG = b"\xfe\xff\x00\xe0"  # begins a fragment
MESSAGE_LENGTH = 200  # characters of a library's message to repeat
SEQUENCE_DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"  # ends encapsulated pixels (PS3.5 A.4)


def is_dicom(path: Path) -> bool:
    """Whether the file begins as in PS3.10 section 7.1 (128 bytes, then DICM), or with a data set without a preamble.

    Files without a preamble come from old archives and programs; most readers accept them.
    """
    with path.open("rb") as file:
        start = file.read(PREAMBLE_BYTES + 4)
    return start[PREAMBLE_BYTES:] == b"DICM" or _starts_with_elements(start)


def _starts_with_elements(start: bytes) -> bool:
    """Whether the bytes begin with a little-endian element of group 2 or 8 with a possible length."""
    if len(start) < 16:
        return False
    group, element, length, short_length = *struct.unpack("<HHI", start[:8]), struct.unpack("<H", start[6:8])[0]
    if group not in FIRST_GROUPS or element > 0x0018:
        return False
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    return bool((short_length if explicit else length) <= LONGEST_FIRST_VALUE)


class _Bounded(io.BufferedReader):
    """A file that never allocates more memory than its size, even if a broken length requests it."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(str(path)))  # a string, since pydicom concatenates it to its messages
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def read_instance(path: Path) -> Dataset:
    """Read the data set of a file.

    Raises:
        UnusableImage: the file cannot be read as DICOM.
    """
    return _read_dataset(path)


def read_header(path: Path, names: tuple[str, ...]) -> Dataset:
    """Read some attributes of a file without its pixels.

    Raises:
        UnusableImage: the file cannot be read as DICOM.
    """
    return _read_dataset(path, stop_before_pixels=True, specific_tags=list(names))


def _read_dataset(path: Path, **options: Any) -> Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of every invalid value; we check those that we use
            warnings.filterwarnings(
                "error", message=".* in file "
            )  # the file ends too early, and pydicom drops what it has read
            with _Bounded(path) as file:
                force = _starts_with_elements(file.read(PREAMBLE_BYTES + 4))
                file.seek(0)
                try:
                    dataset = dcmread(file, force=force, **options)
                except (EOFError, UserWarning):
                    dataset = _read_undelimited(path, force, options)
    except (EOFError, UserWarning) as error:
        raise UnusableImage("cut short", "the file ends before its data do; copy it again from its origin") from error
    except Exception as error:  # broken files raise errors of unforeseeable kinds
        raise UnusableImage("not readable as DICOM", describe_error(error)) from error
    if force:
        _complete_file_meta(dataset)
    return dataset


def _read_undelimited(path: Path, force: bool, options: dict[str, Any]) -> Dataset:
    """Read the data set of a file without the delimiter at the end of its encapsulated pixels.

    Raises:
        EOFError: the last fragment is incomplete.
    """
    dataset = dcmread(io.BytesIO(path.read_bytes() + SEQUENCE_DELIMITER), force=force, **options)
    if not isinstance(data := dataset.get("PixelData"), bytes):
        raise EOFError("the end came before the pixels")
    at = 0
    while data[at : at + 4] == ITEM_TAG:
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
    if at != len(data):
        raise EOFError("the last fragment of the pixels is not whole")
    return dataset


def _complete_file_meta(dataset: Dataset) -> None:
    """Set the transfer syntax with which a data set without file meta information was read."""
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit = dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


# ----------------------------------------------------------------------------------------------------------------------
# Attributes of files of any origin: pydicom converts a value when it is accessed, and a broken one raises only then.


def get_values(dataset: Dataset, name: str) -> list[Any]:
    """Read the values of an attribute; the list is empty if the attribute is absent or empty.

    Raises:
        UnusableImage: a value does not have the attribute's value representation.
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
    """Read the first value as text without blanks at its ends; empty if there is none."""
    return str(next(iter(get_values(dataset, name)), "")).strip()


def get_numbers(dataset: Dataset, name: str, count: int | None = None) -> tuple[float, ...]:
    """Read the values as finite numbers.

    Raises:
        UnusableImage: a value is not a finite number, or there are not `count` values.
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
    """Read the first value as an integer."""
    return int(next(iter(get_numbers(dataset, name)), default))


def get_items(dataset: Dataset, name: str) -> list[Dataset]:
    """Read the items of a sequence."""
    return [item for item in get_values(dataset, name) if isinstance(item, Dataset)]


def identify_patient(dataset: Dataset, path: Path) -> Person:
    """Identify the patient by Patient ID with its issuer, otherwise by study or folder; stored only as a pseudonym."""
    if given := get_text(dataset, "PatientID"):
        return Person(given, PATIENT_ID, get_text(dataset, "IssuerOfPatientID"))
    study = get_text(dataset, "StudyInstanceUID")
    return Person(study, STUDY) if study else Person(str(path.parent), FOLDER)


def describe_error(error: BaseException) -> str:
    """Describe an error by its kind and the most informative line of its message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next((line for line in lines if not line.endswith(":")), lines[0] if lines else "")
    return f"{type(error).__name__}: {told[:MESSAGE_LENGTH]}" if told else type(error).__name__
