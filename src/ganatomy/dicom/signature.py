"""The Creator RSA Digital Signature of an instance (PS3.15 C.2), made and checked as PS3.3 C.12.1.1.3.1 describes.

The signature covers every element that a signature can cover: the pixels, the identity, and the marks as synthetic.
"""

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from pydicom import Dataset
from pydicom.charset import convert_encodings
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, generate_uid

MAC_ALGORITHM, CERTIFICATE_TYPE = "SHA256", "X509_1993_SIG"  # defined terms (PS3.3 C.12.1.1.3)
FIRST_SIGNED_GROUP = 0x0008
LENGTH_TO_END, TRAILING_PADDING = Tag(0x0008, 0x0001), Tag(0xFFFC, 0xFFFC)
MAC_PARAMETERS, SIGNATURES_GROUP = Tag(0x4FFE, 0x0001), 0xFFFA
ITEM, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"  # tags without their lengths
PIXEL_DATA = Tag(0x7FE0, 0x0010)
COVERED = ("SOPInstanceUID", "SyntheticData", "ContributingEquipmentSequence", "PixelData")  # by a signature of ours
SIGNED_OF_ITEM = ("MACIDNumber", "DigitalSignatureUID", "DigitalSignatureDateTime", "CertificateType")


class RsaKey(Protocol):
    """A private key of RSA with its certificate."""

    @property
    def certificate(self) -> bytes:
        """The X.509 certificate as DER."""
        ...

    def sign_rsa(self, message: bytes) -> bytes:
        """Sign a message by RSASSA-PKCS1-v1_5 with SHA-256."""
        ...


class BrokenSignature(Exception):
    """A signature that cannot be checked; the message says why."""


def sign_dataset(ds: Dataset, key: RsaKey) -> None:
    """Add a signature to a data set that is complete; it replaces those that it has.

    Args:
        ds: the data set, compressed if it is to be.
        key: the key of the creator.
    """
    for name in ("MACParametersSequence", "DigitalSignaturesSequence"):
        ds.pop(name, None)
    correct_ambiguous_vr(ds, True)
    syntax = ds.file_meta.TransferSyntaxUID
    parameters = Dataset()
    parameters.MACIDNumber = 1
    parameters.MACCalculationTransferSyntaxUID = syntax
    parameters.MACAlgorithm = MAC_ALGORITHM
    parameters.DataElementsSigned = [tag for tag in sorted(ds.keys()) if _is_signable(ds, tag)]
    item = Dataset()
    item.MACIDNumber = parameters.MACIDNumber
    item.DigitalSignatureUID = generate_uid(prefix=None)
    item.DigitalSignatureDateTime = datetime.now(UTC).strftime("%Y%m%d%H%M%S.%f+0000")
    item.CertificateType = CERTIFICATE_TYPE
    item.CertificateOfSigner = key.certificate + b"\0" * (len(key.certificate) % 2)
    signature = key.sign_rsa(_collect_bytes(ds, parameters, item))
    item.Signature = signature + b"\0" * (len(signature) % 2)
    ds.MACParametersSequence = Sequence([parameters])
    ds.DigitalSignaturesSequence = Sequence([item])


def check_signatures(ds: Dataset, verify: Callable[[bytes, bytes, bytes, str], bool]) -> list[bytes]:
    """Check every signature of a data set that was read and not changed since.

    Args:
        ds: the data set.
        verify: function of certificate, signature, message and MAC algorithm that returns whether they fit.

    Returns:
        The certificate of each signature as DER; none if there is no signature.

    Raises:
        BrokenSignature: one does not fit or cannot be read, or none covers the pixels and the marks as synthetic.
    """
    certificates, covered = [], set()
    try:
        for item in ds.get("DigitalSignaturesSequence", ()):
            parameters = next(one for one in ds.MACParametersSequence if one.MACIDNumber == item.MACIDNumber)
            certificate, algorithm = bytes(item.CertificateOfSigner), str(parameters.MACAlgorithm)
            if not verify(certificate, bytes(item.Signature), _collect_bytes(ds, parameters, item), algorithm):
                raise BrokenSignature("the file was changed after it was signed, or its key is another one's")
            certificates.append(certificate)
            covered |= {Tag(tag) for tag in _list_tags(parameters)}
    except (AttributeError, IndexError, StopIteration, LookupError, ValueError, TypeError, struct.error) as error:
        raise BrokenSignature(f"it cannot be read ({type(error).__name__})") from error
    if certificates and (lacking := [name for name in COVERED if name in ds and tag_for_keyword(name) not in covered]):
        raise BrokenSignature(f"it does not cover {', '.join(lacking)}")
    return certificates


