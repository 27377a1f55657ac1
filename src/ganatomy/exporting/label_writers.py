"""Writers of the label maps of samples, beside their images; all of them mark the map as synthetic."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.dicom.instances import get_spacing
from ganatomy.errors import Refused
from ganatomy.exporting.signing import SigningWriter
from ganatomy.exporting.writers import make_file_stem
from ganatomy.imaging import nifti
from ganatomy.imaging.image import Image
from ganatomy.imaging.marking import CLASSES, Mark, mark_synthetic
from ganatomy.imaging.npy import write_npy
from ganatomy.imaging.pictures import save_png
from ganatomy.machine.signing_key import SigningKey
from ganatomy.modalities.modality import SampleWriter

ENDING = "_labels"  # of the file's name, behind that of the image


class PngLabelWriter:
    """Writes class numbers as 8-bit grey PNG files, oriented as displayed."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        file = f"{make_file_stem(record)}{ENDING}.png"
        save_png(_get_labels(shown), self.out / file, _mark_labels(record, shown))
        return file


class NpyLabelWriter:
    """Writes class numbers as uint8, canonically oriented, with the mark in a file beside it."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        file = f"{make_file_stem(record)}{ENDING}.npy"
        write_npy(self.out / file, _get_labels(image), _mark_labels(record, image), np.uint8)
        return file


class NiftiLabelWriter:
    """Writes NIfTI label maps as uint8, whose header says that they are labels."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        file = f"{make_file_stem(record)}{ENDING}.nii.gz"
        mark = _mark_labels(record, shown)
        nifti.write_nifti(self.out / file, _get_labels(shown), get_spacing(shown, "NIfTI"), mark, are_labels=True)
        return file


WRITERS: dict[str, Callable[[Path], SampleWriter]] = {
    "png": PngLabelWriter,
    "npy": NpyLabelWriter,
    "nifti": NiftiLabelWriter,
}


def make_label_writer(to: str, out: Path, key: SigningKey | None = None) -> SampleWriter:
    """Make the writer of label maps beside images of a format; with a key, what it writes is signed.

    Raises:
        Refused: label maps are not written beside images of this format.
    """
    if to not in WRITERS:
        raise Refused(
            f"--to {to}: the samples have label maps, which are not written beside {to}; give --to nifti or npy for"
            " volumes, --to png or npy for pictures."
        )
    writer = WRITERS[to](out)
    return writer if key is None else SigningWriter(writer, out, key)


def _get_labels(image: Image) -> NDArray[np.uint8]:
    labels = image.labels
    assert labels is not None, "an image without a label map has no file of it"
    return labels


def _mark_labels(record: dict[str, Any], image: Image) -> Mark:
    """The mark of a label map: that of its image, with the classes by number."""
    return mark_synthetic({**record, CLASSES: list(image.classes)})
