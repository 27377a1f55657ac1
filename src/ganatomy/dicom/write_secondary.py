"""Secondary Capture: pictures without their modality's attributes, for archives that refuse its objects (PS3.3 A.8).

There is no view code and no plane position, so viewers cannot apply a hanging protocol or reslice. Values keep their
unit and their window.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ganatomy.dicom import write

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def make_secondary_capture(
    pixels: NDArray[np.uint16],
    bits: int,
    number: int,
    series: tuple[str, ...],
    subject: write.Subject,
    record: dict[str, Any],
    spacing: tuple[float, float] | None,
) -> Dataset:
    """Make the Secondary Capture of one picture.

    Args:
        pixels: stored values, below 2^bits.
        number: Instance Number.
        series: identifies a series of the study.
        spacing: millimetres between rows and columns; None = unknown and not written.
    """
    ds = write.make_dataset(SECONDARY_CAPTURE, "OT", subject, ("secondary capture", *series), number, record, pixels)
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.ConversionType = "SYN"  # synthetic image (PS3.3 C.8.6.1)
    ds.SecondaryCaptureDeviceManufacturer = ds.Manufacturer
    ds.SecondaryCaptureDeviceManufacturerModelName = ds.ManufacturerModelName
    ds.SecondaryCaptureDeviceSoftwareVersions = ds.SoftwareVersions
    if spacing is not None:
        ds.NominalScannedPixelSpacing = [write.format_decimal(s) for s in spacing]
    write.add_pixels(ds, pixels, bits)
    return ds
