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
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from ganatomy.durable import new_file

NAMESPACE = uuid.UUID(
    "6f9c1a52-3d0e-5a7b-9a44-0c9b1c2f7e10"
)  # of this project; UIDs below it are name-based (PS3.5 B.2)
COMMENT = "SYNTHETIC IMAGE - NOT FOR DIAGNOSTIC USE"
DESCRIPTION_LENGTH = 1024  # characters of an ST value (PS3.5 table 6.2-1)


def uid(*parts: object) -> str:
    """A UID of the 2.25 kind from its parts: the same parts give the same UID (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(NAMESPACE, json.dumps([str(p) for p in parts])).int}"


@dataclass(frozen=True)
class Subject:
    """A subject that does not exist.

    Args:
        number: counts the subjects of a set.
        kind: word that opens the name and the identifier: ``SYNTHETIC`` or ``PHANTOM``.
        run: what tells two sets apart; goes into the study's UID.
        date: YYYYMMDD, of the study.
    """

    number: int
    kind: str
    run: str
    date: str

    @property
    def identifier(self) -> str:
        return f"{self.kind[:3]}-{self.number:06d}"

    @property
    def study(self) -> str:
        return uid("study", self.run, self.kind, self.number)


def dataset(
    sop_class: str,
    modality: str,
    subject: Subject,
    series: tuple[str, ...],
    record: dict[str, Any],
    pixels: NDArray[Any],
) -> Dataset:
    """Patient, study, equipment and SOP common modules of a synthetic instance (PS3.3 C.7.1, C.7.2, C.7.5, C.12.1).

    Args:
        series: what tells the series of the study apart.
        record: provenance, plain values: how the pixels were made. At most 1024 characters as JSON.
        pixels: stored values; the SOP Instance UID holds their hash, so that other pixels never get the same UID.
    """
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = sop_class
    digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
    ds.SeriesInstanceUID = uid("series", subject.study, *series)
    ds.SOPInstanceUID = uid("instance", ds.SeriesInstanceUID, json.dumps(record, sort_keys=True), digest)
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
    ds.PatientName = f"{subject.kind}^{subject.number:06d}"
    ds.PatientID = subject.identifier
    ds.IssuerOfPatientID = "ganatomy"
    ds.PatientBirthDate = ""
    ds.PatientComments = f"{subject.kind} SUBJECT - not a real person"
    ds.ContentQualification = "RESEARCH"
    ds.StudyInstanceUID = subject.study
    ds.StudyID = str(subject.number)
    ds.ImageComments = COMMENT
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    ds.ContributingEquipmentSequence = Sequence([_synthesizer(record, subject)])
    return ds


def _synthesizer(record: dict[str, Any], subject: Subject) -> Dataset:
    """Contributing Equipment: what synthesised the image (PS3.3 C.12.1.1.5; purpose 109100, DCM)."""
    description = json.dumps(record, sort_keys=True, separators=(",", ":"))
    if len(description) > DESCRIPTION_LENGTH:
        raise ValueError(f"the provenance record has {len(description)} characters; {DESCRIPTION_LENGTH} fit")
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = Sequence([code("109100", "DCM", "Synthesizing Equipment")])
    item.Manufacturer = "ganatomy (open source)"
    item.ManufacturerModelName = str(record["generator"])
    item.SoftwareVersions = f"ganatomy {version('ganatomy')}"
    item.ContributionDateTime = f"{subject.date}120000"
    item.ContributionDescription = description
    return item


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """A code sequence item (PS3.3 section 8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def add_pixels(ds: Dataset, pixels: NDArray[np.uint16], bits: int) -> None:
    """Image pixel module: one unsigned monochrome frame, dense bright (PS3.3 C.7.6.3)."""
    if pixels.dtype != np.uint16 or pixels.ndim != 2 or int(pixels.max()) >= 2**bits:
        raise ValueError(f"pixels must be a uint16 matrix below 2^{bits}, got {pixels.dtype} {pixels.shape}")
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits, bits - 1
    ds.PixelRepresentation = 0
    ds.PixelData = np.ascontiguousarray(pixels, dtype="<u2").tobytes()
    ds["PixelData"].VR = "OW"


def save(ds: Dataset, path: Path) -> None:
    """Write an instance as Explicit VR Little Endian; the file is whole or not there."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    with new_file(path) as temporary:
        ds.save_as(temporary, enforce_file_format=True)
