"""Secondary Capture: pictures without the semantics of their modality, where the real object is refused (PS3.3 A.8).

There is no view code, no plane position: nothing hangs or reslices by it. Values keep their unit and their window.
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
    """One picture.

    Args:
        pixels: stored values, below 2^bits.
        number: Instance Number.
        series: what tells the series of the study apart.
        spacing: millimetres between rows and columns; None = not known, and not written.
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
