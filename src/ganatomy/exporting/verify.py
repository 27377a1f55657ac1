"""The function `verify`: check which DICOM files are marked synthetic, which model made them, and their pixels."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from ganatomy.checkpoint import GENERATOR_ROLE, META_FILE, Snapshot, resolve_snapshot
from ganatomy.dicom import check, read, write
from ganatomy.dicom.instances import DicomForm
from ganatomy.dicom.pixels import decode_frames
from ganatomy.errors import Ended, Refused
from ganatomy.exporting.export import render_samples
from ganatomy.exporting.geometry import find_different_geometry, list_geometry
from ganatomy.imaging.image import Image, UnusableImage
from ganatomy.imaging.sandbox import reading_sandbox
from ganatomy.machine import progress
from ganatomy.machine.durable import write_lines
from ganatomy.machine.progress import format_name
from ganatomy.modalities.folder import SPECIAL_KINDS, FolderListing, list_folder
from ganatomy.modalities.table import get_modality
from ganatomy.sampling import regenerate_image

EQUAL_TOLERANCE = 1  # of 4095; the files between a sample and its instance have 16 bits and are rounded once more
UNUSED_DATE = "20000101"  # for instances that are made only to compare their geometry
CLOSE_TOLERANCE = 41  # of 4095; the largest difference expected between devices

StoredValues = NDArray[np.integer[Any]]


class VerificationError(Ended):
    """Some files are not marked synthetic or contradict their record."""


@dataclass(frozen=True)
class Finding:
    """The origin that a file states, and whether it is true; no other value of its header is kept.

    Args:
        file: path below the folder.
        marked: whether Synthetic Data is YES.
        model, snapshot, seed, index: values of our record; None if there is no record.
        pixels: ``as written``, ``changed``, or ``unknown`` if there is no hash.
        again: comparison with the image generated again by the snapshot: ``equal`` (to rounding), ``close`` (as
            computed by another device) or ``different``; or why no image was generated.
        geometry: comparison of spacing, position, orientation and size with those of the image generated again:
            ``equal``, ``different`` with the attributes, or ``unknown`` if the model has no spacing.
        difference: the largest difference of both images, in stored values of 4095.
        faults: contradictions in the header.
    """

    file: str
    marked: bool
    model: str | None = None
    snapshot: str | None = None
    seed: int | None = None
    index: int | None = None
    pixels: str = "unknown"
    again: str = "not tried"
    difference: int | None = None
    geometry: str = "not tried"
    faults: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether the file is marked, agrees with its record and the image generated again, and has no faults."""
        changed = self.pixels == "changed" or self.again == "different" or self.geometry.startswith("different")
        return self.marked and not changed and not self.faults

    def describe(self) -> str:
        """Describe the finding in one line."""
        made = "" if self.model is None else f", by {self.model}"
        made += "" if self.snapshot is None else f" {self.snapshot[:16]}, seed {self.seed}, image {self.index}"
        words = [("synthetic" if self.marked else "NOT MARKED SYNTHETIC") + made]
        words += [] if self.pixels == "unknown" else [f"pixels {self.pixels}"]
        words += [] if self.again == "not tried" else [f"made again: {self.again}"]
        words += [] if self.geometry == "not tried" else [f"geometry {self.geometry}"]
        return "; ".join([*words, *self.faults])


def verify(
    folder: str | PathLike[str],
    snapshot: Snapshot | str | PathLike[str] | None = None,
    out: str | PathLike[str] | None = None,
    device: str | None = None,
) -> list[Finding]:
    """Check every DICOM file below a folder, whatever its origin.

    Our writers put a hash of the pixels into the SOP Instance UID, which shows whether the pixels are unchanged. If the
    snapshot is given, each image is also generated again from its seed and compared.

    Args:
        folder: folder with DICOM files at any depth.
        snapshot: a run or a snapshot; None = no image is generated again.
        out: a file for the findings with one JSON object per line; None = no file.
        device: ``cpu`` or ``cuda``, to generate images; None = a GPU if there is one.

    Returns:
        One finding for each DICOM file.

    Raises:
        Refused: there is no folder, it has no DICOM files, or there is no snapshot.

    Example:
        >>> import ganatomy
        >>> findings = ganatomy.verify("dicom", snapshot="runs/00000-pggan-mammogram")
        >>> len(findings), {(finding.pixels, finding.again) for finding in findings}
        (4, {('as written', 'equal')})
        >>> all(finding.is_sound for finding in findings)
        True
    """
    if not Path(folder).is_dir():
        raise Refused(f"{folder} is not a folder; give one that holds DICOM files.")
    opened = None if snapshot is None else resolve_snapshot(snapshot, (GENERATOR_ROLE,))
    listing = list_folder(Path(folder))
    kinds = {name: _is_dicom(path) for path, name in listing.files}
    unread = [row for row in listing.left_out if row["reason"] not in SPECIAL_KINDS]
    found = [(path, name) for path, name in listing.files if kinds[name] is True]
    unread += [{"file": name, "reason": told} for name, told in kinds.items() if isinstance(told, str)]
    if not found and not unread:
        raise Refused(f"{folder} holds no DICOM file among {listing.total_paths} paths.")
    if opened is not None and not opened.is_sealed:
        progress.say(
            f"The snapshot {opened.path} is of version 0.1.0 and carries no hash of its {META_FILE}: its weights are"
            " checked, its spacing and facts are taken as they stand."
        )
    findings = [Finding(row["file"], False, faults=(row["reason"],)) for row in unread]
    maker = _Maker(opened, device)
    with progress.bar("verifying", len(found)) as bar:
        for path, name in found:
            findings.append(_examine_file(path, name, maker))
            bar.advance()
    others = [name for name, told in kinds.items() if told is False]
    progress.say(_describe_paths(listing, len(findings), others))
    if out is not None:
        write_lines(Path(out), [asdict(finding) for finding in findings])
    return findings


