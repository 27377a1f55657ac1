"""Views and view modifiers of mammography, by the codes of PS3.16 CID 4014 and CID 4015, and by their meanings.

Codes of SNOMED RT (SRT, SNM3, 99SDM), which devices wrote before 2018, are compared by the map in pydicom.
"""

import re

from pydicom import Dataset
from pydicom.sr.coding import Code

from ganatomy.dicom import read
from ganatomy.imaging.image import Doubt, UnusableImage

SNOMED_CT, SNOMED_RT = "SCT", "SRT"
SNOMED_RT_NAMES = (SNOMED_RT, "SNM3", "99SDM")  # PS3.16 section 8: older designators of the same codes

VIEW_BY_CODE = {
    "399162004": "CC",
    "399368009": "MLO",
    "399260004": "ML",
    "399352003": "LM",
    "399099002": "LMO",
    "399192008": "XCCL",
    "399101009": "XCCM",
    "399196006": "FB",
    "399188001": "SIO",
    "441555000": "ISO",
}
VIEW_BY_MEANING = (  # the first match is used
    (r"exaggerated", "XCC"),
    (r"cranio-? ?caudal|\bcc\b", "CC"),
    (r"medio-? ?lateral oblique|\bmlo\b", "MLO"),
)
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
ACCEPTED_MODIFIERS = ("442581004", "442580003")  # nipple in profile, axillary tissue
REJECTED_MEANINGS = (
    (r"magnif|\bmag\b", "magnification"),
    (r"\bspot|\bcone", "spot compression"),
    (r"implant|eklund", "implant displaced"),
    (r"cleavage|valley", "cleavage"),
    (r"axillary tail", "axillary tail"),
    (r"\brolled|\broll\b", "rolled"),
    (r"tangential", "tangential"),
    (r"infra-? ?mammary", "infra-mammary fold"),
    (r"anterior compression", "anterior compression"),
)
DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription", "ImageComments")
SIDE_AND_VIEW = re.compile(r"(?<![A-Z])([LR])[ _-]?(CC|MLO)(?![A-Z])")


def read_view_position(dataset: Dataset, told: str = "") -> str:
    """Read the view, CC or MLO, from a table, otherwise from the View Code Sequence, otherwise from View Position.

    A modified view is refused in any case, since a table names the view and not how it was acquired.

    Raises:
        UnusableImage: the view is another one, is modified, or is missing.
    """
    view = read_view_code(dataset)
    for modifier in _list_modifiers(dataset):
        if reason := _find_rejection(modifier):
            raise UnusableImage("modified view", reason)
    written = read.get_text(dataset, "ViewPosition").upper()
    if not told and view and written in VIEW_BY_CODE.values() and written != view:
        raise UnusableImage("contradictory view", f"the view code says {view}, View Position says {written}")
    view = told or view or written
    if view not in ACCEPTED_VIEWS:
        raise UnusableImage("view is not CC or MLO", view or "no view given")
    return view


def read_view_code(dataset: Dataset) -> str:
    """Read the view from the View Code Sequence; empty if there is no known code."""
    for item in read.get_items(dataset, "ViewCodeSequence")[:1]:
        if code := _find_code(item, VIEW_BY_CODE):
            return VIEW_BY_CODE[code]
        return _find_meaning(item, VIEW_BY_MEANING)
    return ""


def read_laterality(dataset: Dataset, told: str = "") -> str:
    """Read the laterality, L or R, from a table, otherwise from the header.

    Raises:
        UnusableImage: there is no laterality, it is both, or attributes contradict one another.
    """
    if told:
        if told not in ("L", "R"):
            raise UnusableImage("no laterality", f"the table of facts says {told}; it may be L or R")
        return told
    names = ("ImageLaterality", "FrameLaterality", "Laterality")
    found = {name: value for name in names if (value := read.get_text(dataset, name).upper()) in ("L", "R", "B")}
    if len(set(found.values())) > 1:
        words = ", ".join(f"{name} is {value}" for name, value in found.items())
        raise UnusableImage("contradictory laterality", words)
    if (side := next(iter(found.values()), "")) not in ("L", "R"):
        raise UnusableImage("no laterality", "both breasts" if side else "neither Image Laterality nor Laterality")
    return side


def find_view_doubts(dataset: Dataset, view: str, laterality: str) -> tuple[Doubt, ...]:
    """Find unknown modifiers, and descriptions of another view, side or kind of exposure."""
    found = [
        Doubt("unknown view modifier", told)
        for modifier in _list_modifiers(dataset)
        if not _find_code(modifier, ACCEPTED_MODIFIERS) and (told := _describe(modifier))
    ]
    for name in DESCRIPTIONS:
        text = read.get_text(dataset, name)
        if reason := _match(text, REJECTED_MEANINGS):
            found.append(Doubt("modified view by its description", f"{name}: {reason}"))
        said = {match.groups() for match in SIDE_AND_VIEW.finditer(text.upper())}
        if said and (laterality, view) not in said:
            words = ", ".join(sorted(f"{side} {seen}" for side, seen in said))
            found.append(Doubt("description of another view", f"{name} says {words}, the image is {laterality} {view}"))
    return tuple(found)


def _list_modifiers(dataset: Dataset) -> list[Dataset]:
    """List the items of View Modifier Code Sequence, within the view code as in PS3.3 C.8.11.7, or beside it."""
    codes = read.get_items(dataset, "ViewCodeSequence")
    return [m for item in (*codes, dataset) for m in read.get_items(item, "ViewModifierCodeSequence")]


def _find_rejection(modifier: Dataset) -> str:
    """Say why a modified view is left out, by its code or otherwise by its meaning; empty if it is accepted."""
    if code := _find_code(modifier, REJECTED_MODIFIERS):
        return REJECTED_MODIFIERS[code]
    return "" if _find_code(modifier, ACCEPTED_MODIFIERS) else _find_meaning(modifier, REJECTED_MEANINGS)


def _find_code(item: Dataset, known: "dict[str, str] | tuple[str, ...]") -> str:
    """Find which of the known SNOMED CT codes an item has, in any edition of SNOMED; empty if none."""
    value, designator = read.get_text(item, "CodeValue"), read.get_text(item, "CodingSchemeDesignator").upper()
    if designator in SNOMED_RT_NAMES:
        designator = SNOMED_RT
    if not value or designator not in (SNOMED_CT, SNOMED_RT):
        return ""
    given = Code(value, designator, "")
    return next((code for code in known if given == Code(code, SNOMED_CT, "")), "")


def _find_meaning(item: Dataset, meanings: tuple[tuple[str, str], ...]) -> str:
    return _match(read.get_text(item, "CodeMeaning"), meanings)


def _match(text: str, meanings: tuple[tuple[str, str], ...]) -> str:
    return next((what for pattern, what in meanings if re.search(pattern, text.lower())), "")


def _describe(item: Dataset) -> str:
    names = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
    return " ".join(text for name in names if (text := read.get_text(item, name)))
