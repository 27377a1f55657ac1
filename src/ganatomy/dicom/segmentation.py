"""Reading of DICOM segmentations as masks of a series (PS3.3 A.51, C.8.20).

A segmentation stores frames only where a segment has voxels, and its segments may overlap. Its frames are placed by
their Image Position and Image Orientation (Patient), and it belongs to a series of its patient and frame of reference.
"""

import warnings
from pathlib import Path

import highdicom
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import SegmentationStorage

from ganatomy.dicom import pixels, read
from ganatomy.imaging.image import UnusableImage
from ganatomy.imaging.orientation import Affine

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
BINARY = "BINARY"  # Segmentation Type (0062,0001)
COMPARED = ("PatientID", "IssuerOfPatientID", "FrameOfReferenceUID")


def read_segments(path: Path, series: Path) -> tuple[NDArray[np.int32], Affine]:
    """Read the numbers of the segments at each voxel of a segmentation.

    Args:
        path: the segmentation.
        series: an instance of the series that it has to belong to.

    Returns:
        Segment numbers (layers, slices, rows, columns), zero where there is none; there are several layers where
        segments overlap, and each layer holds one number at a voxel. And the matrix from the indices of slices, rows
        and columns to mm (R, A, S). Slices at the ends of the series in which no segment has a voxel may be absent.

    Raises:
        UnusableImage: the file is no binary segmentation, belongs to another patient or frame of reference, or its
            frames do not lie on one regular grid.
    """
    ds = read.read_instance(path)
    if read.get_text(ds, "SOPClassUID") != SegmentationStorage:
        raise UnusableImage("mask is no label map", f"{path.name} is DICOM, but not Segmentation Storage")
    if (kind := read.get_text(ds, "SegmentationType")) != BINARY:
        raise UnusableImage(
            "mask is no label map", f"Segmentation Type of {path.name} is {kind or 'absent'}; {BINARY} is needed"
        )
    _check_reference(ds, read.read_header(series, COMPARED), path.name)
    pixels.decompress_pixels(ds)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _place_segments(highdicom.seg.Segmentation.from_dataset(ds, copy=False))
    except Exception as error:  # highdicom reports irregular instances by errors of many kinds
        raise UnusableImage(
            "frames are not one regular volume", f"{path.name}: {read.describe_error(error)}"
        ) from error


def _check_reference(ds: Dataset, image: Dataset, name: str) -> None:
    """Check that a segmentation has the patient and the frame of reference of an image.

    Raises:
        UnusableImage: it has not. The message names no identifier.
    """
    patients, issuers, frames = ((read.get_text(ds, what), read.get_text(image, what)) for what in COMPARED)
    if patients[0] != patients[1] or (all(issuers) and issuers[0] != issuers[1]):
        raise UnusableImage("mask of another patient", f"Patient ID of {name} is not that of the image")
    if frames[0] != frames[1]:
        raise UnusableImage(
            "mask of another frame of reference", f"Frame of Reference UID of {name} is not that of the image"
        )


def _place_segments(segmentation: highdicom.seg.Segmentation) -> tuple[NDArray[np.int32], Affine]:
    """Place the segments one after another, each on the first layer on which no other one lies."""
    layers, affine = list[NDArray[np.int32]](), np.eye(4)
    for number in segmentation.segment_numbers:
        volume = segmentation.get_volume(segment_numbers=[number], combine_segments=False, dtype=np.uint8)
        inside, affine = np.asarray(volume.array)[..., 0] != 0, np.asarray(volume.affine, dtype=np.float64)
        for layer in layers:
            if not layer[inside].any():
                break
        else:
            layer = np.zeros(inside.shape, dtype=np.int32)
            layers.append(layer)
        layer[inside] = number
    return np.stack(layers), LPS_TO_RAS @ affine
