"""Whether a CT or MR object shows acquired slices, or maps, phases and projections computed from them."""

import re

from pydicom import Dataset

from ganatomy.dicom import read
from ganatomy.imaging.image import Doubt, UnusableImage

# Values of Image Type, complete or as words (PS3.3 C.8.3.1.1.1, C.8.13.1.1.1, C.8.16.1, and values of vendors).
PHASE_TYPES = {"P", "PHASE", "R", "REAL", "I", "IMAGINARY", "PHASE MAP", "PHASE_MAP", "VELOCITY"}
PARAMETRIC_TYPES = {
    *("ADC", "FA", "TRACEW", "EXP", "EADC", "DTI", "TENSOR"),
    *("CBF", "CBV", "MTT", "TTP", "TMAX", "RCBF", "RCBV", "PERMEABILITY", "KTRANS"),
    *(
        "T1 MAP",
        "T1_MAP",
        "T2 MAP",
        "T2_MAP",
        "T2_STAR MAP",
        "T2_STAR_MAP",
        "R1 MAP",
        "R2 MAP",
        "R2_MAP",
        "R2_STAR MAP",
    ),
    *(
        "PROTON DENSITY MAP",
        "B0 MAP",
        "B1 MAP",
        "FIELD_MAP",
        "FIELD MAP",
        "STIFFNESS",
        "Z_EFF",
        "IODINE",
        "ELECTRON_DENSITY",
    ),
    *("SUBTRACTION", "SUBTRACT", "SUB"),
}
PROJECTION_TYPES = {"PROJECTION IMAGE", "MIP", "MINIP", "MIN IP", "MAX_IP", "MIN_IP"}
REJECTED_TYPES = (
    ("not a magnitude image", PHASE_TYPES),
    ("parametric map", PARAMETRIC_TYPES),
    ("projection of a volume", PROJECTION_TYPES),
)
LONGEST_T1_ECHO_MS = 40.0  # T1-weighted images have Echo Times of 2 to 20 ms; T2-weighted ones of 70 and more
OTHER_CONTRASTS = re.compile(
    r"(?<![A-Z0-9])(T2\*?|T2W|T2STAR|FLAIR|DWI|DTI|ADC|SWI|SWAN|PD|PDW|BOLD|FMRI|ASL|TOF|MRA|STIR|T1CE|T1GD|T1C)(?![A-Z0-9])"
)
DESCRIPTIONS = ("SeriesDescription", "ProtocolName")
CONTRAST_ATTRIBUTES = (*DESCRIPTIONS, "AcquisitionContrast", "EchoTime", "ImageType")
OTHER_TYPES = {"DIFFUSION", "PERFUSION", "FMRI"}  # values of Image Type of acquired images that are not T1-weighted


def check_kind(dataset: Dataset) -> None:
    """Check that an object shows acquired anatomy.

    Raises:
        UnusableImage: it is a phase image, a map or a projection by its Image Type or Complex Image Component.
    """
    types = [str(value).strip().upper() for value in read.get_values(dataset, "ImageType")]
    for reason, rejected in REJECTED_TYPES:
        if found := [value for value in types[2:] if value in rejected]:
            raise UnusableImage(reason, f"Image Type has {found[0]}; slices as acquired are needed")
    component = read.get_text(dataset, "ComplexImageComponent").upper()
    if component not in ("", "MAGNITUDE", "MIXED"):
        raise UnusableImage("not a magnitude image", f"Complex Image Component is {component}")


def find_contrast_doubts(dataset: Dataset) -> tuple[Doubt, ...]:
    """Find signs in Acquisition Contrast, Echo Time or descriptions that an MR object is not T1-weighted."""
    found = []
    contrast = read.get_text(dataset, "AcquisitionContrast").upper()
    if contrast not in ("", "T1", "UNKNOWN", "MIXED"):
        found.append(f"Acquisition Contrast is {contrast}")
    if (times := read.get_numbers(dataset, "EchoTime")) and times[0] > LONGEST_T1_ECHO_MS:
        found.append(f"Echo Time is {times[0]:g} ms, more than {LONGEST_T1_ECHO_MS:g} ms")
    types = [str(value).strip().upper() for value in read.get_values(dataset, "ImageType")]
    found += [f"Image Type has {value}" for value in types[2:] if value in OTHER_TYPES]
    for name in DESCRIPTIONS:
        if told := _find_other_contrast(read.get_text(dataset, name)):
            found.append(f"{name} has the word {told}")
    return (Doubt("other contrast than T1", "; ".join(found)),) if found else ()


def find_name_doubts(name: str) -> tuple[Doubt, ...]:
    """Find another contrast in a file name, as in BIDS and public data sets: ``sub-1_T2w.nii.gz``."""
    told = _find_other_contrast(name)
    return (Doubt("other contrast than T1", f"the name has the word {told}"),) if told else ()


def _find_other_contrast(text: str) -> str:
    found = OTHER_CONTRASTS.search(re.sub(r"[_.-]", " ", text.upper()))
    return found[1] if found else ""
