"""Classic CT and MR series of a volume, one file a slice (PS3.3 A.3, A.4, C.8.2.1, C.8.3.1)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ganatomy.dicom import write
from ganatomy.dicom.volume_class import BITS, CT, VolumeClass, origin


def instances(
    volume: NDArray[np.float32],
    spacing: tuple[float, ...],
    kind: VolumeClass,
    subject: write.Subject,
    record: dict[str, Any],
) -> Iterator[Dataset]:
    """The slices of a volume, from the feet upwards.

    Args:
        volume: (S, P, L) axes; HU for CT, [0, 1] for MR.
        spacing: millimetres between slices, rows and columns.
        record: provenance; every slice carries it.

    Raises:
        ValueError: the spacing is not three numbers above zero.
    """
    if len(spacing) != 3 or min(spacing) <= 0:
        raise ValueError(f"a series needs three spacings above zero, got {spacing}")
    between, between_rows, between_columns = (write.decimal(s) for s in spacing)
    left, back, up = origin(volume.shape, spacing)
    for number, pixels in enumerate(kind.stored(volume)):
        ds = write.dataset(kind.classic, kind.modality, subject, (kind.modality,), number + 1, record, pixels)
        write.described(ds, subject, kind.words, kind.words)
        ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL" if kind is CT else "OTHER"]
        ds.PatientPosition = "HFS"
        ds.BodyPartExamined = kind.body[0]
        ds.SeriesNumber, ds.AcquisitionNumber = 1, 1
        ds.ImagePositionPatient = [write.decimal(v) for v in (left, back, up + number * spacing[0])]
        ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        ds.SliceLocation = ds.ImagePositionPatient[2]
        ds.SliceThickness = ds.SpacingBetweenSlices = between
        ds.PixelSpacing = [between_rows, between_columns]
        ds.FrameOfReferenceUID = write.uid("frame of reference", ds.SeriesInstanceUID)
        ds.PositionReferenceIndicator = ""
        write.add_pixels(ds, pixels, BITS)
        kind.window(ds)
        (_ct if kind is CT else _mr)(ds)
        yield write.checked(ds)


def _ct(ds: Dataset) -> None:
    CT.rescale(ds)
    ds.KVP = None


def _mr(ds: Dataset) -> None:
    """Research mode, no sequence: nothing was acquired (PS3.3 C.8.3.1)."""
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "RM", "NONE", "", "3D"
    ds.RepetitionTime = ds.EchoTime = ds.EchoTrainLength = None
