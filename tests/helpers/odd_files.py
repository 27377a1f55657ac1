"""Files that mean harm or have come to harm, made on the fly, and a modality whose reading does what files can do."""

import ctypes
import gzip
import os
import signal
import struct
import time
import zlib
from dataclasses import dataclass
from io import BytesIO

import nibabel as nib
import numpy as np
from PIL import Image as Pillow
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalMammographyXRayImageStorageForPresentation,
)

from ganatomy.modalities.mammogram import Mammogram

MEGABYTE = 2**20
PIECE = 16 * MEGABYTE  # bytes of zeros that are compressed at a time
SOP_CLASSES = {"CT": CTImageStorage, "MG": DigitalMammographyXRayImageStorageForPresentation}


def write_nifti_bomb(path, megabytes):
    """A small compressed volume of so many megabytes of zeros, whose header says just that."""
    edge = round((megabytes * MEGABYTE) ** (1 / 3))
    header = nib.Nifti1Image(np.zeros((8, 8, 8), np.uint8), np.eye(4)).header
    header.set_data_shape((edge, edge, edge))
    header.set_sform(np.eye(4), 1)
    start, zeros = BytesIO(), gzip.compress(bytes(PIECE), 9)
    header.write_to(start)
    content = gzip.compress(start.getvalue().ljust(352, b"\0")) + zeros * (megabytes * MEGABYTE // PIECE + 1)
    path.write_bytes(content)


def write_dicom_bomb(path, megabytes, modality="CT"):
    """A small deflated instance with so many megabytes of zeros as pixels."""
    meta, dataset = FileMetaDataset(), Dataset()
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = SOP_CLASSES[modality], "1.2.3.4"
    dataset.Modality, dataset.PatientID = modality, "bomb"
    dataset.Rows = dataset.Columns = 65535
    plain = BytesIO()
    dcmwrite(plain, dataset, implicit_vr=False, little_endian=True, overwrite=True)
    elements = plain.getvalue()
    pieces = megabytes * MEGABYTE // PIECE
    elements += struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, pieces * PIECE)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(elements) + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(PIECE)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed += zeros * pieces + packer.flush(zlib.Z_FINISH)
    dataset.file_meta = meta
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    whole = BytesIO()
    dcmwrite(whole, dataset, enforce_file_format=True)
    head = whole.getvalue()
    start = 132 + 12 + struct.unpack("<I", head[140:144])[0]  # the end of the file meta information
    path.write_bytes(head[:start] + packed)


def write_looping_tiff(path):
    """A TIFF whose only directory names itself as the next."""
    Pillow.fromarray(np.arange(6400, dtype=np.uint8).reshape(80, 80)).save(path, format="TIFF")
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack("<I", content[4:8])
    (count,) = struct.unpack("<H", content[start : start + 2])
    content[start + 2 + 12 * count : start + 6 + 12 * count] = struct.pack("<I", start)
    path.write_bytes(content)


def write_brain(path, flip=None, cut=False):
    """A compressed volume of noise; one bit of it flipped, or its end missing."""
    voxels = np.random.default_rng(0).integers(0, 1000, (24, 24, 24)).astype(np.int16)
    content = bytearray(gzip.compress(nib.Nifti1Image(voxels, np.eye(4)).to_bytes()))
    if flip is not None:
        content[len(content) * flip // 100] ^= 1
    path.write_bytes(content[: len(content) - 4] if cut else content)


def write_odd_files(folder, megabytes=160):
    """One of each kind, and the names under which they have to be told; links and names of other bytes among them."""
    folder.mkdir(parents=True, exist_ok=True)
    write_nifti_bomb(folder / "bomb.nii.gz", megabytes)
    megabytes = min(megabytes, 4080)  # what 32 bits of a length can say
    write_dicom_bomb(folder / "bomb.dcm", megabytes)
    write_dicom_bomb(folder / "bomb_mg.dcm", megabytes, "MG")
    write_looping_tiff(folder / "loop.tif")
    write_brain(folder / "flipped.nii.gz", flip=50)
    write_brain(folder / "cut.nii.gz", cut=True)
    (folder / "postscript.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 80 80\n%%EndComments\n")
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "empty.png").write_bytes(b"")
    (folder / "huge.png").write_bytes(_claim_png_size(2**16 - 1))
    (folder / "text.nii").write_text("no volume")
    (folder / "u\u2028v.png").write_text("no picture")
    (folder / os.fsdecode(b"caf\xe9.png")).write_text("no picture")
    (folder / "dangling.dcm").symlink_to(folder / "nothing.dcm")
    return sorted(path.name for path in folder.iterdir())


def _claim_png_size(edge):
    """A PNG that says it has so many rows and columns, and has data for one."""
    file = BytesIO()
    Pillow.fromarray(np.zeros((1, 1), np.uint8)).save(file, format="PNG")
    content = bytearray(file.getvalue())
    content[16:24] = struct.pack(">II", edge, edge)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


class Panic(BaseException):
    """As libraries in Rust raise, which no `except Exception` catches."""


@dataclass(frozen=True)
class Odd(Mammogram):
    """A mammogram whose reading does what the name of the file says."""

    def read(self, candidate):
        for word, act in ACTS.items():
            if word in candidate.name:
                act()
        return super().read(candidate)


def _hang():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])  # as a library in C that never comes back
    time.sleep(600)


def _fail():
    raise AssertionError("nobody thought of this")


def _panic():
    raise Panic("at the disco")


ACTS = {
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": _hang,
    "sleep": lambda: time.sleep(600),
    "eater": lambda: np.ones(2**34, np.uint8),
    "assertion": _fail,
    "panic": _panic,
}


def copy_as(files, folder, names):
    """Good files under names that `Odd` acts on, each of another person."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, name in zip(files, names, strict=False):
        dataset = dcmread(file)
        dataset.PatientID = name
        dataset.save_as(folder / f"{name}.dcm")
