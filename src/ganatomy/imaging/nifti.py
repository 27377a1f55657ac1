"""Reading and writing of NIfTI files, without torch."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from ganatomy.imaging.image import Doubt, UnusableImage
from ganatomy.imaging.marking import Mark, mark_derived, mark_synthetic, parse_document, parse_record
from ganatomy.imaging.orientation import Affine, OrientedVolume, convert_to_ras, reorient_volume
from ganatomy.machine.durable import new_file

COMPRESSED_SUFFIX = ".gz"
NIFTI_SUFFIXES = (".nii", f".nii{COMPRESSED_SUFFIX}")
COMPRESSION_LEVEL = 1  # of gzip; higher ones take several times as long for a few per cent
SNIFFED_BYTES = 540  # of a NIfTI-2 header, the longest
SYNTHETIC = b"SYNTHETIC"  # begins the description of what we write
HEADER_DESCRIPTION = f"{SYNTHETIC.decode()} - not a patient - not for diagnosis"  # 79 characters fit
PATIENT_DESCRIPTION = "DERIVED by a model from an image of a real patient - not for diagnosis"
MILLIMETRES = {"mm": 1.0, "meter": 1000.0, "micron": 0.001}  # of the units of NIfTI-1, by nibabel's names
PLAUSIBLE_VOXEL_MM = (0.02, 25.0)  # edges of voxels of clinical and small-animal scanners
LABEL_INTENT = 1002  # NIFTI_INTENT_LABEL
STATISTIC_INTENTS = range(2, 25)  # NIFTI_FIRST_STATCODE to NIFTI_LAST_STATCODE
OTHER_INTENTS = (1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010)  # names, matrices, displacements, vectors, points
COMMENT_EXTENSION = "comment"  # code of the header extension that holds the provenance


def is_nifti(path: Path) -> bool:
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def read_nifti(path: Path) -> OrientedVolume:
    """Read a volume with the header's scaling applied and reorient it to S, P, L axes.

    Raises:
        UnusableImage: the file is unreadable, is not one volume of an image's values, has values that are not finite,
            or has no usable orientation.
    """
    return reorient_volume(*_read_voxels(path, _check_meaning))


def read_label_map(path: Path) -> tuple[NDArray[np.int32], Affine]:
    """Read a map of whole numbers with the axes of its file, and the matrix from its indices to mm (R, A, S).

    Raises:
        UnusableImage: as `read_nifti`, or the values are not whole numbers.
    """
    voxels, affine = _read_voxels(path, lambda header: None)
    values = voxels.astype(np.int32)
    if (values != voxels).any():
        raise UnusableImage("mask is no label map", f"{path.name} has values that are not whole numbers")
    return values, affine


def _read_voxels(path: Path, check_meaning: Callable[[Any], None]) -> tuple[NDArray[np.float32], Affine]:
    try:
        image = _load(path)
        shape = tuple(int(n) for n in image.shape)
        if len(shape) == 4 and shape[3] != 1:
            raise UnusableImage(
                "4D NIfTI", f"{shape[3]} volumes where one is expected; split the file into its volumes"
            )
        if len(shape) not in (3, 4):
            raise UnusableImage("not a volume", f"{len(shape)} axes")
        header = image.header
        check_meaning(header)
        if not int(header.get("sform_code", 1)) and not int(header.get("qform_code", 1)):
            raise UnusableImage("no orientation", "neither sform nor qform is set in the header")
        voxels = np.asarray(image.dataobj, dtype=np.float32).reshape(shape[:3])
    except UnusableImage:
        raise
    except Exception as error:  # what a broken file makes of a reader is not to be foreseen
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnusableImage("not readable as NIfTI", first) from error
    if wrong := int((~np.isfinite(voxels)).sum()):
        raise UnusableImage("values are not finite", f"{wrong} voxels; fill them with the background's value")
    affine = np.array(image.affine, dtype=np.float64)
    affine[:3] *= _find_millimetres(header, affine)
    return voxels, affine


def _load(path: Path, header_only: bool = False) -> Any:
    """Load the image of a file. A compressed file is read to its end, which contains length and checksum (RFC 1952).

    Raises:
        OSError, EOFError: the checksum is wrong, or the file is cut short.
        ImageFileError: the file is not NIfTI.
    """
    if header_only or not path.name.lower().endswith(COMPRESSED_SUFFIX):
        return nib.load(path)
    with gzip.open(path) as file:
        content = file.read()
    kinds = (nib.Nifti1Image, nib.Nifti2Image)
    kind = next((one for one in kinds if one.header_class.may_contain_header(content[:SNIFFED_BYTES])), None)
    if kind is None:
        raise ImageFileError("the file holds no NIfTI header")
    return kind.from_bytes(content)


def find_nifti_doubts(path: Path) -> tuple[Doubt, ...]:
    """Find doubts about the header of a file that `read_nifti` reads."""
    image = _load(path, header_only=True)
    unit, sizes = _find_unit(image.header), _measure_voxels(image.affine)
    if MILLIMETRES[unit] == 1:
        return ()
    if _find_millimetres(image.header, image.affine) == 1:
        words = (
            f"voxels of {_format_sizes(sizes)}, which makes no sense in the unit that is said; millimetres were taken"
        )
    else:
        words = f"voxels of {_format_sizes(sizes)} were converted to {_format_sizes(sizes * MILLIMETRES[unit])} mm"
    return (Doubt(f"unit is {unit}", words),)


def is_marked_synthetic(path: Path) -> bool:
    """Return whether the header says that the volume shows no patient: by its mark, or else by its description."""
    header = _load(path, header_only=True).header
    mark = find_mark(header)
    return mark.says_synthetic if mark is not None else _is_described_synthetic(header)


def read_mark(path: Path) -> tuple[Mark | None, NDArray[Any], tuple[str, ...]]:
    """Read the mark of a file, its values as they are stored, and contradictions between mark and description.

    Raises:
        OSError, EOFError, ImageFileError: the file cannot be read.
    """
    image = _load(path)
    mark = find_mark(image.header)
    proxy = image.dataobj
    stored = np.asarray(proxy.get_unscaled() if hasattr(proxy, "get_unscaled") else proxy)
    if mark is None or mark.says_synthetic == _is_described_synthetic(image.header):
        return mark, stored, ()
    return mark, stored, ("the description and the header extension contradict each other",)


def read_spacing(path: Path) -> tuple[float, ...]:
    """Read the millimetres between voxels along the axes S, P, L.

    Raises:
        OSError, ImageFileError: the file cannot be read.
    """
    image = _load(path, header_only=True)
    sizes = _measure_voxels(image.affine) * _find_millimetres(image.header, image.affine)
    axes = nib.orientations.io_orientation(image.affine)[:, 0]  # of the body (R, A, S) for each axis of the file
    return tuple(float(sizes[list(axes).index(axis)]) for axis in (2, 1, 0))


def find_mark(header: Any) -> Mark | None:
    """Find the mark in the header extensions; None if there is none.

    Version 0.1.0 wrote the record alone, and called images that it derived from those of patients SYNTHETIC as well;
    their records name no generator.
    """
    for extension in getattr(header, "extensions", ()):
        found = parse_record(_decode(extension.get_content()))
        if (mark := parse_document(found)) is not None:
            return mark
        if found and _is_described_synthetic(header):
            is_sample = isinstance(found, dict) and "generator" in found
            return replace(mark_synthetic(found) if is_sample else mark_derived(found, True), software="ganatomy 0.1.0")
    return None


def _decode(content: Any) -> str:
    return content.rstrip(b"\0").decode("utf-8", "replace") if isinstance(content, bytes) else ""


def _is_described_synthetic(header: Any) -> bool:
    return "descrip" in header and bytes(header["descrip"].item()).startswith(SYNTHETIC)


def _check_meaning(header: Any) -> None:
    """Whether the values are those of one image.

    Raises:
        UnusableImage: they are complex, or the intent code says labels, vectors or statistics.
    """
    if np.issubdtype(header.get_data_dtype(), np.complexfloating):
        raise UnusableImage("complex values", "store the magnitude of the volume")
    code = int(header.get("intent_code", 0))
    if code == LABEL_INTENT:
        raise UnusableImage("label map", "the intent code of the header says labels")
    if code in STATISTIC_INTENTS or code in OTHER_INTENTS:
        name = header.get_intent()[0]
        raise UnusableImage("not an image", f"the intent code of the header is {code} ({name})")


def _find_unit(header: Any) -> str:
    """Unit of lengths by the NIfTI-1 header (xyzt_units); millimetres where it is not said."""
    try:
        found = str(header.get_xyzt_units()[0])
    except (AttributeError, KeyError):  # another format, or a code that NIfTI-1 does not know
        return "mm"
    return found if found in MILLIMETRES else "mm"


def _find_millimetres(header: Any, affine: NDArray[np.float64]) -> float:
    """Millimetres of the header's unit; 1 where voxels make sense in millimetres only, whatever is said."""
    factor, sizes = MILLIMETRES[_find_unit(header)], _measure_voxels(affine)
    return 1.0 if _are_plausible(sizes) and not _are_plausible(sizes * factor) else factor


