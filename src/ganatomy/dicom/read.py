"""Find DICOM instances, read headers and pixels, say what is wrong with a file."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.pixels import apply_modality_lut, apply_voi_lut, apply_windowing

from ganatomy.image import Unusable

Range = tuple[float, float]

PREAMBLE = 128
LARGEST_FRAME = 2**26  # pixels; a header that claims more is broken
LARGEST_INSTANCE = 2**30  # pixels of all frames


def is_dicom(path: Path) -> bool:
    """Whether the file starts as PS3.10 section 7.1 says: 128 bytes, then DICM."""
    with path.open("rb") as file:
        return file.read(PREAMBLE + 4)[PREAMBLE:] == b"DICM"


def instance(path: Path) -> Dataset:
    """The data set of a file.

    Raises:
        Unusable: not readable as DICOM.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of every value that breaks a rule; we check those we use
            return dcmread(path)
    except (InvalidDicomError, OSError, EOFError, ValueError, KeyError, AttributeError, NotImplementedError) as error:
        raise Unusable("not readable as DICOM", _first_line(error)) from error


def header(path: Path, names: tuple[str, ...]) -> Dataset:
    """Some attributes of a file, without reading its pixels.

    Raises:
        Unusable: not readable as DICOM.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dcmread(path, stop_before_pixels=True, specific_tags=list(names))
    except (InvalidDicomError, OSError, EOFError, ValueError, KeyError, AttributeError, NotImplementedError) as error:
        raise Unusable("not readable as DICOM", _first_line(error)) from error


def patient(dataset: Dataset, path: Path) -> str:
    """Who an instance is of: Patient ID with its issuer, else the study, else the folder. Never stored as it is."""
    given = str(dataset.get("PatientID", "") or "").strip()
    if given:
        return f"{dataset.get('IssuerOfPatientID', '')}/{given}"
    return str(dataset.get("StudyInstanceUID", "") or path.parent)


def stored_pixels(dataset: Dataset) -> NDArray[np.integer]:
    """The stored values of a single-frame monochrome instance: (rows, columns).

    Raises:
        Unusable: no pixels, truncated pixels, colour, several frames, or no decoder for the transfer syntax.
    """
    if int(dataset.get("NumberOfFrames", 1) or 1) != 1:
        raise Unusable("several frames", f"{dataset.NumberOfFrames} frames where one was expected")
    return stored_frames(dataset)


def stored_frames(dataset: Dataset) -> NDArray[np.integer]:
    """The stored values of a monochrome instance: (rows, columns), or (frames, rows, columns) when it has several.

    Raises:
        Unusable: no pixels, truncated pixels, colour, or no decoder for the transfer syntax.
    """
    if "PixelData" not in dataset:
        raise Unusable("no pixel data")
    if dataset.get("SamplesPerPixel", 1) != 1 or not str(dataset.get("PhotometricInterpretation", "")).startswith(
        "MONO"
    ):
        raise Unusable("not monochrome", str(dataset.get("PhotometricInterpretation", "no photometric interpretation")))
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    rows, columns = dataset.get("Rows", 0) or 0, dataset.get("Columns", 0) or 0
    if not 0 < rows * columns <= LARGEST_FRAME or not 0 < frames * rows * columns <= LARGEST_INSTANCE:
        raise Unusable("impossible size", f"{frames} frames, {rows} rows and {columns} columns")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = np.asarray(dataset.pixel_array)
    except Exception as error:  # decoders are many and raise what they like
        raise Unusable("pixels cannot be decoded", _first_line(error)) from error
    if pixels.shape != ((rows, columns) if frames == 1 else (frames, rows, columns)):
        raise Unusable("pixels do not match the header", f"{pixels.shape} against {frames} x {rows} x {columns}")
    return pixels


def displayed(dataset: Dataset, stored: NDArray[np.integer], voi: bool) -> tuple[NDArray[np.float32], Range | None]:
    """Stored values through the Modality LUT and, if asked, the first VOI transformation (PS3.3 C.11.1, C.11.2).

    The first item of a VOI LUT Sequence is used if there is one, else the first window with its function (absent =
    LINEAR). Photometric interpretation and padding are left to the caller.

    Returns:
        The values, and what is shown as black and as white; None when no VOI transformation was applied.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = apply_modality_lut(stored, dataset)
            limits = None
            if voi and dataset.get("VOILUTSequence"):
                values = apply_voi_lut(values, dataset, index=0, prefer_lut=True)
                limits = 0.0, 2.0 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
            elif voi and dataset.get("WindowWidth") is not None:
                values = apply_windowing(values, dataset)
                ends = apply_windowing(np.array([-1e12, 1e12]), dataset)  # far outside every window
                limits = float(ends[0]), float(ends[1])
    except Exception as error:  # broken look-up tables of many kinds
        raise Unusable("look-up table or window cannot be applied", _first_line(error)) from error
    return np.asarray(values, dtype=np.float32), limits


def padding(dataset: Dataset, stored: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Where the stored values say "no image here": Pixel Padding Value to Range Limit, both inclusive, either order."""
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return np.zeros(stored.shape, dtype=bool)
    first = _as_stored(first, stored)
    last = _as_stored(dataset.get("PixelPaddingRangeLimit", first), stored)
    return (stored >= min(first, last)) & (stored <= max(first, last))


def _as_stored(value: object, stored: NDArray[np.integer]) -> int:
    """An 'US or SS' value, which some writers store with the wrong sign."""
    number = int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(str(value))
    low = np.iinfo(stored.dtype).min
    return number + 2**16 if number < 0 and low == 0 else number


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
