"""Reading and writing of NIfTI files, without torch."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from ganatomy.imaging.image import UnusableImage
from ganatomy.imaging.orientation import convert_to_ras, reorient_volume
from ganatomy.machine.durable import new_file

NIFTI_SUFFIXES = (".nii", ".nii.gz")
HEADER_DESCRIPTION = "SYNTHETIC - not a patient - not for diagnosis"  # 79 characters fit
COMMENT_EXTENSION = "comment"  # code of the header extension that holds the provenance


def is_nifti(path: Path) -> bool:
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def read_nifti(path: Path) -> tuple[NDArray[np.float32], tuple[float, ...], float]:
    """A volume in canonical orientation with the header's scaling applied, its spacing, and how oblique it was.

    Raises:
        Unusable: unreadable, not one volume, not finite, or without a usable orientation.
    """
    try:
        image: Any = nib.load(path)
        shape = tuple(int(n) for n in image.shape)
        if len(shape) == 4 and shape[3] != 1:
            raise UnusableImage(
                "4D NIfTI", f"{shape[3]} volumes where one is expected; split the file into its volumes"
            )
        if len(shape) not in (3, 4):
            raise UnusableImage("not a volume", f"{len(shape)} axes")
        header = image.header
        if not int(header.get("sform_code", 1)) and not int(header.get("qform_code", 1)):
            raise UnusableImage("no orientation", "neither sform nor qform is set in the header")
        voxels = np.asarray(image.dataobj, dtype=np.float32).reshape(shape[:3])
    except UnusableImage:
        raise
    except Exception as error:  # what a broken file makes of a reader is not to be foreseen
        first = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise UnusableImage("not readable as NIfTI", first) from error
    if wrong := int((~np.isfinite(voxels)).sum()):
        raise UnusableImage("values are not finite", f"{wrong} voxels")
    return reorient_volume(voxels, image.affine)


def write_nifti(path: Path, volume: NDArray[Any], spacing: tuple[float, ...], provenance: dict[str, Any]) -> None:
    """A canonical volume with its spacing, upright in any viewer; says that it is synthetic and how it was made.

    Args:
        volume: (S, P, L) axes; int16 or float32.
        record: provenance, kept as JSON in a header extension.
    """
    voxels, affine = convert_to_ras(volume, spacing)
    image = nib.Nifti1Image(voxels, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = HEADER_DESCRIPTION.encode()
    image.header.extensions.append(nib.nifti1.Nifti1Extension(COMMENT_EXTENSION, json.dumps(provenance).encode()))
    with new_file(path) as temporary:
        file = temporary.with_name(f"{temporary.name}{''.join(path.suffixes[-2:])}")
        nib.save(image, file)
        file.replace(temporary)
