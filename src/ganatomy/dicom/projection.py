"""Reading of projection radiographs such as DX and CR, as a viewer displays them (PS3.3 A.2, A.26, C.8.11)."""

from pathlib import Path

from pydicom import Dataset

from ganatomy.dicom import read
from ganatomy.dicom.pixels import decode_grey_values, find_doubts
from ganatomy.imaging.image import Image, UnusableImage
from ganatomy.imaging.person import Person


def read_projection(path: Path, modalities: tuple[str, ...], voi: bool = True) -> tuple[Image, Person]:
    """Read a radiograph as displayed, with values in [0, 1], dense tissue bright and padding 0, and its person.

    Args:
        path: a DICOM file.
        modalities: accepted DICOM modality codes, such as ``("DX", "CR")``.
        voi: apply the VOI LUT or window; False = linear from the smallest to the largest value.

    Raises:
        UnusableImage: the file cannot be used; the message says why.
    """
    dataset = read.read_instance(path)
    if (modality := read.get_text(dataset, "Modality")) not in modalities:
        raise UnusableImage(
            "wrong modality", f"Modality is {modality or 'absent'}, {' or '.join(modalities)} is needed"
        )
    if read.get_text(dataset, "PresentationIntentType") == "FOR PROCESSING":
        raise UnusableImage("For Processing", "only images For Presentation are used")
    doubts = find_doubts(dataset)
    image = Image(decode_grey_values(dataset, voi), read_pixel_spacing(dataset), doubts=doubts)
    return image, read.identify_patient(dataset, path)


def read_pixel_spacing(dataset: Dataset) -> tuple[float, float] | None:
    """Read the spacing of rows and columns in mm: Imager Pixel Spacing (at the detector), otherwise Pixel Spacing."""
    spacing = read.get_numbers(dataset, "ImagerPixelSpacing") or read.get_numbers(dataset, "PixelSpacing")
    return (spacing[0], spacing[1]) if len(spacing) == 2 and min(spacing) > 0 else None
