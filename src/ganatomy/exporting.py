"""Samples to files: 16-bit PNG, NPY, DICOM. Each says that it is synthetic and how it was made."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from ganatomy import progress
from ganatomy.dicom import write, write_mammogram
from ganatomy.durable import new_file, read_lines, write_lines, write_text
from ganatomy.image import Image
from ganatomy.modalities import table as modalities
from ganatomy.pictures import save_png, sixteen_bit
from ganatomy.refused import Refused

INDEX = "samples.jsonl"
UNFINISHED = "unfinished.txt"
FORMATS = ("png", "npy", "dicom")

Sample = tuple[Image, dict[str, Any]]


def write_samples(
    samples: Iterable[Sample], n: int, modality: str, out: Path, to: str, date: str | None = None,
    spacing: float | None = None,
) -> int:  # fmt: skip
    """Write samples and ``samples.jsonl``, which comes last; returns how many. An interrupted folder is finished.

    Args:
        samples: images in [-1, 1], canonically oriented, with their records.
        n: how many there are, for the progress bar.
        to: ``png`` (16 bit, as displayed), ``npy`` (float32 in [-1, 1], canonical) or ``dicom``.
        date: YYYYMMDD written into DICOM; None = today.
        spacing: millimetres, for models whose training images had none.

    Raises:
        Refused: an unknown format, or `out` holds something else.
    """
    if to not in FORMATS:
        raise Refused(f"--to {to}: there are {', '.join(FORMATS)}.")
    date = _date(date)
    if out.exists() and any(out.iterdir()) and not (out / UNFINISHED).exists():
        raise Refused(f"{out} is not empty; give a new folder.")
    write_text(out / UNFINISHED, "This folder is being written; the same command finishes it.\n")
    kind = modalities.named(modality)()
    studies: Counter[tuple[str, ...]] = Counter()
    rows = []
    try:
        with progress.bar(f"writing {to}", n) as bar:
            for image, record in samples:
                if image.spacing is None and spacing is not None:
                    image = image.but(spacing=(spacing,) * image.pixels.ndim)
                shown = kind.denormalise(image)
                if to == "dicom":
                    key = tuple(image.facts.values())
                    studies[key] += 1
                    file = _dicom(shown, record, studies[key], date, out)
                else:
                    file = _picture(shown, record, out) if to == "png" else _array(image, record, out)
                rows.append({"file": file, "modality": modality, "spacing": image.spacing, "record": record})
                bar.advance()
    except Refused:
        if not rows:  # nothing was written, so nothing is left behind
            (out / UNFINISHED).unlink()
            out.rmdir()
        raise
    write_lines(out / INDEX, rows)
    (out / UNFINISHED).unlink()
    return len(rows)


def export(
    samples: Path | str, out: Path | str, to: str = "dicom", date: str | None = None, spacing: float | None = None
) -> int:
    """Write a folder of samples in another format; returns how many.

    Args:
        samples: made by `sample` as PNG or NPY.
        out: a new folder, or one that an interrupted export left: it is finished.
        to: ``dicom``, ``png`` or ``npy``.

    Raises:
        Refused: no samples, or something that the format needs is not known.
    """
    rows, images = read_samples(Path(samples))
    return write_samples(images, len(rows), rows[0]["modality"], Path(out), to, date, spacing)


def read_samples(folder: Path) -> tuple[list[dict[str, Any]], Iterator[Sample]]:
    """The rows of a folder of PNG or NPY samples, and the images in [-1, 1], canonically oriented, one at a time.

    Raises:
        Refused: no samples there, or a format that samples are not read back from.
    """
    if not (folder / INDEX).exists():
        raise Refused(f"{folder} holds no {INDEX}; make samples with: ganatomy sample RUN --n 64 --out {folder}")
    rows = read_lines(folder / INDEX)
    if any(not row["file"].endswith((".png", ".npy")) for row in rows):
        raise Refused(f"{folder} holds DICOM; give the folder of PNG or NPY samples that it was made from.")
    return rows, (_read(folder, row) for row in rows)


def _read(folder: Path, row: dict[str, Any]) -> Sample:
    record = row["record"]
    kind = modalities.named(row["modality"])()
    facts = {name: record[name] for name in kind.conditions if name in record}
    spacing = None if row["spacing"] is None else tuple(row["spacing"])
    file = folder / row["file"]
    try:
        if file.suffix == ".npy":
            return Image(np.load(file, allow_pickle=False), spacing, facts), record
        with Pillow.open(file) as picture:
            pixels = np.asarray(picture).astype(np.float32) / np.float32(65535)
        return kind.canonical(Image(pixels, spacing, facts)), record
    except (OSError, ValueError) as error:
        raise Refused(f"{file} cannot be read ({error}); draw the samples again.") from error


def _name(record: dict[str, Any]) -> str:
    return f"{record['seed']:04d}-{record['index']:06d}"


def _date(text: str | None) -> str:
    """A DICOM date (PS3.5 table 6.2-1); None = today."""
    try:
        return (datetime.strptime(text, "%Y%m%d") if text else datetime.now(UTC)).strftime("%Y%m%d")
    except ValueError:
        raise Refused(f"--date {text}: give eight digits, YYYYMMDD, such as 20260131.") from None


def _picture(shown: Image, record: dict[str, Any], out: Path) -> str:
    name = f"{_name(record)}.png"
    text = {"Comment": write.COMMENT, "Provenance": json.dumps(record)}
    save_png(sixteen_bit(shown.pixels), out / name, text)
    return name


def _array(image: Image, record: dict[str, Any], out: Path) -> str:
    name = f"{_name(record)}.npy"
    with new_file(out / name) as temporary, temporary.open("wb") as file:
        np.save(file, image.pixels.astype(np.float32))
    return name


def _dicom(shown: Image, record: dict[str, Any], study: int, date: str, out: Path) -> str:
    """A mammogram of the study with this number: the k-th image of each view and laterality makes study k."""
    missing = [name for name in ("view_position", "laterality") if name not in shown.facts]
    if missing:
        raise Refused(
            f"DICOM needs {' and '.join(missing)} and the samples do not say; draw them with"
            f" --condition {missing[0]}=..., or write PNG."
        )
    if shown.spacing is None:
        raise Refused("DICOM needs the pixel spacing and the training images had none; write PNG, or give --spacing.")
    subject = write.Subject(study, "SYNTHETIC", f"{record['snapshot_sha256']} {record['seed']}", date)
    view, laterality = shown.facts["view_position"], shown.facts["laterality"]
    ds = write_mammogram.instance(shown.pixels, shown.spacing, view, laterality, subject, record)
    name = f"{subject.identifier}/{laterality}{view}.dcm"
    write.save(ds, out / name)
    return name
