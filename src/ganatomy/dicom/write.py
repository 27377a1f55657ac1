"""Construction of valid new instances with new UIDs, without a patient, and marked synthetic, for all objects.

No value of a source file's header can enter: a data set starts empty and contains only what is written here.
"""

import hashlib
import json
import uuid
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset, validate_file_meta
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from ganatomy.dicom.check import SYNTHESIZING_EQUIPMENT, find_faults
from ganatomy.errors import Refused
from ganatomy.imaging.marking import SYNTHETIC_COMMENT
from ganatomy.machine.durable import new_file

UID_NAMESPACE = uuid.UUID(
    "6f9c1a52-3d0e-5a7b-9a44-0c9b1c2f7e10"
)  # namespace of this project for name-based UIDs (PS3.5 B.2)
MAX_DESCRIPTION_LENGTH = 1024  # characters of a value of representation ST (PS3.5 table 6.2-1)
GREY_BITS = 12  # bits of the stored values of a grey picture
COMPRESSIONS = {"rle": RLELossless, "jpeg-ls": JPEGLSLossless, "jpeg2000": JPEG2000Lossless}  # all are lossless


def make_uid(*parts: object) -> str:
    """Make a UID that begins with 2.25 from its parts; the same parts give the same UID (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(UID_NAMESPACE, json.dumps([str(p) for p in parts])).int}"


@dataclass(frozen=True)
class Subject:
    """A subject that is not a real person.

    Args:
        number: number of the subject in its set.
        kind: first word of the name and the identifier, ``SYNTHETIC`` or ``PHANTOM``.
        cohort: identifies the set; becomes part of the study's UID.
        date: date of the study as YYYYMMDD.
        mark: identifies the set for a reader by a few characters in the name and the identifier.
    """

    number: int
    kind: str
    cohort: str
    date: str
    mark: str = ""

    @property
    def label(self) -> str:
        """Mark and number of the subject, such as ``000012``."""
        return f"{self.mark}-{self.number:06d}" if self.mark else f"{self.number:06d}"

    @property
    def identifier(self) -> str:
        """Patient ID, such as ``SYN-000012``."""
        return f"{self.kind[:3]}-{self.label}"

    @property
    def study_uid(self) -> str:
        """Study Instance UID, the same for the same cohort, kind and number."""
        return make_uid("study", self.cohort, self.kind, self.number)


def make_dataset(
    sop_class: str,
    modality: str,
    subject: Subject,
    series: tuple[str, ...],
    number: int,
    record: dict[str, Any],
    pixels: NDArray[np.uint16],
) -> Dataset:
    """Make a data set with patient, study, equipment and SOP common modules (PS3.3 C.7.1, C.7.2, C.7.5, C.12.1).

    Args:
        series: identifies a series of the study, together with the record.
        number: Instance Number.
        record: provenance of the pixels as plain values.
        pixels: stored values; the SOP Instance UID depends on their hash, so that different pixels have different UIDs.

    Raises:
        Refused: the record is longer than its attribute allows.
    """
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = sop_class
    equipment = _make_synthesizer(record, subject)
    ds.SeriesInstanceUID = make_uid("series", subject.study_uid, *series, equipment.ContributionDescription)
    ds.SOPInstanceUID = make_instance_uid(ds.SeriesInstanceUID, number, equipment.ContributionDescription, pixels)
    ds.SyntheticData = "YES"
    for when in ("Study", "Series", "Acquisition", "Content", "InstanceCreation"):
        setattr(ds, f"{when}Date", subject.date)
        setattr(ds, f"{when}Time", "120000")
    ds.AccessionNumber = ""
    ds.Modality = modality
    ds.Manufacturer = "ganatomy (open source)"
    ds.ManufacturerModelName = str(record["generator"])
    ds.DeviceSerialNumber = "0"
    ds.SoftwareVersions = f"ganatomy {version('ganatomy')}"
    ds.ReferringPhysicianName = ""
    ds.PatientName = f"{subject.kind}^{subject.label}"
    ds.PatientID = subject.identifier
    ds.IssuerOfPatientID = "ganatomy"
    ds.PatientBirthDate, ds.PatientSex = "", ""
    ds.PatientComments = f"{subject.kind} SUBJECT - not a real person"
    ds.ContentQualification = "RESEARCH"
    ds.StudyInstanceUID = subject.study_uid
    ds.StudyID = str(subject.number)
    ds.InstanceNumber = number
    ds.ImageComments = SYNTHETIC_COMMENT
    ds.BurnedInAnnotation = "NO"  # refers to what identifies a person; the word SYNTHETIC does not (PS3.3 C.7.6.1)
    ds.LossyImageCompression = "00"
    ds.ContributingEquipmentSequence = Sequence([equipment])
    ds.preamble = b"\0" * 128
    ds.file_meta = FileMetaDataset()
    ds.file_meta.FileMetaInformationGroupLength = 0  # is set when the file is written
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    validate_file_meta(
        ds.file_meta
    )  # adds the remaining elements, so that the data set can be written as a file (PS3.10 7.1)
    return ds


def add_descriptions(ds: Dataset, subject: Subject, study: str, series: str) -> None:
    """Add the descriptions that a reader sees in a list; each begins with the kind of subject."""
    ds.StudyDescription = f"{subject.kind} {study}"
    ds.SeriesDescription = f"{subject.kind} {series}"
    ds.DerivationDescription = f"Entirely {subject.kind.lower()}: {series}; no patient was imaged"


def make_instance_uid(series: str, number: int, record: str, pixels: NDArray[np.uint16]) -> str:
    """Make the SOP Instance UID of stored values; different values or records give different UIDs.

    Args:
        series: Series Instance UID.
        number: Instance Number.
        record: the written text of Contribution Description.
        pixels: stored values.
    """
    digest = hashlib.sha256(np.ascontiguousarray(pixels, dtype="<u2").data).hexdigest()
    return make_uid("instance", series, number, record, digest)


def _make_synthesizer(record: dict[str, Any], subject: Subject) -> Dataset:
    """Make the item of Contributing Equipment that synthesised the image (PS3.3 C.12.1.1.5; purpose 109100, DCM)."""
    description = json.dumps(record, sort_keys=True, separators=(",", ":"))
    if len(description) > MAX_DESCRIPTION_LENGTH:
        raise Refused(
            f"The record of how an image was made has {len(description)} characters, and DICOM has room for"
            f" {MAX_DESCRIPTION_LENGTH}; give the facts of the store shorter values."
        )
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = Sequence(
        [make_code_item(SYNTHESIZING_EQUIPMENT, "DCM", "Synthesizing Equipment")]
    )
    item.Manufacturer = "ganatomy (open source)"
    item.ManufacturerModelName = str(record["generator"])
    item.SoftwareVersions = f"ganatomy {version('ganatomy')}"
    item.ContributionDateTime = f"{subject.date}120000"
    item.ContributionDescription = description
    return item


def make_code_item(value: str, scheme: str, meaning: str) -> Dataset:
    """Make a code sequence item (PS3.3 section 8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def add_pixels(ds: Dataset, pixels: NDArray[np.uint16], bits: int) -> None:
    """Add the image pixel module: unsigned MONOCHROME2 values of one frame or several (PS3.3 C.7.6.3)."""
    assert pixels.dtype == np.uint16
    assert pixels.ndim in (2, 3)
    assert int(pixels.max()) < 2**bits, "stored values are clipped before they come here"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        ds.NumberOfFrames = len(pixels)
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits, bits - 1
    ds.PixelRepresentation = 0
    ds.PixelData = np.ascontiguousarray(pixels, dtype="<u2").tobytes()
    ds["PixelData"].VR = "OW"


def quantise_grey_values(pixels: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Quantise grey values in [0, 1] to stored values of `GREY_BITS` bits."""
    return np.round(np.clip(pixels, 0, 1) * (2**GREY_BITS - 1)).astype(np.uint16)


def format_decimal(value: float) -> str:
    """Format a number as a decimal string of at most 16 characters (PS3.5 table 6.2-1)."""
    return f"{round(value, 6):.10g}"


def check_dataset(ds: Dataset) -> Dataset:
    """Return the data set if `check.find_faults` finds nothing.

    Raises:
        ValueError: the data set has a fault; the message describes it.
    """
    if wrong := find_faults(ds):
        raise ValueError("; ".join(wrong))
    return ds


def compress_dataset(ds: Dataset, compression: str) -> Dataset:
    """Compress the pixels of a data set losslessly; the UID is kept, since the values are the same.

    Raises:
        Refused: the encoder cannot compress them; that of JPEG 2000 needs at least 32 rows and columns.
    """
    try:
        ds.compress(COMPRESSIONS[compression], generate_instance_uid=False)
    except RuntimeError as error:
        size = f"{ds.Rows} x {ds.Columns}"
        raise Refused(f"--compress {compression} cannot encode an image of {size}; take another one.") from error
    return ds


def save_dataset(ds: Dataset, path: Path, sync: bool = True) -> None:
    """Write a file, which is complete or absent.

    Args:
        sync: wait until the file is on the disk; for many files, synchronise all at the end (`durable.sync_tree`).
    """
    with new_file(path, sync) as temporary:
        ds.save_as(temporary, enforce_file_format=True)
