"""A cohort of phantom patients as DICOM files with a table of truth."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ganatomy import progress
from ganatomy.dicom import write, write_mammogram
from ganatomy.durable import write_text
from ganatomy.phantoms import breast
from ganatomy.phantoms.mammogram import mammogram
from ganatomy.processes import pool
from ganatomy.pyramid import Shape
from ganatomy.refused import Refused

DATE = "20260101"  # of every phantom study, so that the same seed gives the same files
TRUTH = "truth.csv"


def mammograms(out: Path, patients: int, seed: int = 0, shape: Shape = (1280, 1024), workers: int | None = None) -> int:
    """Write four views of each phantom patient as DICOM MG, and ``truth.csv``; returns the number of images.

    The same seed gives the same files, whatever the number of workers.

    Raises:
        Refused: `out` holds files already, or the numbers make no sense.
    """
    if patients < 1:
        raise Refused(f"--patients {patients}: give a number of 1 or more.")
    if len(shape) != 2 or min(shape) < 32 or shape[0] * 4 != shape[1] * 5:
        raise Refused(f"--shape {','.join(map(str, shape))}: mammograms are 5 to 4, at least 40,32, such as 1280,1024.")
    if out.exists() and any(out.iterdir()):
        raise Refused(f"{out} is not empty; give a new folder.")
    workers = min(workers or os.cpu_count() or 1, patients)
    rows: list[dict[str, Any]] = []
    with progress.bar("phantoms", 4 * patients) as bar:
        if workers == 1:
            for number in range(patients):
                rows += _study(out, seed, number, shape)
                bar.advance(4)
        else:
            with pool(workers) as executor:
                for done in executor.map(_study, *zip(*((out, seed, n, shape) for n in range(patients)), strict=True)):
                    rows += done
                    bar.advance(4)
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    write_text(out / TRUTH, text.getvalue())
    return len(rows)


def _study(out: Path, seed: int, number: int, shape: Shape) -> list[dict[str, Any]]:
    """The four views of one phantom patient."""
    subject = write.Subject(number + 1, "PHANTOM", f"phantom mammogram, seed {seed}", DATE)
    rows = []
    for side in breast.patient(seed, number):
        for view in ("CC", "MLO"):
            made = mammogram(side, view, (seed, number, side.laterality == "L", view == "MLO"), shape)
            hung = made.pixels[:, ::-1] if side.laterality == "R" else made.pixels
            record = {"generator": "digital breast phantom", "seed": seed, "patient": number,
                      "view_position": view, "laterality": side.laterality}  # fmt: skip
            ds = write_mammogram.instance(
                np.ascontiguousarray(hung), made.spacing, view, side.laterality, subject, record, drawn_apart=False
            )
            name = f"{subject.identifier}/{side.laterality}{view}.dcm"
            write.save(ds, out / name)
            truth = made.truth | {"lesions": json.dumps(made.truth["lesions"])}
            rows.append({"file": name, "patient": subject.identifier, **truth})
    return rows
