"""Digital mammography in: view position, laterality, photometric interpretation, imager pixel spacing.

The order of operations follows the rules that mammography viewers follow; each rejection names its reason. Codes are
those of PS3.16 CID 4014 (views) and CID 4015 (view modifiers).
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ganatomy.dicom import read
from ganatomy.dicom.pixels import decode_grey_values
from ganatomy.dicom.projection import read_pixel_spacing
from ganatomy.imaging.image import Image, UnusableImage

FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
REJECTED_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.1.2.1": "For Processing",
    "1.2.840.10008.5.1.4.1.1.13.1.3": "breast tomosynthesis",
    "1.2.840.10008.5.1.4.1.1.13.1.4": "breast projection image",
    "1.2.840.10008.5.1.4.1.1.13.1.5": "breast projection image",
}

VIEW_BY_CODE = {
    ("399162004", "SCT"): "CC",
    ("R-10242", "SRT"): "CC",
    ("R-10242", "SNM3"): "CC",
    ("399368009", "SCT"): "MLO",
    ("R-10226", "SRT"): "MLO",
    ("R-10226", "SNM3"): "MLO",
    ("399260004", "SCT"): "ML",
    ("399352003", "SCT"): "LM",
    ("399099002", "SCT"): "LMO",
    ("399192008", "SCT"): "XCCL",
    ("399101009", "SCT"): "XCCM",
    ("399196006", "SCT"): "FB",
    ("399188001", "SCT"): "SIO",
    ("441555000", "SCT"): "ISO",
}
ACCEPTED_VIEWS = ("CC", "MLO")

REJECTED_MODIFIERS = {
    "399163009": "magnification",
    "399055006": "spot compression",
    "399209000": "implant displaced",
    "399161006": "cleavage",
    "399011000": "axillary tail",
    "399226006": "rolled",
    "399197002": "rolled",
    "415670009": "rolled",
    "414493004": "rolled",
    "399110001": "tangential",
    "442593008": "infra-mammary fold",
    "441752004": "anterior compression",
}
MAX_MAGNIFICATION = 1.2  # Estimated Radiographic Magnification Factor above this is a magnification view


def read_mammogram(path: Path, voi: bool = True) -> tuple[Image, str]:
    """One For Presentation mammogram as a radiologist sees it, and who it is of: [0, 1], dense bright, padding 0.

    The chest wall is at the left edge and the axilla (MLO) or the lateral side (CC) on top, whatever the laterality;
    the laterality is kept as a fact. Who it is of serves the split by patient and is never stored as it is.

    Args:
        path: a DICOM file.
        voi: apply the VOI LUT or window; off = linear from the smallest to the largest value.

    Raises:
        Unusable: the file cannot serve; the message says why.
    """
    dataset = read.read_instance(path)
    _reject(dataset)
    view, laterality = read_view_position(dataset), _read_laterality(dataset)
    pixels = decode_grey_values(dataset, voi)
    pixels = _orient_pixels(pixels, dataset, view, laterality)
    facts = {"view_position": view, "laterality": laterality}
    return Image(np.ascontiguousarray(pixels), read_pixel_spacing(dataset), facts), read.identify_patient(dataset, path)


# ----------------------------------------------------------------------------------------------------------------------
# What is not a screening mammogram.


def _reject(dataset: Dataset) -> None:
    sop_class = read.get_text(dataset, "SOPClassUID")
    if sop_class in REJECTED_CLASSES:
        raise UnusableImage(REJECTED_CLASSES[sop_class], "only For Presentation mammograms are used")
    if (modality := read.get_text(dataset, "Modality")) != "MG":
        raise UnusableImage("wrong modality", f"Modality is {modality or 'absent'}, MG is needed")
    if read.get_text(dataset, "PresentationIntentType") == "FOR PROCESSING":
        raise UnusableImage("For Processing", "only For Presentation mammograms are used")
    for reason, present in _rejection_reasons(dataset):
        if present:
            raise UnusableImage(reason)


def _rejection_reasons(dataset: Dataset) -> Iterable[tuple[str, bool]]:
    image_type = [str(value).upper() for value in read.get_values(dataset, "ImageType")]
    paddle = read.get_text(dataset, "PaddleDescription").upper()
    magnification = max((1.0, *read.get_numbers(dataset, "EstimatedRadiographicMagnificationFactor")))
    yes = {name for name in _REJECTED_FLAGS if read.get_text(dataset, name) == "YES"}
    return (
        ("computed from tomosynthesis", any("TOMO" in v or "GENERATED_2D" in v for v in image_type[2:])),
        ("magnification view", magnification > MAX_MAGNIFICATION or "MAG" in paddle),
        ("spot compression view", "SPOT" in paddle),
        *((reason, name in yes) for name, reason in _REJECTED_FLAGS.items()),
    )


_REJECTED_FLAGS = {
    "BreastImplantPresent": "breast implant",
    "PartialView": "partial view",
    "BurnedInAnnotation": "burned-in annotation",
    "QualityControlImage": "quality control image",
    "QualityControlSubject": "quality control subject",
}


def read_view_position(dataset: Dataset) -> str:
    """CC or MLO, from the View Code Sequence if it is known there, else from View Position.

    Raises:
        Unusable: another view, a modified view, or none.
    """
    view = read_view_code(dataset)
    codes = read.get_items(dataset, "ViewCodeSequence")
    modifiers = [m for item in codes for m in read.get_items(item, "ViewModifierCodeSequence")]
    for modifier in modifiers:
        if (reason := REJECTED_MODIFIERS.get(_read_code(modifier)[0])) is not None:
            raise UnusableImage("modified view", reason)
    written = read.get_text(dataset, "ViewPosition").upper()
    if view and written in VIEW_BY_CODE.values() and written != view:
        raise UnusableImage("contradictory view", f"the view code says {view}, View Position says {written}")
    view = view or written
    if view not in ACCEPTED_VIEWS:
        raise UnusableImage("view is not CC or MLO", view or "no view given")
    return view


def read_view_code(dataset: Dataset) -> str:
    """The view that the View Code Sequence names; empty when there is none that is known."""
    codes = read.get_items(dataset, "ViewCodeSequence")
    return VIEW_BY_CODE.get(_read_code(codes[0]), "") if codes else ""


def _read_laterality(dataset: Dataset) -> str:
    for name in ("ImageLaterality", "FrameLaterality", "Laterality"):
        if (value := read.get_text(dataset, name).upper()) in ("L", "R"):
            return value
    raise UnusableImage("no laterality")


def _read_code(item: Dataset) -> tuple[str, str]:
    return read.get_text(item, "CodeValue"), read.get_text(item, "CodingSchemeDesignator")


# ----------------------------------------------------------------------------------------------------------------------
# Orientation.


def _orient_pixels(pixels: NDArray[np.float32], dataset: Dataset, view: str, laterality: str) -> NDArray[np.float32]:
    """Chest wall left, axilla or lateral side on top. Patient Orientation decides; the content must agree.

    Patient Orientation (0020,0020) gives the direction of the rows, then of the columns. Field of View Horizontal Flip
    says only what was done at the detector and is not used.
    """
    directions = [str(v).strip().upper() for v in read.get_values(dataset, "PatientOrientation")]
    wall = find_chest_wall(pixels)
    if len(directions) == 2 and directions[0][:1] in ("A", "P"):
        told = "left" if directions[0].startswith("A") else "right"
        if wall not in (told, "unclear"):
            raise UnusableImage("contradictory orientation", f"the header puts the chest wall {told}, the image {wall}")
        if _is_upside_down(directions[1], view, laterality):
            pixels = pixels[::-1]
        wall = told
    elif wall == "unclear":
        raise UnusableImage(
            "no orientation", "the header does not say where the chest wall is, and the image does not show it"
        )
    return pixels[:, ::-1] if wall == "right" else pixels


def _is_upside_down(columns: str, view: str, laterality: str) -> bool:
    """Whether the columns run the wrong way: MLO must run to the feet, CC from lateral to medial."""
    if view == "MLO":
        return columns.startswith("H")
    medial = "L" if laterality == "R" else "R"  # of a right breast, medial is towards the patient's left
    return bool(columns) and columns[0] in "LR" and columns[0] != medial


def find_chest_wall(pixels: NDArray[np.float32]) -> str:
    """At which edge the tissue lies: "left", "right", or "unclear" when neither side has clearly more."""
    threshold = 0.1 * float(np.quantile(pixels[::8, ::8], 0.99))
    columns = (pixels[::4, ::4] > threshold).mean(0)
    edge = max(1, len(columns) // 4)
    left, right = float(columns[:edge].mean()), float(columns[-edge:].mean())
    return "unclear" if abs(left - right) < 0.1 else "left" if left > right else "right"