def _list_tags(parameters: Dataset) -> list[BaseTag]:
    """The tags of Data Elements Signed, of which there may be one or several."""
    found = parameters.DataElementsSigned
    return [found] if isinstance(found, BaseTag) else list(found)


def _is_signable(ds: Dataset, tag: BaseTag) -> bool:
    """Whether an element may be part of a signature (PS3.3 C.12.1.1.3.1.1)."""
    if tag.group < FIRST_SIGNED_GROUP or tag.element == 0 or tag.group == SIGNATURES_GROUP:
        return False
    if tag in (LENGTH_TO_END, TRAILING_PADDING, MAC_PARAMETERS) or ds[tag].VR == "UN":
        return False
    return ds[tag].VR != "SQ" or not any(element.VR == "UN" for item in ds[tag].value for element in item.iterall())


def _collect_bytes(ds: Dataset, parameters: Dataset, item: Dataset) -> bytes:
    """The bytes that are signed: the elements of the list, then those of the signature's own item but the signature."""
    out = _Stream(
        convert_encodings(ds.get("SpecificCharacterSet", "")), str(parameters.MACCalculationTransferSyntaxUID)
    )
    for tag in _list_tags(parameters):
        if tag in ds:
            out.write_element(ds, Tag(tag))
    for name in SIGNED_OF_ITEM:
        out.write_element(item, item[name].tag)
    return out.get_bytes()


class _Stream:
    """Writes elements in explicit little-endian form, those of a sequence and of compressed pixels without lengths."""

    def __init__(self, encodings: list[str], syntax: str) -> None:
        self._buffer = DicomBytesIO()
        self._buffer.is_little_endian, self._buffer.is_implicit_VR = True, False
        self._encodings, self._is_encapsulated = encodings, UID(syntax).is_encapsulated

    def write_element(self, ds: Dataset, tag: BaseTag) -> None:
        raw = ds.get_item(tag)
        element = raw if isinstance(raw, RawDataElement) and raw.VR not in (None, "SQ") else ds[tag]
        if element.VR == "SQ":
            self._write_head(tag, b"SQ")
            for item in ds[tag].value:
                self._buffer.write(ITEM)
                for inner in sorted(item.keys()):
                    if _is_signable(item, inner):
                        self.write_element(item, inner)
            self._buffer.write(SEQUENCE_END)
        elif tag == PIXEL_DATA and self._is_encapsulated:
            self._write_head(tag, b"OB")
            self._write_fragments(ds.PixelData)
        else:
            write_data_element(self._buffer, element, self._encodings)

    def _write_head(self, tag: BaseTag, vr: bytes) -> None:
        self._buffer.write_tag(tag)
        self._buffer.write(vr + b"\0\0")

    def _write_fragments(self, pixels: bytes) -> None:
        """Write the items of encapsulated pixels (PS3.5 A.4), each as its tag and its value."""
        at = 0
        while pixels[at : at + 4] == ITEM:
            (length,) = struct.unpack_from("<I", pixels, at + 4)
            self._buffer.write(ITEM + pixels[at + 8 : at + 8 + length])
            at += 8 + length
        self._buffer.write(SEQUENCE_END)

    def get_bytes(self) -> bytes:
        return self._buffer.getvalue()
