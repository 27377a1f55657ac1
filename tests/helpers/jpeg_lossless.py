"""JPEG Lossless, which most mammography systems send, by the only encoder at hand."""

import tempfile
from pathlib import Path

import gdcm


def jpeg_lossless(content: bytes) -> bytes:
    """A DICOM file with its pixels as JPEG Lossless, Process 14, Selection Value 1."""
    with tempfile.TemporaryDirectory() as name:
        plain, packed = Path(name) / "a.dcm", Path(name) / "b.dcm"
        plain.write_bytes(content)
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(plain))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(packed))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return packed.read_bytes()
