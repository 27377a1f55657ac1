"""JPEG and JPEG-LS frames: reading their headers, and a decoder that pydicom does not provide."""

import struct
from typing import NamedTuple

import gdcm  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import generate_frames

from ganatomy.dicom import read
from ganatomy.imaging.image import UnusableImage

FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # second bytes (ITU-T T.81 B.1.1.3; T.87 C.1.1)
MARKERS_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}  # ITU-T T.81 B.1.1.3
MAX_EXTENDED_BITS = 12  # ITU-T T.81 table B.2; GDCM returns zeros for frames with more
FILL_BYTE = 0xFF  # any number of them may precede a marker (ITU-T T.81 B.1.1.2)


class FrameHeader(NamedTuple):
    """Bits per sample, rows, columns and components of a frame."""

    depth: int
    rows: int
    columns: int
    components: int


def read_frame_header(frame: bytes) -> FrameHeader:
    """Read the header of a JPEG or JPEG-LS frame.

    Raises:
        UnusableImage: there is no frame header.
    """
    at = 0
    while at < len(frame) and frame[at] == FILL_BYTE:
        while at < len(frame) and frame[at] == FILL_BYTE:
            at += 1
        marker, body = frame[at] if at < len(frame) else 0, frame[at + 1 : at + 9]
        if marker in FRAME_MARKERS and len(body) == 8:
            rows, columns = struct.unpack(">HH", body[3:7])
            return FrameHeader(body[2], rows, columns, body[7])
        at += 1 if marker in MARKERS_WITHOUT_LENGTH else 1 + int.from_bytes(body[:2], "big")
    raise UnusableImage("pixels cannot be decoded", "no JPEG frame header")


def check_frames(dataset: Dataset, rows: int, columns: int) -> None:
    """Refuse JPEG frames whose size or depth differs from the DICOM header, since GDCM ends the process for them.

    Raises:
        UnusableImage: the size or the depth differs, or a frame has no header.
    """
    for frame in _split_frames(dataset):
        found = read_frame_header(frame)
        if (found.rows, found.columns, found.components) != (rows, columns, 1):
            raise UnusableImage(
                "pixels do not match the header", f"{_describe(found)} where {rows} x {columns} is said"
            )
        if found.depth > (allocated := read.get_integer(dataset, "BitsAllocated", 0)):
            raise UnusableImage("pixels do not match the header", f"{_describe(found)} where {allocated} fit")


def _describe(found: FrameHeader) -> str:
    return f"{found.rows} x {found.columns} of {found.depth} bits in the JPEG data"


def _split_frames(dataset: Dataset) -> list[bytes]:
    return list(generate_frames(dataset.PixelData, number_of_frames=read.get_integer(dataset, "NumberOfFrames", 1)))


def decode_extended_frames(dataset: Dataset) -> NDArray[np.uint16]:
    """Decode frames of JPEG Extended (Process 2 and 4) with 12 bits to (frames, rows, columns).

    pydicom has no decoder with a permissive licence for such frames. GDCM reads them to within the loss of the
    compression, as DCMTK does. The size has to be checked before (`check_frames`).

    Raises:
        UnusableImage: they cannot be decoded.
    """
    shape = read.get_integer(dataset, "Rows", 0), read.get_integer(dataset, "Columns", 0)
    return np.stack([_decode_extended(frame, dataset, shape) for frame in _split_frames(dataset)])


def _decode_extended(frame: bytes, dataset: Dataset, shape: tuple[int, int]) -> NDArray[np.uint16]:
    fragment, fragments = gdcm.Fragment(), gdcm.SequenceOfFragments.New()
    fragment.SetByteStringValue(frame)
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image, depth = gdcm.Image(), read_frame_header(frame).depth
    if depth > MAX_EXTENDED_BITS:
        raise UnusableImage(
            "pixels cannot be decoded", f"{depth} bits, and JPEG Extended has {MAX_EXTENDED_BITS} at most"
        )
    image.SetNumberOfDimensions(2)
    image.SetDimensions((shape[1], shape[0], 1))
    image.SetDataElement(element)
    colours = gdcm.PhotometricInterpretation.GetPIType(read.get_text(dataset, "PhotometricInterpretation"))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(colours))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, depth, depth - 1, 0))
    values = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), dtype="<u2")
    if values.size != shape[0] * shape[1]:
        raise UnusableImage("pixels cannot be decoded", f"{values.size} pixels where {shape[0]} x {shape[1]} are said")
    return values.reshape(shape)
