"""The function `send`: send samples to an archive, retry failures, and record what was accepted or refused."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from pydicom import Dataset

from ganatomy.data.samples import AuditChoice, read_audited_samples
from ganatomy.dicom.destination import Destination, Outcome, UnreachableError
from ganatomy.dicom.instances import DicomForm
from ganatomy.errors import Ended, Refused
from ganatomy.exporting.export import parse_dicom_date, render_samples
from ganatomy.exporting.signing import SigningMaker, read_key_for
from ganatomy.machine import progress
from ganatomy.modalities.table import get_modality

JOURNAL_FILE = "sent.jsonl"  # beside the samples
RETRY_DELAYS = (1.0, 2.0, 4.0, 8.0)  # seconds before each retry


class DeliveryError(Ended):
    """Some instances were not accepted, or the archive became unreachable; the message says which."""


@dataclass(frozen=True)
class DeliveryReport:
    """The result of a delivery.

    Args:
        accepted: number of instances that were accepted now.
        accepted_before: number of instances that had been accepted before and were not sent again.
        refused: outcomes of the instances that were not accepted, with the archive's words.
    """

    accepted: int
    accepted_before: int
    refused: tuple[Outcome, ...]


def send(
    samples: str | PathLike[str],
    pacs: str | None = None,
    url: str | None = None,
    calling_aet: str = "GANATOMY",
    date: str | None = None,
    spacing: float | None = None,
    despite_audit: bool = False,
    enhanced: bool = False,
    secondary_capture: bool = False,
    compress: str | None = None,
    label: bool = False,
    without_suspects: bool = False,
    sign_key: Path | str | None = None,
    only: Path | str | None = None,
) -> DeliveryReport:
    """Send samples as DICOM. Accepted instances are recorded in ``sent.jsonl`` beside them; the same call resumes.

    Args:
        samples: folder of samples as PNG, NPY or NIfTI.
        pacs: ``HOST:PORT/AET`` of an archive that accepts C-STORE; all instances are sent over one association.
        url: URL of an archive that accepts STOW-RS, without ``/studies``; `ganatomy.dicom.dicomweb` describes the
            credentials.
        calling_aet: our own Application Entity Title, for C-STORE.
        date, spacing, despite_audit, enhanced, secondary_capture, compress, label: as in `export`.
        without_suspects, sign_key, only: as in `export`.

    Returns:
        The numbers of instances that were accepted now and before, and the refused instances.

    Raises:
        Refused: as in `export`; no archive or two archives are given; the archive will never accept the instances.
        DeliveryError: the archive became unreachable.

    Example:
        >>> import ganatomy
        >>> report = ganatomy.send("samples", url="http://localhost:8042/dicom-web", date="20260131")
        >>> report.accepted, report.refused
        (4, ())
    """
    key = read_key_for(None if sign_key is None else Path(sign_key), "dicom")
    rows, images = read_audited_samples(
        Path(samples), AuditChoice(despite_audit, without_suspects, None if only is None else Path(only))
    )
    modality = rows[0]["modality"]
    make = get_modality(modality)().dicom.make_instances(
        DicomForm(enhanced, secondary_capture, compress), parse_dicom_date(date or rows[0].get("date"))
    )
    if key is not None:
        make = SigningMaker(make, key)
    made = (
        ds for _, shown, record in render_samples(images, modality, spacing, label) for _, ds in make(shown, record)
    )
    with make_destination(pacs, url, calling_aet) as archive:
        return deliver_instances(made, archive, Path(samples) / JOURNAL_FILE)


def make_destination(pacs: str | None, url: str | None, calling_aet: str) -> Destination:
    """Make the destination of the given archive.

    Raises:
        Refused: no archive or two are given, the address is wrong, or the required packages are not installed.
    """
    if (pacs is None) == (url is None):
        raise Refused("Give either --pacs HOST:PORT/AET for C-STORE or --url URL for STOW-RS.")
    try:
        if pacs is not None:
            from ganatomy.dicom.association import CStoreArchive

            return CStoreArchive(pacs, calling_aet)
        from ganatomy.dicom.dicomweb import StowArchive

        return StowArchive(str(url))
    except ModuleNotFoundError as error:
        wanting = f"Sending needs the package {error.name}; install it with: pip install 'ganatomy[pacs]'"
        raise Refused(wanting) from error


def deliver_instances(datasets: Iterable[Dataset], archive: Destination, journal: Path) -> DeliveryReport:
    """Send instances, retry those that may still be accepted, and record each answer.

    Args:
        datasets: the instances.
        archive: the destination.
        journal: file with one JSON line per answer; instances that this archive has accepted are not sent again.

    Raises:
        DeliveryError: the archive became unreachable.
    """
    done = _read_accepted(journal, archive.name)
    counts = {True: 0, False: 0}
    refused: list[Outcome] = []
    before = 0

    def new() -> Iterator[Dataset]:
        nonlocal before
        for ds in datasets:
            if ds.SOPInstanceUID in done:
                before += 1
            else:
                yield ds

    with journal.open("a", encoding="utf-8") as notes, progress.bar(f"sending to {archive.name}", None) as bar:
        for batch in _make_batches(new(), archive.batch_bytes):
            for outcome in _send_with_retries(batch, archive):
                row = {"to": archive.name, "uid": outcome.uid, "accepted": outcome.accepted, "told": outcome.status}
                notes.write(json.dumps(row) + "\n")
                counts[outcome.accepted] += 1
                if not outcome.accepted:
                    refused.append(outcome)
                bar.advance(note=f"{counts[False]} refused" if refused else "")
            notes.flush()
    return DeliveryReport(counts[True], before, tuple(refused))


def _send_with_retries(batch: list[Dataset], archive: Destination) -> list[Outcome]:
    """Send a batch with retries; returns the final outcome of each instance."""
    final: dict[str, Outcome] = {}
    lost = ""
    for wait in (0.0, *RETRY_DELAYS):
        left = [ds for ds in batch if str(ds.SOPInstanceUID) not in final or final[str(ds.SOPInstanceUID)].retryable]
        if not left:
            break
        time.sleep(wait)
        try:
            final |= {outcome.uid: outcome for outcome in archive.send(left)}
            lost = ""
        except UnreachableError as error:
            lost = str(error)
    if lost:
        raise DeliveryError(
            f"{lost}, after {1 + len(RETRY_DELAYS)} tries. Give the same command again to send the remaining instances."
        )
    return [final[str(ds.SOPInstanceUID)] for ds in batch]


def _make_batches(datasets: Iterator[Dataset], batch_bytes: int) -> Iterator[list[Dataset]]:
    """Form batches of at least one instance and at most `batch_bytes` of pixels."""
    batch: list[Dataset] = []
    size = 0
    for ds in datasets:
        if batch and size + len(ds.PixelData) > batch_bytes:
            yield batch
            batch, size = [], 0
        batch.append(ds)
        size += len(ds.PixelData)
    if batch:
        yield batch


def _read_accepted(journal: Path, name: str) -> set[str]:
    """Read the UIDs that this archive has accepted, without an unfinished last line of a killed process."""
    if not journal.exists():
        return set()
    text = journal.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        journal.write_text(whole, encoding="utf-8")
    return {uid for line in whole.split("\n") if (uid := _read_accepted_uid(line, name))}


def _read_accepted_uid(line: str, name: str) -> str | None:
    """Read the UID of a line if it records an acceptance by this archive; None otherwise, also for a broken line."""
    try:
        row = json.loads(line)
        return str(row["uid"]) if row["to"] == name and row["accepted"] is True else None
    except (ValueError, LookupError, TypeError):
        return None
