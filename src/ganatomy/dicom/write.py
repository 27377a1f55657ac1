"""Valid new instances: fresh UIDs, no patient, marked synthetic. Common to every object that we write.

Nothing of a source file's header can get in: a data set starts empty and holds only what is written here.
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
from ganatomy.machine.durable import new_file

UID_NAMESPACE = uuid.UUID(
    "6f9c1a52-3d0e-5a7b-9a44-0c9b1c2f7e10"
)  # of this project; UIDs below it are name-based (PS3.5 B.2)
SYNTHETIC_COMMENT = "SYNTHETIC IMAGE - NOT FOR DIAGNOSTIC USE"
MAX_DESCRIPTION_LENGTH = 1024  # characters of an ST value (PS3.5 table 6.2-1)
GREY_BITS = 12  # of the stored values of a grey picture
COMPRESSIONS = {"rle": RLELossless, "jpeg-ls": JPEGLSLossless, "jpeg2000": JPEG2000Lossless}  # none loses anything


def make_uid(*parts: object) -> str:
    """A UID of the 2.25 kind from its parts: the same parts give the same UID (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(UID_NAMESPACE, json.dumps([str(p) for p in parts])).int}"


@dataclass(frozen=True)
class Subject:
    """A subject that does not exist.

    Args:
        number: counts the subjects of a set.
        kind: word that opens the name and the identifier: ``SYNTHETIC`` or ``PHANTOM``.
        run: what tells two sets apart; goes into the study's UID.
        date: YYYYMMDD, of the study.
        mark: what tells two sets apart for a person: a few characters in the name and the identifier.
    """

    number: int
    kind: str
    cohort: str
    date: str
    mark: str = ""

    @property
    def label(self) -> str:
        return f"{self.mark}-{self.number:06d}" if self.mark else f"{self.number:06d}"

    @property
    def identifier(self) -> str:
        return f"{self.kind[:3]}-{self.label}"

    @property
    def study_uid(self) -> str:
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
    """Patient, study, equipment and SOP common modules of a synthetic instance (PS3.3 C.7.1, C.7.2, C.7.5, C.12.1).

    Args:
        series: what tells the series of the study apart, besides the record.
        number: Instance Number.
        record: provenance, plain values: how the pixels were made.
        pixels: stored values; the SOP Instance UID holds their hash, so that other pixels never get the same UID.

    Raises:
        Refused: the record is longer than the attribute that takes it.
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
    ds.BurnedInAnnotation = "NO"  # of what identifies a person; the word SYNTHETIC does not (PS3.3 C.7.6.1)
    ds.LossyImageCompression = "00"
    ds.ContributingEquipmentSequence = Sequence([equipment])
    ds.preamble = b"\0" * 128
    ds.file_meta = FileMetaDataset()
    ds.file_meta.FileMetaInformationGroupLength = 0  # counted when it is written
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    validate_file_meta(
        ds.file_meta
    )  # fills in the rest, so that whoever writes the data set writes a file (PS3.10 7.1)
    return ds


def add_descriptions(ds: Dataset, subject: Subject, study: str, series: str) -> None:
    """The descriptions that a reader sees in a list, each beginning with the kind of subject."""
    ds.StudyDescription = f"{subject.kind} {study}"
    ds.SeriesDescription = f"{subject.kind} {series}"
    ds.DerivationDescription = f"Entirely {subject.kind.lower()}: {series}; no patient was imaged"


def make_instance_uid(series: str, number: int, record: str, pixels: NDArray[np.uint16]) -> str:
    """The SOP Instance UID of stored values: other values, or another record, have another one.

    Args:
        series: Series Instance UID.
        number: Instance Number.
        record: Contribution Description as it is written.
    """
    digest = hashlib.sha256(np.ascontiguousarray(pixels, dtype="<u2").data).hexdigest()
    return make_uid("instance", series, number, record, digest)


def _make_synthesizer(record: dict[str, Any], subject: Subject) -> Dataset:
    """Contributing Equipment: what synthesised the image (PS3.3 C.12.1.1.5; purpose 109100, DCM)."""
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
    """A code sequence item (PS3.3 section 8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def add_pixels(ds: Dataset, pixels: NDArray[np.uint16], bits: int) -> None:
    """Image pixel module: unsigned monochrome, one frame or several, bright is bright (PS3.3 C.7.6.3)."""
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
    """Grey values in [0, 1] as they are stored, `GREY_BITS` each."""
    return np.round(np.clip(pixels, 0, 1) * (2**GREY_BITS - 1)).astype(np.uint16)


def format_decimal(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5 table 6.2-1)."""
    return f"{round(value, 6):.10g}"


def check_dataset(ds: Dataset) -> Dataset:
    """The data set, if it is sound.

    Raises:
        ValueError: what is wrong with it.
    """
    if wrong := find_faults(ds):
        raise ValueError("; ".join(wrong))
    return ds


def compress_dataset(ds: Dataset, compression: str) -> Dataset:
    """The data set with its pixels compressed without loss, under the same UID: the values are the same.

    Raises:
        Refused: the encoder cannot do it; that of JPEG 2000 needs 32 rows and columns at least.
    """
    try:
        ds.compress(COMPRESSIONS[compression], generate_instance_uid=False)
    except RuntimeError as error:
        size = f"{ds.Rows} x {ds.Columns}"
        raise Refused(f"--compress {compression} cannot encode an image of {size}; take another one.") from error
    return ds


def save_dataset(ds: Dataset, path: Path, sync: bool = True) -> None:
    """Write a file; it is whole or not there.

    Args:
        sync: wait until it is on the disk. Who writes many files syncs them all at the end (`durable.sync`).
    """
    with new_file(path, sync) as temporary:
        ds.save_as(temporary, enforce_file_format=True)
