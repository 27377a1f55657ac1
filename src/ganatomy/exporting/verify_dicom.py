"""What a DICOM file claims of its origin, and whether its pixels and geometry are those of its record."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydicom import Dataset

from ganatomy.dicom import check, read, write
from ganatomy.dicom.pixels import decode_frames
from ganatomy.dicom.signature import BrokenSignature, check_signatures
from ganatomy.exporting.findings import INVALID, NO_SIGNATURE, UNCHECKED, Finding, describe_record
from ganatomy.exporting.geometry import list_geometry
from ganatomy.exporting.made_again import NO_IMAGE, Maker, Space
from ganatomy.imaging.image import UnusableImage
from ganatomy.imaging.sandbox import reading_sandbox
from ganatomy.machine.signing_key import can_check_signatures, describe_certificate, verify_rsa


def examine_dicom(path: Path, name: str, maker: Maker) -> Finding:
    """Examine a DICOM file of any origin.

    Args:
        path: the file.
        name: its path below the folder.
        maker: generates the image again.
    """
    try:
        with reading_sandbox((path,)):
            ds = read.read_instance(path)
            signed = _describe_signature(ds)  # first, as long as all values are as they were read
            record, text = _read_record(ds)
            about: dict[str, Any] = {
                "file": name,
                "marked": check.is_marked_synthetic(ds),
                "claims": f"Synthetic Data {told}" if (told := read.get_text(ds, "SyntheticData")) == "NO" else "",
                **describe_record(record),
                "signature": signed,
                "faults": tuple(check.find_faults(ds)),
            }
    except UnusableImage as error:
        return Finding(name, False, faults=(str(error),))
    if text is None:
        return Finding(**about)
    try:
        with reading_sandbox((path,)):
            pixels = decode_frames(ds)
            number = read.get_integer(ds, "InstanceNumber", 0)
            series, uid = read.get_text(ds, "SeriesInstanceUID"), read.get_text(ds, "SOPInstanceUID")
            written = write.make_instance_uid(series, number, text, pixels.astype("<u2"))
            space = Space(
                read.get_text(ds, "SOPClassUID"),
                read.get_integer(ds, "NumberOfFrames", 1) > 1,
                read.get_text(ds, "InstanceNumber"),
                list_geometry(ds),
            )
    except UnusableImage as error:
        return Finding(**about | {"pixels": "changed", "faults": (*about["faults"], str(error))})
    again, difference = maker.compare_pixels(record, number, pixels)
    geometry = maker.compare_geometry(record, space) if difference is not None else NO_IMAGE
    kept = "as written" if written == uid else "changed"
    return Finding(**about, pixels=kept, again=again, difference=difference, geometry=geometry)


def _describe_signature(ds: Dataset) -> str:
    """What `Finding.signature` says of an instance."""
    if "DigitalSignaturesSequence" not in ds:
        return NO_SIGNATURE
    if not can_check_signatures():
        return UNCHECKED
    try:
        owners = dict.fromkeys(describe_certificate(one) for one in check_signatures(ds, verify_rsa))
        return f"valid, by {' and '.join(owners)}" if owners else NO_SIGNATURE
    except (BrokenSignature, ValueError) as error:
        return f"{INVALID}: {error}"


def _read_record(ds: Dataset) -> tuple[Mapping[str, Any], str | None]:
    """Read our record from the synthesising equipment; returns it with its written text, or nothing."""
    for item in check.find_synthesizers(ds):
        text = read.get_text(item, "ContributionDescription")
        try:
            record = json.loads(text)
        except ValueError:
            continue
        if isinstance(record, dict) and "generator" in record:
            return record, text
    return {}, None
