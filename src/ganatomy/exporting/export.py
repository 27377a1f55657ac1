"""The function `export`: write samples to a folder of files with an index."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

from ganatomy.data.samples import INDEX_FILE, AuditChoice, Sample, read_audited_samples
from ganatomy.dicom.instances import PLAIN_FORM, DicomForm
from ganatomy.errors import Refused, refuse_name
from ganatomy.exporting.label import LABEL_TEXT, draw_label
from ganatomy.exporting.label_writers import make_label_writer
from ganatomy.exporting.signing import read_key_for
from ganatomy.exporting.writers import make_writer
from ganatomy.imaging.image import Image
from ganatomy.imaging.npy import MARK_SUFFIX
from ganatomy.machine import progress
from ganatomy.machine.durable import read_json, sync_tree, write_json, write_lines
from ganatomy.machine.signing_key import SigningKey
from ganatomy.modalities import table as modalities

UNFINISHED_FILE = "unfinished.json"
SAMPLE_SUFFIXES = (".png", ".npy", MARK_SUFFIX, ".gz", ".dcm", ".part")  # of samples, and of unfinished files


def write_samples(
    samples: Iterable[Sample],
    n: int,
    modality: str,
    out: Path,
    to: str | None = None,
    date: str | None = None,
    spacing: float | None = None,
    form: DicomForm = PLAIN_FORM,
    label: bool = False,
    key: SigningKey | None = None,
) -> int:
    """Write samples, and last ``samples.jsonl``; returns the number of samples. An interrupted folder is resumed.

    Args:
        samples: images in [-1, 1], canonically oriented, with their records.
        n: number of samples, for the progress bar.
        modality: name of the modality.
        out: a new folder, or the folder of an interrupted export.
        to: ``png`` (16 bit, as displayed), ``npy`` (float32 in [-1, 1], canonical), ``nifti``, ``dicom``, or a format
            of the modality such as ``hanging``; None = the modality's default.
        date: date of the DICOM studies as YYYYMMDD; None = today, or the day on which an interrupted export began.
        spacing: millimetres per pixel, for models whose training images had none.
        form: the options of DICOM objects.
        label: write SYNTHETIC into the image, outside the anatomy.
        key: signs every file; None = the files are not signed.

    Raises:
        Refused: the format is unknown, or `out` holds something else.
    """
    kind = modalities.get_modality(modality)()
    to = to or kind.formats[0]
    if to not in kind.formats:
        raise refuse_name(f"--to {to}: {modality} is not written in this format", to, kind.formats)
    if label and to == "npy":
        raise Refused(
            "--label cannot be combined with --to npy, whose values are the network's output; choose another format."
        )
    wish = {"modality": modality, "to": to, "label": label, **asdict(form)}
    wish |= {} if key is None else {"signed by": key.owner}
    date = _resolve_date(out, wish, date)
    write_one = make_writer(to, kind, out, date, form, key)
    write_json(out / UNFINISHED_FILE, {"told": "The same command finishes this folder.", "date": date, "wish": wish})
    rows: list[dict[str, Any]] = []
    try:
        with progress.bar(f"writing {to}", n) as bar:
            for image, shown, record in render_samples(samples, modality, spacing, label):
                labels = {}
                if image.shares is not None:  # the map first, which not every format has
                    map_file = make_label_writer(to, out, key)(image, shown, record)
                    labels = {"labels": {"file": map_file, "classes": list(image.classes)}}
                file = write_one(image, shown, record)
                facts = dict(image.facts)
                rows.append(
                    {
                        "file": file,
                        "modality": modality,
                        "spacing": image.spacing,
                        "facts": facts,
                        "date": date,
                        "record": record,
                        **labels,
                    }
                )
                bar.advance()
    except Refused:
        if [path.name for path in out.iterdir()] == [UNFINISHED_FILE]:  # nothing was written, so the folder is removed
            (out / UNFINISHED_FILE).unlink()
            out.rmdir()
        raise
    sync_tree(out)
    write_lines(out / INDEX_FILE, rows)
    (out / UNFINISHED_FILE).unlink()
    return len(rows)


def render_samples(
    samples: Iterable[Sample], modality: str, spacing: float | None, label: bool
) -> Iterator[tuple[Image, Image, dict[str, Any]]]:
    """Render samples; yields the sample with its spacing, the image in its own values as displayed, and the record.

    Args:
        spacing: millimetres per pixel, for samples that have none.
        label: write SYNTHETIC into the displayed image, which the record states.

    Raises:
        Refused: there is no room for the label.
    """
    kind = modalities.get_modality(modality)()
    for image, record in samples:
        if image.spacing is None and spacing is not None:
            image = image.copy_with(spacing=(spacing,) * image.pixels.ndim)
        shown = kind.denormalise(image)
        if image.shares is not None:
            shown = shown.copy_with(shares=kind.show_map(image.shares, image))
        if label:
            shown = shown.copy_with(pixels=draw_label(shown.pixels, kind.segment_foreground(shown)))
            record = record | {"label": LABEL_TEXT}
        yield image, shown, record


def export(
    samples: str | PathLike[str],
    out: str | PathLike[str],
    to: str = "dicom",
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
) -> int:
    """Write a folder of samples in another format. Samples that failed the privacy audit are not written.

    Args:
        samples: folder of samples as PNG, NPY or NIfTI.
        out: a new folder, or the folder of an interrupted export, which is resumed.
        to: ``dicom``, ``png`` (16 bit), ``nifti``, ``npy`` (float32 in [-1, 1]) or ``hanging``.
        date: date of the DICOM studies as YYYYMMDD; None = the day on which the samples were drawn, so that the same
            samples always give the same files.
        spacing: millimetres per pixel, for samples that have none.
        despite_audit: export samples even if they failed the audit.
        enhanced: write each volume as one Enhanced CT or MR instance.
        secondary_capture: write Secondary Capture objects, for archives that refuse the modality's own objects.
        compress: lossless compression, ``rle``, ``jpeg-ls`` or ``jpeg2000``; None = not compressed.
        label: write SYNTHETIC into the image, outside the anatomy.
        without_suspects: leave out the samples that the audit suspects of being copies.
        sign_key: a PEM file with a private key and its certificate, by which DICOM instances (PS3.15 C.2) or PNG files
            (C2PA) are signed; None = they are not signed. It needs ``pip install 'ganatomy[sign]'``.
        only: a file of decisions, as ``ganatomy studio`` writes them; only the samples that it accepts are written.
            None = all.

    Returns:
        The number of samples.

    Raises:
        Refused: the folder has no samples, they failed the privacy audit, a value that the format needs is unknown, or
            the key cannot be used.

    Example:
        >>> import ganatomy
        >>> folder = ganatomy.sample("runs/00000-pggan-mammogram", 4, out="to-export", to="png")
        >>> ganatomy.export(folder, "dicom", to="dicom", date="20260131")
        4
    """
    key = read_key_for(None if sign_key is None else Path(sign_key), to)
    rows, images = read_audited_samples(
        Path(samples), AuditChoice(despite_audit, without_suspects, None if only is None else Path(only))
    )
    form = DicomForm(enhanced, secondary_capture, compress)
    date = date or rows[0].get("date")
    return write_samples(images, len(rows), rows[0]["modality"], Path(out), to, date, spacing, form, label, key)


def _resolve_date(out: Path, request: dict[str, Any], date: str | None) -> str:
    """Return the date of the studies for a new folder or for that of an interrupted command, which is cleared.

    Raises:
        Refused: the folder holds something else, or was begun with other arguments.
    """
    mark = out / UNFINISHED_FILE
    if mark.exists():
        begun = read_json(mark)
        if begun["wish"] != request or date not in (None, begun["date"]):
            told = ", ".join(f"{name} {value}" for name, value in begun["wish"].items() if value)
            raise Refused(f"{out} was begun with {told}, date {begun['date']}; give that again, or a new folder.")
        _remove_unfinished(out)
        return str(begun["date"])
    if out.exists() and any(out.iterdir()):
        raise Refused(f"{out} is not empty; give a new folder.")
    return parse_dicom_date(date)


def _remove_unfinished(out: Path) -> None:
    """Remove the files of an interrupted command: all are written again, and those of another seed would remain."""
    for path in list(out.rglob("*")):
        if path.name.endswith(SAMPLE_SUFFIXES):
            path.unlink()
    for path in sorted(out.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def parse_dicom_date(text: str | None) -> str:
    """Parse a DICOM date (PS3.5 table 6.2-1); None = today."""
    try:
        return (datetime.strptime(text, "%Y%m%d") if text else datetime.now(UTC)).strftime("%Y%m%d")
    except ValueError:
        raise Refused(f"--date {text}: give eight digits, YYYYMMDD, such as 20260131.") from None
