"""Cohorts of phantom patients as DICOM or NIfTI files with a table of the true values."""

import csv
import io
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ganatomy.errors import Refused
from ganatomy.machine import progress
from ganatomy.machine.durable import write_text
from ganatomy.machine.processes import worker_pool
from ganatomy.phantoms.table import get_phantom
from ganatomy.pyramid import Shape

TRUTH_FILE = "truth.csv"

PatientWriter = Callable[[int], list[dict[str, Any]]]  # number of a patient -> rows of true values; writes files


def write_cohort(
    kind: str,
    out: Path,
    patients: int,
    seed: int = 0,
    shape: Shape | None = None,
    to: str = "dicom",
    workers: int | None = None,
    labels: bool = False,
) -> int:
    """Write phantom patients and their true values as ``truth.csv``; returns the number of images.

    The same seed gives the same files, whatever the number of workers.

    Args:
        kind: the modality, such as ``mammogram`` (four views per patient) or ``chest_ct`` (one volume per patient).
        to: ``dicom`` or, for volumes, ``nifti``.
        labels: write the true structures of volumes as NIfTI label maps beside NIfTI images.

    Raises:
        Refused: the kind or format is unknown, `out` is not empty, or a number is not valid.
    """
    phantom = get_phantom(kind)
    if patients < 1:
        raise Refused(f"--patients {patients}: give a number of 1 or more.")
    shape = shape or phantom.default_shape
    phantom.check_request(shape, to, labels)
    if out.exists() and any(out.iterdir()):
        raise Refused(f"{out} is not empty; give a new folder.")
    return _write_patients(partial(phantom.write_patient, out, seed, shape, to, labels), out, patients, workers)


def _write_patients(write_patient: PatientWriter, out: Path, patients: int, workers: int | None) -> int:
    workers = min(workers or os.cpu_count() or 1, patients)
    rows: list[dict[str, Any]] = []
    with progress.bar("phantom patients", patients) as bar:
        if workers == 1:
            for number in range(patients):
                rows += write_patient(number)
                bar.advance()
        else:
            with worker_pool(workers, write_patient) as executor:
                for done in executor.map(write_patient, range(patients)):
                    rows += done
                    bar.advance()
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    write_text(out / TRUTH_FILE, text.getvalue())
    return len(rows)
