"""Does a file say that it shows no patient? Phantoms and samples of ours do, and so do those of others in DICOM."""

from pathlib import Path

from PIL import Image as Pillow

from ganatomy.dicom.check import is_marked_synthetic
from ganatomy.dicom.read import is_dicom, read_header
from ganatomy.dicom.write import SYNTHETIC_COMMENT
from ganatomy.imaging import nifti
from ganatomy.modalities.pictures import PICTURE_FORMATS, PICTURE_SUFFIXES


def says_synthetic(path: Path) -> bool:
    """Whether a file that can be read is marked: Synthetic Data (0008,001C) of DICOM, or the words that we write.

    Raises:
        UnusableImage, OSError: it cannot be read.
    """
    if nifti.is_nifti(path):
        return nifti.is_marked_synthetic(path)
    if is_dicom(path):
        return is_marked_synthetic(read_header(path, ("SyntheticData",)))
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        return False
    with Pillow.open(path, formats=PICTURE_FORMATS) as picture:
        return bool(picture.info.get("Comment") == SYNTHETIC_COMMENT)
