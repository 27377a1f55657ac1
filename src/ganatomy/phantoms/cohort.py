"""A cohort of phantom patients as DICOM or NIfTI files with a table of truth."""

import csv
import io
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ganatomy.dicom import write, write_mammogram, write_series
from ganatomy.dicom.volume_class import CT, MR
from ganatomy.errors import Refused
from ganatomy.imaging import nifti
from ganatomy.machine import progress
from ganatomy.machine.durable import write_text
from ganatomy.machine.processes import worker_pool
from ganatomy.phantoms import breast
from ganatomy.phantoms.head import make_brain
from ganatomy.phantoms.mammogram import make_mammogram
from ganatomy.phantoms.thorax import make_thorax
from ganatomy.pyramid import Shape
from ganatomy.steps.hierarchy import fits_hierarchy

STUDY_DATE = "20260101"  # of every phantom study, so that the same seed gives the same files
TRUTH_FILE = "truth.csv"
VOLUME_PHANTOMS = {"chest_ct": (make_thorax, CT), "brain_mri": (make_brain, MR)}
PHANTOM_KINDS = ("mammogram", *VOLUME_PHANTOMS)
DEFAULT_SHAPES: dict[str, Shape] = {
    "mammogram": (1280, 1024),
    "chest_ct": (128, 128, 128),
    "brain_mri": (128, 128, 128),
}

PatientWriter = Callable[[int], list[dict[str, Any]]]  # number of a patient -> rows of truth, files written


def write_cohort(
    kind: str,
    out: Path,
    patients: int,
    seed: int = 0,
    shape: Shape | None = None,
    to: str = "dicom",
    workers: int | None = None,
) -> int:
    """Write phantom patients of a kind and ``truth.csv``; returns the number of images.

    The same seed gives the same files, whatever the number of workers.

    Args:
        kind: ``mammogram`` (four views a patient), ``chest_ct`` or ``brain_mri`` (one volume a patient).
        to: ``dicom`` or, for volumes, ``nifti``.

    Raises:
        Refused: an unknown kind or format, `out` holds files already, or the numbers make no sense.
    """
    if kind not in PHANTOM_KINDS:
        raise Refused(f"There is no phantom {kind!r}; there are {', '.join(PHANTOM_KINDS)}.")
    if patients < 1:
        raise Refused(f"--patients {patients}: give a number of 1 or more.")
    shape = shape or DEFAULT_SHAPES[kind]
    _check_request(kind, shape, to)
    if out.exists() and any(out.iterdir()):
        raise Refused(f"{out} is not empty; give a new folder.")
    if kind == "mammogram":
        return _write_patients(partial(_write_mammograms, out, seed, shape), out, patients, workers)
    return _write_patients(partial(_write_volume, kind, out, seed, shape, to), out, patients, workers)


def _check_request(kind: str, shape: Shape, to: str) -> None:
    words = f"--shape {','.join(map(str, shape))}"
    if kind == "mammogram":
        if len(shape) != 2 or min(shape) < 32 or shape[0] * 4 != shape[1] * 5:
            raise Refused(f"{words}: mammograms are 5 to 4, at least 40,32, such as 1280,1024.")
        if to != "dicom":
            raise Refused(f"--to {to}: phantom mammograms are written as dicom.")
        return
    if len(shape) != 3 or not fits_hierarchy(shape):
        raise Refused(f"{words}: give three multiples of 16, such as 64,64,64.")
    if to not in ("dicom", "nifti"):
        raise Refused(f"--to {to}: phantom volumes are written as dicom or nifti.")


def _write_patients(write_patient: PatientWriter, out: Path, patients: int, workers: int | None) -> int:
    workers = min(workers or os.cpu_count() or 1, patients)
    rows: list[dict[str, Any]] = []
    with progress.bar("phantom patients", patients) as bar:
        if workers == 1:
            for number in range(patients):
                rows += write_patient(number)
                bar.advance()
        else:
            with worker_pool(workers) as executor:
                for done in executor.map(write_patient, range(patients)):
                    rows += done
                    bar.advance()
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    write_text(out / TRUTH_FILE, text.getvalue())
    return len(rows)


def _write_mammograms(out: Path, seed: int, shape: Shape, number: int) -> list[dict[str, Any]]:
    """The four views of one phantom patient."""
    subject = _make_subject(number, "mammogram", seed)
    rows = []
    for side in breast.make_breasts(seed, number):
        for view in ("CC", "MLO"):
            made = make_mammogram(side, view, (seed, number, side.laterality == "L", view == "MLO"), shape)
            hung = made.pixels[:, ::-1] if side.laterality == "R" else made.pixels
            record = {
                "generator": "digital breast phantom",
                "seed": seed,
                "patient": number,
                "view_position": view,
                "laterality": side.laterality,
            }
            ds = write_mammogram.make_mammogram_instance(
                np.ascontiguousarray(hung), made.spacing, view, side.laterality, subject, record, drawn_apart=False
            )
            name = f"{subject.identifier}/{side.laterality}{view}.dcm"
            write.save_dataset(ds, out / name)
            truth = made.truth | {"lesions": json.dumps(made.truth["lesions"])}
            rows.append({"file": name, "patient": subject.identifier, **truth})
    return rows


def _write_volume(kind: str, out: Path, seed: int, shape: Shape, to: str, number: int) -> list[dict[str, Any]]:
    """The volume of one phantom patient: a NIfTI file, or a series in a folder."""
    make, volume_class = VOLUME_PHANTOMS[kind]
    made = make((seed, number), shape)
    subject = _make_subject(number, kind, seed)
    record = {"generator": f"digital {kind} phantom", "seed": seed, "patient": number}
    name = subject.identifier
    if to == "nifti":
        name += ".nii.gz"
        voxels = np.rint(made.voxels).astype(np.int16) if kind == "chest_ct" else made.voxels
        nifti.write_nifti(out / name, voxels, made.spacing, record)
    else:
        for ds in write_series.make_series_instances(made.voxels, made.spacing, volume_class, subject, record):
            write.save_dataset(ds, out / name / f"{int(ds.InstanceNumber):04d}.dcm")
    return [{"file": name, "patient": subject.identifier, **made.truth}]


def _make_subject(number: int, kind: str, seed: int) -> write.Subject:
    """Phantoms of another seed are other persons; those of seed 0 have the plain numbers."""
    return write.Subject(number + 1, "PHANTOM", f"phantom {kind}, seed {seed}", STUDY_DATE, f"s{seed}" if seed else "")
