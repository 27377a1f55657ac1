"""The function `verify`: check which files are marked synthetic, which model made them, and their pixels."""

from collections.abc import Callable
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from ganatomy.checkpoint import GENERATOR_ROLE, META_FILE, Snapshot, resolve_snapshot
from ganatomy.dicom import read
from ganatomy.errors import Refused
from ganatomy.exporting.findings import Finding
from ganatomy.exporting.made_again import Maker
from ganatomy.exporting.verify_dicom import examine_dicom
from ganatomy.exporting.verify_files import examine_mark, examine_nifti, examine_npy, examine_picture
from ganatomy.imaging import nifti, npy
from ganatomy.machine import progress
from ganatomy.machine.durable import write_lines
from ganatomy.machine.progress import format_name
from ganatomy.modalities.folder import SPECIAL_KINDS, FolderListing, list_folder
from ganatomy.modalities.pictures import PICTURE_SUFFIXES


class _FileKind(NamedTuple):
    """A kind of file: whether a path is of it, and what examines it."""

    recognise: Callable[[Path], bool]
    examine: Callable[[Path, str, Maker], Finding]


KINDS = (  # the first that recognises a file
    _FileKind(nifti.is_nifti, examine_nifti),
    _FileKind(read.is_dicom, examine_dicom),
    _FileKind(npy.is_npy_image, examine_npy),
    _FileKind(npy.is_lonely_mark, examine_mark),
    _FileKind(lambda path: path.suffix.lower() in PICTURE_SUFFIXES, examine_picture),
)


def verify(
    folder: str | PathLike[str],
    snapshot: Snapshot | str | PathLike[str] | None = None,
    out: str | PathLike[str] | None = None,
    device: str | None = None,
) -> list[Finding]:
    """Check every image file below a folder, whatever its origin: DICOM, PNG, TIFF, JPEG, NIfTI and NPY.

    Our writers leave a hash of the pixels, in DICOM within the SOP Instance UID, which shows whether the pixels are
    unchanged. If the snapshot is given, each image is also generated again from its seed and compared.

    Args:
        folder: folder with files at any depth.
        snapshot: a run or a snapshot; None = no image is generated again.
        out: a file for the findings with one JSON object per line; None = no file.
        device: ``cpu`` or ``cuda``, to generate images; None = a GPU if there is one.

    Returns:
        One finding for each image file.

    Raises:
        Refused: there is no folder, it has no image files, or there is no snapshot.

    Example:
        >>> import ganatomy
        >>> findings = ganatomy.verify("dicom", snapshot="runs/00000-pggan-mammogram")
        >>> len(findings), {(finding.pixels, finding.again) for finding in findings}
        (4, {('as written', 'equal')})
        >>> all(finding.is_sound for finding in findings)
        True
    """
    if not Path(folder).is_dir():
        raise Refused(f"{folder} is not a folder; give one that holds image files.")
    opened = None if snapshot is None else resolve_snapshot(snapshot, (GENERATOR_ROLE,))
    listing = list_folder(Path(folder))
    kinds = {name: _find_kind(path) for path, name in listing.files}
    unread = [row for row in listing.left_out if row["reason"] not in SPECIAL_KINDS]
    found = [(path, name, kind) for path, name in listing.files if isinstance(kind := kinds[name], _FileKind)]
    unread += [{"file": name, "reason": told} for name, told in kinds.items() if isinstance(told, str)]
    if not found and not unread:
        raise Refused(f"{folder} holds no image file among {listing.total_paths} paths.")
    if opened is not None and not opened.is_sealed:
        progress.say(
            f"The snapshot {opened.path} is of version 0.1.0 and carries no hash of its {META_FILE}: its weights are"
            " checked, its spacing and facts are taken as they stand."
        )
    findings = [Finding(row["file"], False, "", faults=(row["reason"],)) for row in unread]
    maker = Maker(opened, device)
    with progress.bar("verifying", len(found)) as bar:
        for path, name, kind in found:
            findings.append(kind.examine(path, name, maker))
            bar.advance()
    others = [name for name, told in kinds.items() if told is None]
    progress.say(_describe_paths(listing, len(findings), others))
    if out is not None:
        write_lines(Path(out), [asdict(finding) for finding in findings])
    return findings


def _find_kind(path: Path) -> _FileKind | str | None:
    """The kind of a file, None if it is no image, or why this cannot be determined."""
    try:
        return next((kind for kind in KINDS if kind.recognise(path)), None)
    except OSError as error:
        return f"not readable ({error.strerror or type(error).__name__})"


def _describe_paths(listing: FolderListing, examined: int, others: list[str]) -> str:
    """Describe how many paths below the folder were examined, skipped or unreadable."""
    passed = listing.total_paths - examined - len(others)
    told = f"{listing.total_paths} paths: {examined} examined, {len(others)} no images"
    told += f" (such as {format_name(others[0])})" if others else ""
    rows = [f"{row['file']}: {row['rule']}" for row in listing.skipped]
    rows += [f"{row['file']}: {row['reason']}" for row in listing.left_out if row["reason"] in SPECIAL_KINDS]
    return f"{told}, {passed} passed over" + (f" (such as {format_name(rows[0])})" if rows else "")
