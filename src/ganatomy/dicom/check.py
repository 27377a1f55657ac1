"""Checks for contradictory values, which a validator of modules and value types does not find.

`write` checks every instance before it is written; `verify` checks files of any origin.
"""

from pydicom import Dataset
from pydicom.uid import UID

from ganatomy.dicom import read
from ganatomy.dicom.mammogram import FOR_PRESENTATION
from ganatomy.dicom.views import read_view_code

HUNG_ORIENTATIONS = {  # of rows and columns in the standard hanging, with the chest walls together in the middle
    ("R", "CC"): ("P", "L"),
    ("L", "CC"): ("A", "R"),
    ("R", "MLO"): ("P", "FL"),
    ("L", "MLO"): ("A", "FR"),
}
LOSSY_SYNTAXES = (
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.203",
)
SYNTHESIZING_EQUIPMENT = "109100"  # code of Synthesizing Equipment (DCM)
RIGHT_ANGLE_TOLERANCE = 1e-3  # largest cosine of the angle between two perpendicular directions


def find_faults(ds: Dataset) -> list[str]:
    """Find contradictions in an instance and describe each in one sentence.

    Raises:
        UnusableImage: a value does not have its value representation.
    """
    found = _check_identity(ds) + _check_synthetic_mark(ds) + _check_compression(ds)
    if read.get_text(ds, "SOPClassUID").startswith(FOR_PRESENTATION):  # includes For Processing, whose UID ends with .1
        found += _check_mammography(ds)
    if "ImageOrientationPatient" in ds:
        found += _check_geometry(ds)
    return found


def is_marked_synthetic(ds: Dataset) -> bool:
    """Whether an instance is marked synthetic (0008,001C)."""
    return read.get_text(ds, "SyntheticData") == "YES"


def find_synthesizers(ds: Dataset) -> list[Dataset]:
    """Find the items of Contributing Equipment that synthesised the image (PS3.3 C.12.1; PS3.16 CID 7005)."""
    return [
        item
        for item in read.get_items(ds, "ContributingEquipmentSequence")
        if SYNTHESIZING_EQUIPMENT
        in [read.get_text(code, "CodeValue") for code in read.get_items(item, "PurposeOfReferenceCodeSequence")]
    ]


def _check_identity(ds: Dataset) -> list[str]:
    names = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    return [f"{name} is not a UID" for name in names if not UID(read.get_text(ds, name)).is_valid]


def _check_synthetic_mark(ds: Dataset) -> list[str]:
    """Check Synthetic Data, which has two defined values (PS3.3 C.12.1) and must be YES with Synthesizing Equipment."""
    value = read.get_text(ds, "SyntheticData")
    if value not in ("", "YES", "NO"):
        return [f"Synthetic Data is {value!r}; only YES and NO exist"]
    if find_synthesizers(ds) and value != "YES":
        return ["Synthesizing Equipment contributed, and Synthetic Data is not YES"]
    return []


def _check_compression(ds: Dataset) -> list[str]:
    """Check that lossy compression is stated with its ratio and method (PS3.3 C.7.6.1.1.5)."""
    said = read.get_text(ds, "LossyImageCompression")
    meta = getattr(ds, "file_meta", None)
    syntax = "" if meta is None else str(meta.get("TransferSyntaxUID", ""))
    if syntax in LOSSY_SYNTAXES and said != "01":
        return ["the transfer syntax loses information, and Lossy Image Compression is not 01"]
    if said != "01":
        return []
    missing = [
        name for name in ("LossyImageCompressionRatio", "LossyImageCompressionMethod") if not read.get_values(ds, name)
    ]
    return [f"Lossy Image Compression is 01, and {name} is missing" for name in missing]


def _check_mammography(ds: Dataset) -> list[str]:
    """Compare view, laterality and orientation (PS3.3 C.8.11.7; IHE Mammography Image 4.16.4.2.2.1.1.2)."""
    laterality, view, coded = (
        read.get_text(ds, "ImageLaterality"),
        read.get_text(ds, "ViewPosition"),
        read_view_code(ds),
    )
    found = []
    if laterality not in ("L", "R", "B"):
        found.append(f"Image Laterality is {laterality!r}; L, R and B exist")
    if not view:
        found.append("View Position is missing")
    elif coded and view != coded:
        found.append(f"View Position is {view} and View Code Sequence says {coded}")
    rows, _, columns = "\\".join(str(v) for v in read.get_values(ds, "PatientOrientation")).partition("\\")
    expected = HUNG_ORIENTATIONS.get((laterality, coded or view))
    if expected and not _fits_orientation((rows, columns), expected):
        found.append(
            f"Patient Orientation {rows}\\{columns} cannot be: a {coded or view} view of the {laterality} breast has"
            f" {expected[0]}\\{expected[1]}, or one of its mirror images"
        )
    return found


def _fits_orientation(orientation: tuple[str, str], hung: tuple[str, str]) -> bool:
    """Whether an orientation is that of the hanging or of an image mirrored along one axis.

    An oblique view may give only the first letter of its column direction (F for FL).
    """
    opposite = str.maketrans("APLRHF", "PARLFH")
    return all(
        end in (axis, axis[:1], axis.translate(opposite), axis[:1].translate(opposite))
        for end, axis in zip(orientation, hung, strict=True)
    )


def _check_geometry(ds: Dataset) -> list[str]:
    values = read.get_numbers(ds, "ImageOrientationPatient")
    if len(values) != 6:
        return ["Image Orientation (Patient) is not six numbers"]
    row, column = values[:3], values[3:]
    cosine = sum(a * b for a, b in zip(row, column, strict=True))
    lengths = [sum(v * v for v in direction) for direction in (row, column)]
    if abs(cosine) > RIGHT_ANGLE_TOLERANCE or any(abs(length - 1) > RIGHT_ANGLE_TOLERANCE for length in lengths):
        return ["Image Orientation (Patient) is not two directions at right angles"]
    return []
