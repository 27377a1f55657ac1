"""Digital Mammography X-Ray Image - For Presentation, as hung (PS3.3 A.26, C.8.11.7).

VOI LUT Function is left out: absent means LINEAR, and a widely used viewer shows black when it is present.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sequence import Sequence

from ganatomy.dicom import write
from ganatomy.dicom.mammogram import FOR_PRESENTATION

BITS = 12
VIEW_CODES = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}
ORIENTATION = {  # of rows and columns, as hung: chest walls back to back in the middle
    ("R", "CC"): ["P", "L"], ("L", "CC"): ["A", "R"], ("R", "MLO"): ["P", "FL"], ("L", "MLO"): ["A", "FR"],
}  # fmt: skip
ORDER = tuple(ORIENTATION)  # series numbers of a study
NOT_ONE_WOMAN = " Views of this study were drawn apart: they are not one woman's."


def instance(
    pixels: NDArray[np.float32], spacing: tuple[float, ...], view: str, laterality: str, subject: write.Subject,
    record: dict[str, Any], drawn_apart: bool = True,
) -> Dataset:  # fmt: skip
    """One view: a valid instance, or an error that says why not.

    Args:
        pixels: (rows, columns) in [0, 1], as hung (`ORIENTATION`), background 0.
        spacing: millimetres at the detector, rows and columns.
        drawn_apart: the study's views come from independent draws, which the comments then say.
    """
    if (laterality, view) not in ORIENTATION:
        raise ValueError(f"laterality and view must be of {ORDER}, got {(laterality, view)}")
    if len(spacing) != 2 or min(spacing) <= 0:
        raise ValueError(f"Imager Pixel Spacing needs two positive numbers, got {spacing}")
    stored = np.round(np.clip(pixels, 0, 1) * (2**BITS - 1)).astype(np.uint16)
    ds = write.dataset(FOR_PRESENTATION, "MG", subject, (laterality, view), record, stored)
    number = ORDER.index((laterality, view)) + 1
    ds.ImageType = ["DERIVED", "PRIMARY", ""]
    ds.PatientSex = "F"
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.StudyDescription = f"{subject.kind} screening mammography"
    ds.SeriesDescription = f"{subject.kind} {laterality} {view}"
    ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = number, 1, number
    ds.DerivationDescription = f"Entirely {subject.kind.lower()} full-field digital mammogram; no patient was imaged"
    ds.ImageComments = write.COMMENT + (NOT_ONE_WOMAN if drawn_apart else "")
    ds.AnatomicRegionSequence = Sequence([write.code("76752008", "SCT", "Breast")])
    ds.BodyPartExamined, ds.OrganExposed = "BREAST", "BREAST"
    _positioning(ds, view, laterality)
    ds.ImagerPixelSpacing = [f"{s:.6g}" for s in spacing]
    ds.DetectorType = ""
    write.add_pixels(ds, stored, BITS)
    ds.add_new("PixelPaddingValue", "US", 0)
    _presentation(ds)
    return ds


def _positioning(ds: Dataset, view: str, laterality: str) -> None:
    value, meaning = VIEW_CODES[view]
    item = write.code(value, "SCT", meaning)
    item.ViewModifierCodeSequence = Sequence([])
    ds.ViewCodeSequence = Sequence([item])
    ds.ViewPosition = view
    ds.ImageLaterality = laterality
    ds.PatientOrientation = ORIENTATION[laterality, view]
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
