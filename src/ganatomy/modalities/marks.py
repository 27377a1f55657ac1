"""Marks by which a file says that it shows no patient: those of DICOM, and those of phantoms and samples made here."""

from pathlib import Path

from PIL import Image as Pillow

from ganatomy.dicom.check import is_marked_synthetic
from ganatomy.dicom.read import is_dicom, read_header
from ganatomy.dicom.write import SYNTHETIC_COMMENT
from ganatomy.imaging import nifti
from ganatomy.modalities.pictures import PICTURE_FORMATS, PICTURE_SUFFIXES


def says_synthetic(path: Path) -> bool:
    """Return whether a file is marked as synthetic, by Synthetic Data (0008,001C) of DICOM or by this package's words.

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
        return bool(picture.info.get("Comment") == SYNTHETIC_COMMENT)
