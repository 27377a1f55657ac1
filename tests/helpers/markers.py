"""Markers planted in the headers, names and paths of training data, and a search for them in files of any kind."""

import base64
import gzip
import io
import re
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow.parquet as parquet
import pydicom
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

MARK = "ZEBRAMARK"
DATE = "17760704"
TEXT_TYPES = ("LO", "SH", "PN", "ST", "LT", "UT", "UC", "AE")  # value representations of free text
READ_KEYWORDS = ("RescaleType",)  # whose text decides what an image is
KEYWORDS = (
    "PatientName",
    "PatientComments",
    "OtherPatientIDs",
    "EthnicGroup",
    "AccessionNumber",
    "StudyID",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "InstitutionName",
    "InstitutionAddress",
    "StationName",
    "ReferringPhysicianName",
    "OperatorsName",
    "DeviceSerialNumber",
    "ImageComments",
    "AdditionalPatientHistory",
)
DATES = ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
PNG_START, DATA_URI = b"\x89PNG\r\n\x1a\n", re.compile(rb"data:[a-z/+]+;base64,([A-Za-z0-9+/=]+)")


def plant_in_dicom(source: Path, target: Path, patient: str) -> set[str]:
    """Write a DICOM file with markers in every text, date and private element; returns its UIDs, markers too."""
    ds = pydicom.dcmread(source)
    for element in ds:
        if element.VR in TEXT_TYPES and element.keyword not in READ_KEYWORDS:
            element.value = MARK
    for keyword in KEYWORDS:
        setattr(ds, keyword, MARK)
    for keyword in DATES:
        setattr(ds, keyword, DATE)
    ds.PatientID = patient
    ds.private_block(0x0099, MARK, create=True).add_new(1, "LO", MARK)
    target.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(target)
    return {str(ds[keyword].value) for keyword in UIDS if keyword in ds}


def plant_in_picture(source: Path, target: Path) -> None:
    """Write the pixels of a DICOM file as PNG with markers in its text fields."""
    ds = pydicom.dcmread(source)
    pixels = ds.pixel_array.astype(np.float64)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        pixels = pixels.max() - pixels
    text = PngInfo()
    text.add_text("Title", MARK)
    text.add_itxt("Comment", MARK, zip=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray((pixels / pixels.max() * 65535).astype(np.uint16)).save(target, pnginfo=text)


def plant_in_nifti(folder: Path, target: Path) -> None:
    """Write the slices of a folder as NIfTI with markers in its header and an extension."""
    slices = sorted(map(pydicom.dcmread, folder.glob("*.dcm")), key=lambda ds: float(ds.ImagePositionPatient[2]))
    voxels = np.stack([ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for ds in slices])
    height = float(slices[1].ImagePositionPatient[2]) - float(slices[0].ImagePositionPatient[2])
    rows, columns = map(float, slices[0].PixelSpacing)
    image = nib.Nifti1Image(voxels.transpose(2, 1, 0).astype(np.int16), np.diag([-columns, -rows, height, 1]))
    for name in ("descrip", "aux_file", "intent_name", "db_name"):
        image.header[name] = MARK.encode()
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", MARK.encode()))
    target.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, target)


def find_markers(folder: Path, words: set[str], leave_out: tuple[str, ...] = ()) -> list[str]:
    """Every word in a file below a folder or in its name, as ``FILE: WORD``.

    Args:
        folder: what is searched.
        words: markers.
        leave_out: names of files that are not searched.
    """
    sought = {word: word.encode() for word in words}
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in leave_out:
            name = str(path.relative_to(folder))
            pieces = [name.encode(), *_unpack(path.read_bytes())]
            found += [f"{name}: {word}" for word, code in sought.items() if any(code in piece for piece in pieces)]
    return found


def _unpack(content: bytes) -> list[bytes]:
    """The bytes of a file, and what is packed or compressed in them, at any depth."""
    inside: list[bytes] = []
    if content[:2] == b"\x1f\x8b":
        inside = [gzip.decompress(content)]
    elif content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inside = [archive.comment, *(archive.read(name) for name in archive.namelist())]
    elif content[:4] == b"PAR1":
        table = parquet.read_table(io.BytesIO(content))
        inside = [str(table.schema.metadata).encode(), str(table.to_pylist()).encode()]
    elif content[:8] == PNG_START:
        with Pillow.open(io.BytesIO(content)) as picture:
            picture.load()
            inside = [str({**picture.info, **picture.text}).encode()]
    inside += [base64.b64decode(code) for code in DATA_URI.findall(content)]
    return [content, *(piece for one in inside for piece in _unpack(one))]
