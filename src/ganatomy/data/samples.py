"""Reading of a folder of samples: its index, its images, and the result of its privacy audit."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image as Pillow
from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from ganatomy.channels import MAX_CLASSES
from ganatomy.config import Config, explain_validation_error
from ganatomy.data.decisions import read_decisions
from ganatomy.errors import Refused
from ganatomy.imaging import nifti
from ganatomy.imaging.image import Image, UnusableImage
from ganatomy.imaging.orientation import reorient_volume
from ganatomy.imaging.sandbox import reading_sandbox
from ganatomy.machine import progress
from ganatomy.machine.durable import compute_sha256, read_json, read_lines
from ganatomy.machine.progress import format_name
from ganatomy.modalities import table as modalities
from ganatomy.modalities.folder import list_folder
from ganatomy.modalities.modality import Modality
from ganatomy.modalities.pictures import read_mask_picture
from ganatomy.pyramid import format_shape

INDEX_FILE = "samples.jsonl"
READABLE_SUFFIXES = (".png", ".npy", ".nii.gz")
SAMPLE_SUFFIXES = (".png", ".npy", ".gz")  # suffixes of files from which samples are read
AUDIT_FILE = "audit.json"  # result of the privacy audit, written by `evaluate`

Sample = tuple[Image, dict[str, Any]]


def read_samples(folder: Path) -> tuple[list[dict[str, Any]], Iterator[Sample]]:
    """Read the rows of a folder of PNG, NPY or NIfTI samples, and its images in [-1, 1], oriented canonically.

    Raises:
        Refused: there are no samples, or they have a format from which samples are not read.
    """
    if not (folder / INDEX_FILE).exists():
        raise Refused(f"{folder} holds no {INDEX_FILE}; make samples with: ganatomy sample RUN --n 64 --out {folder}")
    rows = read_index(folder)
    if not is_readable(rows):
        raise Refused(f"{folder} contains DICOM; give the folder of PNG, NPY or NIfTI samples from which it was made.")
    _check_files(folder, list_files_of(rows))
    return rows, (read_sample(folder, row) for row in rows)


def count_unnamed_files(folder: Path) -> tuple[int, str]:
    """Count the files of a folder of samples that its index does not name, except texts and hidden files.

    Returns:
        The number, and the name of the first such file.
    """
    named = set(list_files_of(read_lines(folder / INDEX_FILE)))
    others = [
        name
        for path, name in list_folder(folder).files
        if name not in named and path.suffix.lower() in SAMPLE_SUFFIXES and name != INDEX_FILE
    ]
    return len(others), next(iter(others), "")


def _check_files(folder: Path, names: list[str]) -> None:
    """Refuse an index that names paths that are not files: dangling links, pipes, or missing paths."""
    lost = [name for name in names if not (folder / name).is_file()]
    if lost:
        raise Refused(
            f"{folder} lacks {len(lost)} of {len(names)} files that its {INDEX_FILE} names, such as"
            f" {format_name(lost[0])}; draw the samples again."
        )


def list_files_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """List the files of rows of an index: the image of each, and its label map if it has one."""
    return [file for row in rows for file in (row["file"], *([row["labels"]["file"]] if row.get("labels") else []))]


def has_samples(folder: Path) -> bool:
    """Whether a folder has samples that `read_samples` can read."""
    return (folder / INDEX_FILE).exists() and is_readable(read_index(folder))


def hash_samples(samples: Path) -> str:
    """Compute SHA-256 over the index and every file that it names."""
    digest = hashlib.sha256((samples / INDEX_FILE).read_bytes())
    for file in list_files_of(read_index(samples)):
        digest.update(compute_sha256(samples / file).encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class AuditChoice:
    """The user's choice of samples: about their privacy audit, and by decisions about each.

    Args:
        despite: use the samples even if they failed the audit.
        without_suspects: leave out the suspects of the audit.
        only: a file of decisions; leave out all samples that were not accepted in it. None = there is none.
    """

    despite: bool = False
    without_suspects: bool = False
    only: Path | None = None


def read_audited_samples(folder: Path, choice: AuditChoice) -> tuple[list[dict[str, Any]], Iterator[Sample]]:
    """Read, like `read_samples`, the samples that may be given to others.

    Raises:
        Refused: there are no samples, they failed the audit and the choice does not say how to proceed, or none is
            left.
    """
    rows, images = read_samples(folder)
    suspects = _check_audit(folder, choice)
    accepted = None if choice.only is None else read_decisions(choice.only, folder / INDEX_FILE).accepted
    if suspects:
        progress.say(
            f"{len(suspects)} of {len(rows)} samples are left out, since they may be copies of training images."
        )
    kept = [row["file"] not in suspects for row in rows]
    if not any(kept):
        raise Refused(f"All {len(rows)} samples of {folder} may be copies of training images, so that none is left.")
    if accepted is not None:
        kept = [here and row["file"] in accepted for here, row in zip(kept, rows, strict=True)]
        progress.say(f"{sum(kept)} of {len(rows)} samples were accepted in {choice.only}; the others are left out.")
    if not any(kept):
        raise Refused(f"{choice.only} accepts no sample of {folder} that may be exported, so that none is left.")
    return list(itertools.compress(rows, kept)), itertools.compress(images, kept)


def _check_audit(samples: Path, choice: AuditChoice) -> set[str]:
    """Refuse samples that failed the privacy audit of `evaluate`; warn if there was no audit.

    Returns:
        The files to leave out.
    """
    problem = None
    word = read_json(samples / AUDIT_FILE) if (samples / AUDIT_FILE).exists() else {}
    if not word:
        problem = f"These samples were not audited for copies; ganatomy evaluate {samples} STORE does that."
    elif not word.keys() >= {"samples_sha256", "passed", "verdict"} or word["samples_sha256"] != hash_samples(samples):
        problem = f"{samples} has changed since it was audited for copies; evaluate it again."
    elif choice.without_suspects and "suspects" not in word:
        problem = f"The audit of {samples} does not list suspects, since an earlier release made it; evaluate it again."
    if problem is not None:
        if choice.without_suspects:
            raise Refused(problem)
        progress.say(problem)
        return set()
    passed = word["passed"] or (choice.without_suspects and word.get("passed_without_suspects", False))
    if not passed and not choice.despite:
        told = f"{samples} failed the privacy audit. {word['verdict']}"
        if word.get("passed_without_suspects"):
            told += " To leave out the samples that may be copies: --without-suspects."
        raise Refused(f"{told} To export all of them nevertheless: --despite-audit")
    return set(word["suspects"]) if choice.without_suspects else set()


class _Record(Config):
    """The part of a record that is checked: seed and index, which make the file name. The rest is kept unchanged."""

    model_config = ConfigDict(extra="allow")

    seed: int
    index: int = Field(ge=0)


def _check_within(file: str) -> str:
    """Check that a file lies in the folder of its index."""
    if Path(file).is_absolute() or ".." in Path(file).parts or "\0" in file:
        raise ValueError("a file lies in the folder of its index")
    return file


class _Labels(Config):
    """The label map of a row of the index: its file, and the names of its classes by number."""

    file: Annotated[str, AfterValidator(_check_within)]
    classes: tuple[str, ...] = Field(min_length=2, max_length=MAX_CLASSES + 1)


class _Row(Config):
    """A row of the index, which is checked because the file may have been edited."""

    model_config = ConfigDict(extra="allow")

    file: Annotated[str, AfterValidator(_check_within)]
    modality: str
    spacing: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] | None
    facts: dict[str, str] = Field(default_factory=dict)
    record: _Record
    labels: _Labels | None = None


def read_index(folder: Path) -> list[dict[str, Any]]:
    """Read the rows of the index of a folder.

    Raises:
        Refused: a row is not as `write_samples` writes it, or two rows have the same seed and number.
    """
    rows, seen = read_lines(folder / INDEX_FILE), set()
    for number, row in enumerate(rows, 1):
        where = f"line {number} of {folder / INDEX_FILE}"
        try:
            record = _Row.model_validate(row).record
        except ValidationError as error:
            raise Refused(
                f"{where} is not as it was written: {explain_validation_error(error, _Row)}. Draw the samples again."
            ) from error
        if (record.seed, record.index) in seen:
            raise Refused(
                f"{where} is a second sample of seed {record.seed} and number {record.index}, and both would become one"
                " file; leave one out, or draw the samples again."
            )
        seen.add((record.seed, record.index))
    if not rows:
        raise Refused(f"{folder / INDEX_FILE} is empty; draw the samples again.")
    return rows


def is_readable(rows: list[dict[str, Any]]) -> bool:
    """Whether the samples of an index are in formats that they can be read back from."""
    return all(row["file"].endswith(READABLE_SUFFIXES) for row in rows)


def read_sample(folder: Path, row: dict[str, Any]) -> Sample:
    """The image of a row of the index, in [-1, 1] and canonically oriented, and its record.

    Raises:
        Refused: the file cannot be read.
    """
    record = row["record"]
    kind = modalities.get_modality(row["modality"])()
    facts = row.get("facts") or {name: record[name] for name in kind.conditions if name in record}
    spacing = None if row["spacing"] is None else tuple(row["spacing"])
    file = folder / row["file"]
    try:
        with reading_sandbox((file,)):
            image = _read_sample_file(file, kind, spacing, facts)
        if row.get("labels"):
            file = folder / row["labels"]["file"]
            with reading_sandbox((file,)):
                image = _add_labels(image, file, tuple(row["labels"]["classes"]), kind)
        return image, record
    except UnusableImage as error:
        raise Refused(f"{file} cannot be read ({error}); draw the samples again.") from error


def _read_sample_file(file: Path, kind: Modality, spacing: tuple[float, ...] | None, facts: dict[str, str]) -> Image:
    if file.suffix == ".npy":
        return Image(np.load(file, allow_pickle=False), spacing, facts)
    if nifti.is_nifti(file):
        voxels, spacing, *_ = nifti.read_nifti(file)
        return kind.canonicalise(Image(voxels, spacing, facts))
    with Pillow.open(file, formats=("PNG",)) as picture:
        pixels = np.asarray(picture).astype(np.float32) / np.float32(65535)
    return kind.canonicalise(Image(pixels, spacing, facts))


def _add_labels(image: Image, file: Path, classes: tuple[str, ...], kind: Modality) -> Image:
    """Add the label map of a file to an image, as shares of 0 and 1.

    Raises:
        UnusableImage: it has another size, or a number that is no class.
    """
    if file.suffix == ".npy":
        numbers = np.load(file, allow_pickle=False)
    elif nifti.is_nifti(file):
        numbers = reorient_volume(*nifti.read_label_map(file)).voxels
    else:
        numbers = kind.show_map(read_mask_picture(file)[None], image)[0]
    if numbers.shape != image.shape or not np.isin(numbers, range(len(classes))).all():
        raise UnusableImage("label map does not fit", f"{format_shape(numbers.shape)}, values up to {numbers.max()}")
    shares = np.stack([numbers == number for number in range(len(classes))]).astype(np.float32)
    return image.copy_with(shares=shares, classes=classes)
