"""What a picture, a NIfTI or an NPY file claims of its origin, and whether its values are those of its record."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from ganatomy.exporting.findings import INVALID, NO_SIGNATURE, UNCHECKED, Finding, describe_mark
from ganatomy.exporting.geometry import ROUNDING
from ganatomy.exporting.made_again import NO_IMAGE, Maker
from ganatomy.imaging import nifti, npy
from ganatomy.imaging.credentials import has_credentials, is_installed, read_credentials
from ganatomy.imaging.image import Image, UnusableImage
from ganatomy.imaging.marking import CLASSES, Mark, hash_pixels
from ganatomy.imaging.orientation import reorient_volume
from ganatomy.imaging.sandbox import reading_sandbox
from ganatomy.modalities.marks import find_picture_faults, read_picture_mark
from ganatomy.modalities.modality import Modality
from ganatomy.modalities.pictures import PICTURE_FORMATS

FORMAT_NAMES = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".jpg": "JPEG", ".jpeg": "JPEG"}
OURS = "ganatomy"  # begins the name of the software in our marks


class _Content(NamedTuple):
    """What was read of a file: its format, mark, stored values, contradictions, and how it is displayed."""

    format: str
    mark: Mark | None
    stored: NDArray[Any]
    faults: tuple[str, ...]
    show: Callable[[Modality, Image], Image]  # of a label map, its class numbers
    spacing: tuple[float, ...] | None = None
    signature: str = NO_SIGNATURE

    @property
    def are_labels(self) -> bool:
        """Whether the values are the class numbers of a label map."""
        return self.mark is not None and isinstance(self.mark.record, dict) and CLASSES in self.mark.record


def examine_picture(path: Path, name: str, maker: Maker) -> Finding:
    """Examine a PNG, TIFF or JPEG of any origin; the arguments are those of `verify_dicom.examine_dicom`."""
    return _examine(path, name, maker, FORMAT_NAMES[path.suffix.lower()], _read_picture)


def examine_nifti(path: Path, name: str, maker: Maker) -> Finding:
    """Examine a NIfTI file of any origin; the arguments are those of `verify_dicom.examine_dicom`."""
    return _examine(path, name, maker, "NIfTI", _read_nifti)


def examine_npy(path: Path, name: str, maker: Maker) -> Finding:
    """Examine an NPY file and the mark beside it; the arguments are those of `verify_dicom.examine_dicom`."""
    return _examine(path, name, maker, "NPY", _read_npy)


def examine_mark(path: Path, name: str, maker: Maker) -> Finding:
    """Examine the mark of an NPY file that is not there; the arguments are those of `verify_dicom.examine_dicom`."""
    return Finding(name, False, "NPY", faults=("the array that it belongs to is missing",))


def _examine(path: Path, name: str, maker: Maker, expected: str, read: Callable[[Path], _Content]) -> Finding:
    try:
        with reading_sandbox((path,)):
            content = read(path)
            mark = content.mark
            told = None if mark is None else mark.pixels_sha256
            is_kept = None if told is None else hash_pixels(content.stored) == told
    except UnusableImage as error:
        return Finding(name, False, expected, faults=(str(error),))
    about = {"file": name, "format": content.format, "signature": content.signature, **describe_mark(mark)}
    if mark is None:
        return Finding(**about, faults=content.faults)
    faults = content.faults
    if mark.software.startswith(OURS) and mark.says_synthetic and not mark.record:
        faults += ("the record of how it was made is missing",)
    try:
        compare = maker.compare_labels if content.are_labels else maker.compare_shown
        again, difference = compare(mark.record, content.show)
    except UnusableImage as error:
        again, difference, faults = NO_IMAGE, None, (*faults, str(error))
    return Finding(
        **about,
        pixels="unknown" if is_kept is None else "as written" if is_kept else "changed",
        again=again,
        difference=difference,
        geometry=NO_IMAGE if difference is None else _compare_spacing(content.spacing, maker.get_spacing()),
        faults=faults,
    )


def _read_picture(path: Path) -> _Content:
    with Pillow.open(path, formats=PICTURE_FORMATS) as picture:
        mark = read_picture_mark(picture)
        stored = np.asarray(picture)
        faults = find_picture_faults(picture, mark)
        form = str(picture.format)
    signature, contradictions = _check_credentials(path, mark)
    faults += contradictions
    content = _Content(form, mark, stored, faults, lambda kind, image: Image(_scale(stored)), signature=signature)
    if content.are_labels:
        return content._replace(show=lambda kind, image: Image(stored.astype(np.float32)))
    return content


def _scale(stored: NDArray[Any]) -> NDArray[np.float32]:
    """Grey values in [0, 1] of stored ones."""
    largest = np.iinfo(stored.dtype).max if np.issubdtype(stored.dtype, np.integer) else 1
    return stored.astype(np.float32) / np.float32(largest)


def _check_credentials(path: Path, mark: Mark | None) -> tuple[str, tuple[str, ...]]:
    """What `Finding.signature` says of a picture, and contradictions between its manifest and its mark."""
    content = path.read_bytes()
    if not has_credentials(content):
        return NO_SIGNATURE, ()
    if not is_installed():
        return UNCHECKED, ()
    found = read_credentials(content, path.suffix)
    if found is None:
        return NO_SIGNATURE, ()
    told = f"{INVALID}: {', '.join(found.problems)}" if found.problems else f"valid, by {found.signer}"
    differs = mark is not None and found.source not in ("", mark.source)
    return told, ("the C2PA manifest and the XMP name different sources",) if differs else ()


def _read_nifti(path: Path) -> _Content:
    mark, stored, faults = nifti.read_mark(path)

    def show(kind: Modality, image: Image) -> Image:
        with reading_sandbox((path,)):
            found = reorient_volume(*nifti.read_label_map(path)) if content.are_labels else nifti.read_nifti(path)
        return Image(found.voxels, found.spacing)

    content = _Content("NIfTI", mark, stored, faults, show, None if mark is None else nifti.read_spacing(path))
    return content


def _read_npy(path: Path) -> _Content:
    stored = np.load(path, allow_pickle=False)
    mark = npy.read_npy_mark(path)
    lacking = () if mark is not None else (f"{npy.get_mark_file(path).name} is missing or cannot be read",)

    def show(kind: Modality, image: Image) -> Image:
        values = stored.astype(np.float32)
        if content.are_labels:
            return Image(kind.show_map(values[None], image)[0])
        return kind.denormalise(image.copy_with(pixels=values))

    content = _Content("NPY", mark, stored, lacking, show)
    return content


def _compare_spacing(found: tuple[float, ...] | None, expected: tuple[float, ...] | None) -> str:
    """What `Finding.geometry` says of a format that has a spacing."""
    if found is None or expected is None:
        return NO_IMAGE if found is None else "unknown"
    same = len(found) == len(expected) and np.allclose(found, expected, rtol=ROUNDING, atol=ROUNDING)
    return "equal" if same else "different (spacing)"
