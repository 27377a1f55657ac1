"""Classic CT and MR series of a volume with one file per slice (PS3.3 A.3, A.4, C.8.2.1, C.8.3.1)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ganatomy.dicom import write
from ganatomy.dicom.volume_class import VOLUME_BITS, VolumeClass, compute_origin


def make_series_instances(
    volume: NDArray[np.float32],
    spacing: tuple[float, ...],
    volume_class: VolumeClass,
    subject: write.Subject,
    record: dict[str, Any],
) -> Iterator[Dataset]:
    """Make the slices of a volume, from the feet upwards.

    Args:
        volume: (S, P, L) axes; HU for CT, [0, 1] for MR.
        spacing: millimetres between slices, rows and columns.
        record: provenance, carried by every slice.

    Raises:
        ValueError: the spacing does not consist of three numbers above zero.
    """
    if len(spacing) != 3 or min(spacing) <= 0:
        raise ValueError(f"a series needs three spacings above zero, got {spacing}")
    between, between_rows, between_columns = (write.format_decimal(s) for s in spacing)
    left, back, up = compute_origin(volume.shape, spacing)
    for number, pixels in enumerate(volume_class.quantise_volume(volume)):
        ds = write.make_dataset(
            volume_class.classic, volume_class.modality, subject, (volume_class.modality,), number + 1, record, pixels
        )
        write.add_descriptions(ds, subject, volume_class.description, volume_class.description)
        ds.ImageType = ["DERIVED", "SECONDARY", volume_class.image_type]
        ds.PatientPosition = "HFS"
        ds.BodyPartExamined = volume_class.body_part[0]
        ds.SeriesNumber, ds.AcquisitionNumber = 1, 1
        ds.ImagePositionPatient = [write.format_decimal(v) for v in (left, back, up + number * spacing[0])]
        ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        ds.SliceLocation = ds.ImagePositionPatient[2]
        ds.SliceThickness = ds.SpacingBetweenSlices = between
        ds.PixelSpacing = [between_rows, between_columns]
        ds.FrameOfReferenceUID = write.make_uid("frame of reference", ds.SeriesInstanceUID)
        ds.PositionReferenceIndicator = ""
        write.add_pixels(ds, pixels, VOLUME_BITS)
        volume_class.add_window(ds)
        volume_class.add_slice_attributes(ds)
        yield write.check_dataset(ds)
