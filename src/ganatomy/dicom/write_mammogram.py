"""Digital Mammography X-Ray Image - For Presentation, as hung (PS3.3 A.26, C.8.11.7).

VOI LUT Function is left out: absent means LINEAR, and a widely used viewer shows black when it is present.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sequence import Sequence

from ganatomy.dicom import write
from ganatomy.dicom.check import ORIENTATION
from ganatomy.dicom.mammogram import FOR_PRESENTATION

BITS = 12
VIEW_CODES = {"CC": ("399162004", "SCT", "cranio-caudal"), "MLO": ("399368009", "SCT", "medio-lateral oblique")}
ORDER = tuple(ORIENTATION)  # series numbers of a study
NOT_ONE_WOMAN = " Views of this study were drawn apart: they are not one woman's."


def stored(pixels: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Grey values in [0, 1] as they are stored."""
    return np.round(np.clip(pixels, 0, 1) * (2**BITS - 1)).astype(np.uint16)


def instance(
    pixels: NDArray[np.float32],
    spacing: tuple[float, ...],
    view: str,
    laterality: str,
    subject: write.Subject,
    record: dict[str, Any],
    drawn_apart: bool = True,
) -> Dataset:
    """One view: a valid instance, or an error that says why not.

    Args:
        pixels: (rows, columns) in [0, 1], as hung (`check.ORIENTATION`), background 0.
        spacing: millimetres at the detector, rows and columns.
        drawn_apart: the study's views come from independent draws, which the comments then say.
    """
    if (laterality, view) not in ORIENTATION:
        raise ValueError(f"laterality and view must be of {ORDER}, got {(laterality, view)}")
    if len(spacing) != 2 or min(spacing) <= 0:
        raise ValueError(f"Imager Pixel Spacing needs two positive numbers, got {spacing}")
    values = stored(pixels)
    ds = write.dataset(FOR_PRESENTATION, "MG", subject, (laterality, view), 1, record, values)
    _titled(ds, view, laterality, subject, drawn_apart)
    ds.AcquisitionNumber = ds.SeriesNumber
    ds.ImageType = ["DERIVED", "PRIMARY", ""]  # the third value is there and empty (PS3.3 C.8.11.7.1.4)
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.AnatomicRegionSequence = Sequence([write.code("76752008", "SCT", "Breast")])
    ds.OrganExposed = "BREAST"
    _positioning(ds, view, laterality)
    ds.ImagerPixelSpacing = [write.decimal(s) for s in spacing]
    ds.DetectorType = ""
    write.add_pixels(ds, values, BITS)
    ds.add_new("PixelPaddingValue", "US", 0)
    _presentation(ds)
    return write.checked(ds)


def captured(ds: Dataset, view: str, laterality: str, subject: write.Subject) -> None:
    """What a Secondary Capture of a view can say of it: words, side, and the direction of rows and columns."""
    _titled(ds, view, laterality, subject, drawn_apart=True)
    ds.Laterality = laterality
    ds.PatientOrientation = list(ORIENTATION[laterality, view])
    write.checked(ds)


def _titled(ds: Dataset, view: str, laterality: str, subject: write.Subject, drawn_apart: bool) -> None:
    write.described(ds, subject, "screening mammography", f"{laterality} {view}")
    ds.SeriesNumber = ORDER.index((laterality, view)) + 1
    ds.PatientSex, ds.BodyPartExamined = "F", "BREAST"
    ds.ImageComments = comments(drawn_apart)


def comments(drawn_apart: bool) -> str:
    return write.COMMENT + (NOT_ONE_WOMAN if drawn_apart else "")


def _positioning(ds: Dataset, view: str, laterality: str) -> None:
    item = write.code(*VIEW_CODES[view])
    item.ViewModifierCodeSequence = Sequence([])
    ds.ViewCodeSequence = Sequence([item])
    ds.ViewPosition = view
    ds.ImageLaterality = laterality
    ds.PatientOrientation = list(ORIENTATION[laterality, view])
    ds.PositionerType = "NONE"
    ds.BreastImplantPresent, ds.PartialView, ds.QualityControlImage = "NO", "NO", "NO"
    ds.AcquisitionContextSequence = Sequence([])


def _presentation(ds: Dataset) -> None:
    ds.PixelIntensityRelationship = "LOG"
    ds.PixelIntensityRelationshipSign = -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.WindowCenter, ds.WindowWidth = str(2 ** (BITS - 1)), str(2**BITS)
    ds.WindowCenterWidthExplanation = "NORMAL"
    ds.PresentationLUTShape = "IDENTITY"