def _measure_voxels(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.linalg.norm(np.asarray(affine, dtype=np.float64)[:3, :3], axis=0)


def _are_plausible(sizes: NDArray[np.float64]) -> bool:
    low, high = PLAUSIBLE_VOXEL_MM
    return bool(low <= sizes.min() and sizes.max() <= high)


def _format_sizes(sizes: NDArray[np.float64]) -> str:
    return " x ".join(f"{size:.4g}" for size in sizes)


def write_nifti(
    path: Path, volume: NDArray[Any], spacing: tuple[float, ...], mark: Mark, are_labels: bool = False
) -> None:
    """Write a volume of ours as NIfTI. The header says whether it is synthetic and how it was made.

    Args:
        path: the file; it is compressed if its name says so.
        volume: the volume with (S, P, L) axes, int16, uint8 or float32.
        spacing: millimetres between voxel centres along each axis.
        mark: what the volume is and how it was made, kept as JSON in a header extension.
        are_labels: whether the values are class numbers, which the intent code says.
    """
    voxels, affine = convert_to_ras(volume, spacing)
    image = nib.Nifti1Image(voxels, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm")
    if are_labels:
        image.header.set_intent("label")
    image.header["descrip"] = (PATIENT_DESCRIPTION if mark.shows_patients else HEADER_DESCRIPTION).encode()
    document = json.dumps(mark.make_document(voxels)).encode()
    image.header.extensions.append(nib.nifti1.Nifti1Extension(COMMENT_EXTENSION, document))
    with new_file(path) as temporary, temporary.open("wb") as file:
        if path.name.endswith(COMPRESSED_SUFFIX):
            with gzip.GzipFile("", "wb", COMPRESSION_LEVEL, file, mtime=0) as packed:  # no name, no time: equal bytes
                image.to_stream(packed)
        else:
            image.to_stream(file)
