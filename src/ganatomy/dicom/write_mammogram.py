"""Digital Mammography X-Ray Image - For Presentation, oriented as displayed (PS3.3 A.26, C.8.11.7).

VOI LUT Function is left out: absent means LINEAR, and a widely used viewer shows a black image if it is present.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sequence import Sequence

from ganatomy.dicom import write
from ganatomy.dicom.check import HUNG_ORIENTATIONS
from ganatomy.dicom.mammogram import FOR_PRESENTATION
from ganatomy.imaging.marking import SYNTHETIC_COMMENT

VIEW_CODES = {"CC": ("399162004", "SCT", "cranio-caudal"), "MLO": ("399368009", "SCT", "medio-lateral oblique")}
VIEW_ORDER = tuple(HUNG_ORIENTATIONS)  # in the order of series numbers
DRAWN_APART_COMMENT = " Views of this study were drawn apart: they are not one woman's."


def make_mammogram_instance(
    pixels: NDArray[np.float32],
    spacing: tuple[float, ...],
    view: str,
    laterality: str,
    subject: write.Subject,
    record: dict[str, Any],
    drawn_apart: bool = True,
) -> Dataset:
    """Make the instance of one view.

    Args:
        pixels: (rows, columns) in [0, 1], oriented as displayed (`check.HUNG_ORIENTATIONS`), with a background of 0.
        spacing: millimetres between rows and columns at the detector.
        drawn_apart: the views of the study are sampled independently, which the comments then state.
    """
    if (laterality, view) not in HUNG_ORIENTATIONS:
        raise ValueError(f"laterality and view must be of {VIEW_ORDER}, got {(laterality, view)}")
    if len(spacing) != 2 or min(spacing) <= 0:
        raise ValueError(f"Imager Pixel Spacing needs two positive numbers, got {spacing}")
    values = write.quantise_grey_values(pixels)
    ds = write.make_dataset(FOR_PRESENTATION, "MG", subject, (laterality, view), 1, record, values)
    _add_titles(ds, view, laterality, subject, drawn_apart)
    ds.AcquisitionNumber = ds.SeriesNumber
    ds.ImageType = ["DERIVED", "PRIMARY", ""]  # the third value is present and empty (PS3.3 C.8.11.7.1.4)
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.AnatomicRegionSequence = Sequence([write.make_code_item("76752008", "SCT", "Breast")])
    ds.OrganExposed = "BREAST"
    _add_positioning(ds, view, laterality)
    ds.ImagerPixelSpacing = [write.format_decimal(s) for s in spacing]
    ds.DetectorType = ""
    write.add_pixels(ds, values, write.GREY_BITS)
    ds.add_new("PixelPaddingValue", "US", 0)
    _add_presentation(ds)
    return write.check_dataset(ds)


def add_view_attributes(ds: Dataset, view: str, laterality: str, subject: write.Subject) -> None:
    """Add the attributes of a view in a Secondary Capture: descriptions, side, and directions of rows and columns."""
    _add_titles(ds, view, laterality, subject, drawn_apart=True)
    ds.Laterality = laterality
    ds.PatientOrientation = list(HUNG_ORIENTATIONS[laterality, view])
    write.check_dataset(ds)


def _add_titles(ds: Dataset, view: str, laterality: str, subject: write.Subject, drawn_apart: bool) -> None:
    write.add_descriptions(ds, subject, "screening mammography", f"{laterality} {view}")
    ds.SeriesNumber = VIEW_ORDER.index((laterality, view)) + 1
    ds.PatientSex, ds.BodyPartExamined = "F", "BREAST"
    ds.ImageComments = make_comments(drawn_apart)


def make_comments(drawn_apart: bool) -> str:
    """Make the Image Comments; `drawn_apart`: the views of the study are sampled independently."""
    return SYNTHETIC_COMMENT + (DRAWN_APART_COMMENT if drawn_apart else "")


def _add_positioning(ds: Dataset, view: str, laterality: str) -> None:
    item = write.make_code_item(*VIEW_CODES[view])
    item.ViewModifierCodeSequence = Sequence([])
    ds.ViewCodeSequence = Sequence([item])
    ds.ViewPosition = view
    ds.ImageLaterality = laterality
    ds.PatientOrientation = list(HUNG_ORIENTATIONS[laterality, view])
    ds.PositionerType = "NONE"
    ds.BreastImplantPresent, ds.PartialView, ds.QualityControlImage = "NO", "NO", "NO"
    ds.AcquisitionContextSequence = Sequence([])


def _add_presentation(ds: Dataset) -> None:
    ds.PixelIntensityRelationship = "LOG"
    ds.PixelIntensityRelationshipSign = -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.WindowCenter, ds.WindowWidth = str(2 ** (write.GREY_BITS - 1)), str(2**write.GREY_BITS)
    ds.WindowCenterWidthExplanation = "NORMAL"
    ds.PresentationLUTShape = "IDENTITY"
