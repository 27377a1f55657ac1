"""Files of images that a model has derived from a real one: reconstructions and translations show a real patient."""

from pathlib import Path
from typing import Any

from ganatomy.imaging import nifti
from ganatomy.imaging.image import Image
from ganatomy.imaging.marking import mark_derived
from ganatomy.imaging.pictures import convert_to_uint16, save_png


def write_derived_image(stem: Path, shown: Image, record: dict[str, Any], shows_patients: bool) -> Path:
    """Write a 2D image as PNG of 16 bits or a volume as NIfTI, with its provenance in the file.

    Args:
        stem: path without the suffix of the format.
        shown: as displayed or in the modality's units, canonically oriented.
        record: how it was made.
        shows_patients: whether the image that it is derived from may be of a real patient.

    Returns:
        The path of the file.
    """
    mark = mark_derived(record, shows_patients)
    if shown.pixels.ndim == 2:
        path = stem.with_name(f"{stem.name}.png")
        save_png(convert_to_uint16(shown.pixels), path, mark)
        return path
    path = stem.with_name(f"{stem.name}.nii.gz")
    nifti.write_nifti(path, shown.pixels, shown.spacing or (1.0,) * shown.pixels.ndim, mark)
    return path