def summarise_findings(findings: list[Finding]) -> Iterator[str]:
    """Summarise findings in lines of text; files of one folder with the same findings share a line."""
    lines: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        lines.setdefault((str(Path(finding.file).parent), finding.describe()), []).append(finding.file)
    for (folder, told), names in lines.items():
        name = format_name(names[0] if len(names) == 1 else f"{folder}/ ({len(names)} files)")
        yield f"{name}: {told}"


def _is_dicom(path: Path) -> bool | str:
    """Whether a file is DICOM, or why this cannot be determined."""
    try:
        return read.is_dicom(path)
    except OSError as error:
        return f"not readable ({error.strerror or type(error).__name__})"


def _describe_paths(listing: FolderListing, examined: int, others: list[str]) -> str:
    """Describe how many paths below the folder were examined, skipped or unreadable."""
    passed = listing.total_paths - examined - len(others)
    told = f"{listing.total_paths} paths: {examined} examined, {len(others)} not DICOM"
    told += f" (such as {format_name(others[0])})" if others else ""
    rows = [f"{row['file']}: {row['rule']}" for row in listing.skipped]
    rows += [f"{row['file']}: {row['reason']}" for row in listing.left_out if row["reason"] in SPECIAL_KINDS]
    return f"{told}, {passed} passed over" + (f" (such as {format_name(rows[0])})" if rows else "")


def _examine_file(path: Path, name: str, maker: "_Maker") -> Finding:
    try:
        with reading_sandbox((path,)):
            ds = read.read_instance(path)
            record, text = _read_record(ds)
            about: dict[str, Any] = {
                "file": name,
                "marked": check.is_marked_synthetic(ds),
                "model": record.get("generator"),
                "snapshot": record.get("snapshot_sha256"),
                "seed": record.get("seed"),
                "index": record.get("index"),
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
            space = _Space(
                read.get_text(ds, "SOPClassUID"),
                read.get_integer(ds, "NumberOfFrames", 1) > 1,
                read.get_text(ds, "InstanceNumber"),
                list_geometry(ds),
            )
    except UnusableImage as error:
        return Finding(**about | {"pixels": "changed", "faults": (*about["faults"], str(error))})
    again, difference = maker.compare_pixels(record, number, pixels)
    geometry = maker.compare_geometry(record, space) if difference is not None else "not tried"
    kept = "as written" if written == uid else "changed"
    return Finding(**about, pixels=kept, again=again, difference=difference, geometry=geometry)


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


class _Space(NamedTuple):
    """What of an instance says which geometry it is to have, and which it has."""

    sop_class: str
    is_enhanced: bool
    number: str
    geometry: dict[str, Any]


class _Maker:
    """Generates images again and keeps the last one, because a series consists of many slices of one volume."""

    def __init__(self, snapshot: Snapshot | None, device: str | None) -> None:
        self.snapshot, self.device = snapshot, device
        self._last: tuple[str, Image, StoredValues] | None = None
        self._geometry: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}  # of the last image, by SOP Class UID

    def compare_pixels(self, record: Mapping[str, Any], number: int, pixels: StoredValues) -> tuple[str, int | None]:
        """Compare stored values with the image generated again; returns `Finding.again` and `Finding.difference`.

        Args:
            record: the record of the instance.
            number: Instance Number, which is the number of a slice.
            pixels: stored values.
        """
        if self.snapshot is None:
            return "not tried", None
        try:
            expected = self._make_again(self.snapshot, record)
        except (Refused, KeyError, TypeError) as error:
            return str(error) if isinstance(error, Refused) else "the record is incomplete", None
        if expected.ndim > pixels.ndim:
            expected = expected[number - 1] if 0 < number <= len(expected) else expected[:0]
        if expected.shape != pixels.shape:
            return "different", None  # the sizes differ
        largest = int(np.abs(expected.astype(np.int64) - pixels).max())
        return (
            "equal" if largest <= EQUAL_TOLERANCE else "close" if largest <= CLOSE_TOLERANCE else "different",
            largest,
        )

    def _make_again(self, snapshot: Snapshot, record: Mapping[str, Any]) -> StoredValues:
        key = json.dumps(record, sort_keys=True)
        if self._last is None or self._last[0] != key:
            image = regenerate_image(snapshot, record, self.device)
            _, shown, _ = next(render_samples([(image, dict(record))], snapshot.modality, None, "label" in record))
            self._last = key, shown, get_modality(snapshot.modality)().dicom.quantise_sample(shown)
            self._geometry = {}
        return self._last[2]

    def compare_geometry(self, record: Mapping[str, Any], space: _Space) -> str:
        """What `Finding.geometry` says of an instance whose pixels `compare_pixels` has just compared.

        The modality makes DICOM instances of the image generated again, whose geometry is compared.
        """
        if self.snapshot is None or self._last is None:
            return "not tried"
        key, shown, _ = self._last
        if shown.spacing is None:
            return "unknown"
        if (key, space.sop_class) not in self._geometry:
            capture = space.sop_class == SecondaryCaptureImageStorage
            form = DicomForm(enhanced=space.is_enhanced, secondary_capture=capture)
            make = get_modality(self.snapshot.modality)().dicom.make_instances(form, UNUSED_DATE)
            made = {str(one.InstanceNumber): list_geometry(one) for _, one in make(shown, dict(record))}
            self._geometry = {(key, space.sop_class): made}
        expected = self._geometry[key, space.sop_class].get(space.number, {})
        wrong = find_different_geometry(expected, space.geometry)
        return f"different ({', '.join(wrong)})" if wrong else "equal"
