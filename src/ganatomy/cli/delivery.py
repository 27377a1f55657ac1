"""The commands that deliver, describe and check images: export, croissant, verify."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from ganatomy.cli.app import Given, answer, command
from ganatomy.cli.options import DryRun, Json, OptionalAmount, Quiet
from ganatomy.errors import Refused
from ganatomy.machine import progress

Flag = Annotated[bool, arg(help_behavior_hint="")]
ARCHIVE_FORMATS = ("pacs", "dicomweb")
REFUSALS_SHOWN = 20  # refused instances to print; the journal lists all of them


@command()
def export(
    samples: Positional[Path],
    out: Path | None = None,
    to: str = "dicom",
    pacs: str | None = None,
    url: str | None = None,
    calling_aet: str = "GANATOMY",
    enhanced: Flag = False,
    secondary_capture: Flag = False,
    compress: str | None = None,
    label: Flag = False,
    spacing: OptionalAmount = None,
    date: str | None = None,
    despite_audit: Flag = False,
    without_suspects: Flag = False,
    sign_key: Path | None = None,
    only: Path | None = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Write samples in another format or send them as DICOM; the same command resumes after an interruption.

    Args:
        samples: a folder made by sample
        out: output folder, new, empty or that of an interrupted export; not used with --to pacs and --to dicomweb
        to: dicom, png, nifti, npy, hanging (PNG with four mammograms), pacs (C-STORE) or dicomweb (STOW-RS)
        pacs: address of the archive as HOST:PORT/AET, for --to pacs
        url: address of the DICOMweb service, for --to dicomweb; the credentials are taken from the environment
            variables GANATOMY_DICOMWEB_TOKEN, or GANATOMY_DICOMWEB_USER and GANATOMY_DICOMWEB_PASSWORD, or from a
            netrc file
        calling_aet: calling Application Entity Title, for --to pacs
        enhanced: write each volume as one Enhanced CT or MR instance instead of a series of slices
        secondary_capture: write Secondary Capture objects, for archives that refuse the modality's own objects
        compress: lossless compression: rle, jpeg-ls or jpeg2000
        label: write the word SYNTHETIC into the pixels, outside the anatomy
        spacing: pixel spacing in mm, if the training images had none
        date: date of the DICOM studies as YYYYMMDD; by default the day on which the samples were drawn
        despite_audit: export samples even if they failed the privacy audit
        without_suspects: leave out the samples that the privacy audit suspects of being copies
        sign_key: PEM file with a private key and its certificate; signs DICOM instances (PS3.15 C.2) or PNG files
            (C2PA); an encrypted key's password is taken from the environment variable GANATOMY_SIGN_PASSWORD
        only: file of decisions, as the studio writes them; only the samples that it accepts are written or sent
    """
    from ganatomy.data.samples import INDEX_FILE, AuditChoice, count_unnamed_files, read_audited_samples
    from ganatomy.exporting import export as exporting

    _check_destination(to, out, pacs, url)
    if dry_run:
        rows, _ = read_audited_samples(samples, AuditChoice(despite_audit, without_suspects, only))
        return progress.say(f"{len(rows)} images would be written or sent to {out or pacs or url} as {to}.")
    if (samples / INDEX_FILE).exists() and (others := count_unnamed_files(samples))[0]:
        progress.say(f"{others[0]} files of {samples} are not in its {INDEX_FILE} and stay, such as {others[1]}.")
    how: dict[str, Any] = {
        "date": date,
        "spacing": spacing,
        "despite_audit": despite_audit,
        "enhanced": enhanced,
        "secondary_capture": secondary_capture,
        "compress": compress,
        "label": label,
        "without_suspects": without_suspects,
        "sign_key": sign_key,
        "only": only,
    }
    if to not in ARCHIVE_FORMATS:
        return progress.say(f"{exporting.export(samples, str(out), to, **how)} images in {out}")
    from ganatomy.exporting.send import JOURNAL_FILE as JOURNAL
    from ganatomy.exporting.send import DeliveryError, send

    sent = send(samples, pacs, url, calling_aet, **how)
    before = f"; {sent.accepted_before} had been accepted earlier" if sent.accepted_before else ""
    progress.say(f"{sent.accepted} instances accepted by {pacs or url}{before}; see {samples / JOURNAL}")
    if sent.refused:
        listed = "".join(f"\n  {one.uid}: {one.status}" for one in sent.refused[:REFUSALS_SHOWN])
        raise DeliveryError(
            f"{len(sent.refused)} instances were refused; {samples / JOURNAL} lists all of them:{listed}"
        )


def _check_destination(to: str, out: Path | None, pacs: str | None, url: str | None) -> None:
    """Refuse a destination without an address, and an address without a destination."""
    for flag, given, needed in (("pacs HOST:PORT/AET", pacs, "pacs"), ("url URL", url, "dicomweb")):
        if (given is not None) != (to == needed):
            raise Refused(f"--to {needed} and --{flag} belong together; got --to {to}.")
    if (out is None) != (to in ARCHIVE_FORMATS):
        raise Refused(
            f"--to {to}: " + ("give --out, a new folder." if out is None else "no files are written, so omit --out.")
        )


def _find_described(given: Given) -> Path | None:
    """Return the folder that `croissant` describes, which it writes into."""
    return Path(given["folder"])


@command(place=_find_described)
def croissant(
    folder: Positional[Path],
    name: str | None = None,
    licence: str | None = None,
    url: str | None = None,
    citation: str | None = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Describe a store or a folder of samples in the format of MLCommons, as croissant.json in that folder.

    Args:
        folder: a store made by prepare, or samples made by sample or export
        name: name of the data; by default modality and hash
        licence: licence of the data, a name or an address
        url: address of the data
        citation: how to cite the data
    """
    from ganatomy.exporting.croissant import CROISSANT_FILE, write_croissant

    if dry_run:
        return progress.say(f"{folder / CROISSANT_FILE} would be written.")
    made = write_croissant(folder, name, licence, url, citation)
    missing = [word for word in ("license", "url", "citeAs") if word not in made]
    told = f"; not stated: {', '.join(missing)}" if missing else ""
    progress.say(
        f"{folder / CROISSANT_FILE}: {made['name']}, {len(made['distribution'])} files and sets of files{told}"
    )


@command(folder=False)
def verify(
    folder: Positional[Path],
    snapshot: Path | None = None,
    out: Path | None = None,
    device: str | None = None,
    json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Check whether the files of a folder are marked synthetic, which model made them, and whether that is true.

    Args:
        folder: folder of DICOM, PNG, TIFF, JPEG, NIfTI and NPY files of any origin
        snapshot: a run or snapshot; every image that it made is generated again from its seed and compared
        out: file for all findings, one JSON object per line
        device: cpu or cuda
    """
    from ganatomy.exporting import findings as found
    from ganatomy.exporting import verify as verifying

    if dry_run:
        return progress.say(f"The image files of {folder} would be read" + (f" and {out} written." if out else "."))
    findings = verifying.verify(folder, snapshot, out, device)
    for line in found.summarise_findings(findings):
        progress.say(line)
    if json:
        answer([asdict(finding) | {"is_sound": finding.is_sound} for finding in findings])
    if wrong := sum(not finding.is_sound for finding in findings):
        raise found.VerificationError(
            f"{wrong} of {len(findings)} files are not marked synthetic or contradict their own record."
        )
    progress.say(f"all {len(findings)} files are marked synthetic and consistent with their record")
