"""Reading of digital mammograms: view position, laterality, photometric interpretation, imager pixel spacing.

The order of operations is that of mammography viewers; every rejection names its reason.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ganatomy.dicom import read
from ganatomy.dicom.pixels import decode_grey_values, find_doubts
from ganatomy.dicom.projection import read_pixel_spacing
from ganatomy.dicom.views import find_view_doubts, read_laterality, read_view_position
from ganatomy.imaging.image import Doubt, Image, UnusableImage
from ganatomy.imaging.person import Person

FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
REJECTED_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.1.2.1": "For Processing",
    "1.2.840.10008.5.1.4.1.1.13.1.3": "breast tomosynthesis",
    "1.2.840.10008.5.1.4.1.1.13.1.4": "breast projection image",
    "1.2.840.10008.5.1.4.1.1.13.1.5": "breast projection image",
}

NOTHING_TOLD: Mapping[str, str] = MappingProxyType({})
CONTRAST_TYPES = ("RECOMBINED", "SUBTRACT", "HIGH_ENERGY")  # in Image Type: they show iodine; LOW_ENERGY shows tissue
CONTRAST_WORDS = re.compile(r"RECOMBIN|SUBTRACT|HIGH.ENERGY|IODINE|\bCESM\b|\bCEM\b|\bCEDM\b")
LOW_ENERGY_TYPE = "LOW_ENERGY"
MAX_MAGNIFICATION = 1.2  # a larger Estimated Radiographic Magnification Factor means a magnification view


def read_mammogram(path: Path, voi: bool = True, told: Mapping[str, str] = NOTHING_TOLD) -> tuple[Image, Person]:
    """Read a For Presentation mammogram as displayed, and its person: [0, 1], dense tissue bright, padding 0.

    The chest wall is at the left edge and the axilla (MLO) or the lateral side (CC) on top, whatever the laterality,
    which is kept as a fact. The person is used for the split by patient and is stored only as a keyed pseudonym.

    Args:
        path: a DICOM file.
        voi: apply the VOI LUT or window; False = linear from the smallest to the largest value.
        told: facts from a table, which take precedence over the header: view_position, laterality, chest_wall.

    Raises:
        UnusableImage: the file cannot be used; the message says why.
    """
    dataset = read.read_instance(path)
    _reject(dataset)
    view = read_view_position(dataset, told.get("view_position", "").upper())
    laterality = read_laterality(dataset, told.get("laterality", "").upper())
    doubts = (*find_doubts(dataset), *_find_contrast_doubts(dataset), *find_view_doubts(dataset, view, laterality))
    pixels = decode_grey_values(dataset, voi)
    wall = find_chest_wall(pixels)
    told_wall = told.get("chest_wall", "").lower()
    if not told_wall and len(read.get_values(dataset, "PatientOrientation")) < 2:
        doubts += find_side_doubts(wall, laterality)
    pixels = _orient_pixels(pixels, dataset, view, laterality, told_wall)
    facts = {"view_position": view, "laterality": laterality}
    image = Image(np.ascontiguousarray(pixels), read_pixel_spacing(dataset), facts, doubts=doubts)
    return image, read.identify_patient(dataset, path)


# ----------------------------------------------------------------------------------------------------------------------
# Images that are not screening mammograms.


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
    image_type = [str(value).upper().replace(" ", "_") for value in read.get_values(dataset, "ImageType")]
    paddle = read.get_text(dataset, "PaddleDescription").upper()
    magnification = max((1.0, *read.get_numbers(dataset, "EstimatedRadiographicMagnificationFactor")))
    yes = {name for name in _REJECTED_FLAGS if read.get_text(dataset, name) == "YES"}
    return (
        ("computed from tomosynthesis", any("TOMO" in v or "GENERATED_2D" in v for v in image_type[2:])),
        ("contrast image", any(word in v for v in image_type[2:] for word in CONTRAST_TYPES)),
        ("magnification view", magnification > MAX_MAGNIFICATION or "MAG" in paddle),
        ("spot compression view", "SPOT" in paddle),
        *((reason, name in yes) for name, reason in _REJECTED_FLAGS.items()),
    )


def _find_contrast_doubts(dataset: Dataset) -> tuple[Doubt, ...]:
    """Find contrast medium in an image that is not marked low energy; low-energy images look like plain ones."""
    image_type = [str(value).upper() for value in read.get_values(dataset, "ImageType")]
    if any(LOW_ENERGY_TYPE in value for value in image_type):
        return ()
    told = [
        f"{name} is {text}"
        for name in ("SeriesDescription", "ProtocolName", "DerivationDescription", "ImageComments")
        if CONTRAST_WORDS.search((text := read.get_text(dataset, name)).upper())
    ]
    if agent := read.get_text(dataset, "ContrastBolusAgent"):
        told.append(f"Contrast/Bolus Agent is {agent}")
    return (Doubt("contrast medium", "; ".join(told)),) if told else ()


_REJECTED_FLAGS = {
    "BreastImplantPresent": "breast implant",
    "PartialView": "partial view",
    "BurnedInAnnotation": "burned-in annotation",
    "QualityControlImage": "quality control image",
    "QualityControlSubject": "quality control subject",
}


# ----------------------------------------------------------------------------------------------------------------------
# Orientation.


def _orient_pixels(
    pixels: NDArray[np.float32], dataset: Dataset, view: str, laterality: str, told_wall: str = ""
) -> NDArray[np.float32]:
    """Orient the chest wall to the left and the axilla or lateral side to the top.

    Patient Orientation (0020,0020) gives the direction of the rows, then of the columns; the image content must agree
    with it. Field of View Horizontal Flip only describes the processing at the detector and is not used. A chest wall
    that a table places left or right takes precedence.
    """
    directions = [str(v).strip().upper() for v in read.get_values(dataset, "PatientOrientation")]
    wall = find_chest_wall(pixels)
    if told_wall:
        told_wall = {"l": "left", "r": "right"}.get(told_wall, told_wall)
        if told_wall not in ("left", "right"):
            words = f"the table of facts puts the chest wall {told_wall}; of DICOM it may be left or right"
            raise UnusableImage("no orientation", words)
        directions = [{"left": "A", "right": "P"}[told_wall], *directions[1:]]
        wall = told_wall
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
    """Whether the columns have the wrong direction; they must point to the feet in MLO and to medial in CC."""
    if view == "MLO":
        return columns.startswith("H")
    medial = "L" if laterality == "R" else "R"  # for a right breast, medial is towards the patient's left
    return bool(columns) and columns[0] in "LR" and columns[0] != medial


def find_side_doubts(wall: str, laterality: str) -> tuple[Doubt, ...]:
    """Find a chest wall at the opposite side of the hanging: the image is mirrored, or its laterality is wrong."""
    usual = {"L": "left", "R": "right"}[laterality]
    if wall == "unclear" or wall == usual:
        return ()
    words = f"the laterality is {laterality} and the chest wall lies {wall}, where {usual} is usual; mirrored?"
    return (Doubt("chest wall at the other side", words),)


def find_chest_wall(pixels: NDArray[np.float32]) -> str:
    """Find the edge with the tissue: "left", "right", or "unclear" if neither side has clearly more."""
    threshold = 0.1 * float(np.quantile(pixels[::8, ::8], 0.99))
    columns = (pixels[::4, ::4] > threshold).mean(0)
    edge = max(1, len(columns) // 4)
    left, right = float(columns[:edge].mean()), float(columns[-edge:].mean())
    return "unclear" if abs(left - right) < 0.1 else "left" if left > right else "right"
