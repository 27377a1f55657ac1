"""Reading of the marks by which a file says how its image came about, in every format, of any origin."""

from pathlib import Path
from typing import Any

from PIL import Image as Pillow

from ganatomy.dicom.check import is_marked_synthetic
from ganatomy.dicom.read import is_dicom, read_header
from ganatomy.imaging import nifti
from ganatomy.imaging.marking import SYNTHETIC_COMMENT, TRAINED, Mark, parse_record
from ganatomy.imaging.xmp import read_packet
from ganatomy.modalities.pictures import PICTURE_FORMATS, PICTURE_SUFFIXES


def says_synthetic(path: Path) -> bool:
    """Return whether a file says that it shows no patient.

    DICOM says so by Synthetic Data (0008,001C), pictures by the Digital Source Type of their XMP, NIfTI by the words
    of this package.

    Raises:
        UnusableImage, OSError: the file cannot be read.
    """
    if nifti.is_nifti(path):
        return nifti.is_marked_synthetic(path)
    if is_dicom(path):
        return is_marked_synthetic(read_header(path, ("SyntheticData",)))
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        return False
    with Pillow.open(path, formats=PICTURE_FORMATS) as picture:
        mark = read_picture_mark(picture)
    return mark is not None and mark.says_synthetic


def find_picture_faults(picture: Pillow.Image, mark: Mark | None) -> tuple[str, ...]:
    """Find contradictions between the mark of an open picture and the text fields of a PNG."""
    if mark is None:
        return ()
    faults = []
    if picture.info.get("Comment", mark.comment) != mark.comment:
        faults.append("the text field Comment and the XMP say different things")
    if "Provenance" in picture.info and parse_record(str(picture.info["Provenance"])) != mark.record:
        faults.append("the text field Provenance and the XMP hold different records")
    return tuple(faults)


def read_picture_mark(picture: Pillow.Image) -> Mark | None:
    """Read the mark of an open picture: its XMP, or the text fields of a PNG of version 0.1.0; None if it has none."""
    info: dict[Any, Any] = picture.info
    packet = info.get("xmp")
    if isinstance(packet, (bytes, str)) and (found := read_packet(packet)) is not None:
        return found
    comment = info.get("Comment")
    if not isinstance(comment, str) or not comment.startswith(SYNTHETIC_COMMENT):
        return None
    return Mark(TRAINED, comment, False, parse_record(str(info.get("Provenance", "{}"))))
