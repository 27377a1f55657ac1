"""The end of `prepare`: cases from the rows of all parts, patients, splits, counts, and a fingerprint."""

from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ganatomy.data import store as storing
from ganatomy.data.balance import COPY, count_groups, make_balance, write_balance
from ganatomy.data.doubts import write_doubts
from ganatomy.data.keys import PseudonymKey
from ganatomy.data.parts import rows_file
from ganatomy.data.persons import is_guess, name_patients
from ganatomy.data.plan import LISTING_FILE, count_parts, leave_report, read_passed_over
from ganatomy.data.store import Manifest
from ganatomy.machine.durable import read_lines, write_lines
from ganatomy.machine.places import remove_leftovers
from ganatomy.modalities.modality import Modality

Row = dict[str, Any]


def finish_store(out: Path, plan: Row, modality: Modality, key: PseudonymKey) -> None:
    """Write cases, reasons, counts and, last, the manifest.

    Raises:
        Refused: there is no case; only the files with the reasons are kept.
    """
    remove_leftovers(out / "parts")
    rows = [row for part in range(count_parts(plan)) for row in read_lines(rows_file(out, part))]
    aside = read_passed_over(out)
    cases, left_out = [row for row in rows if "row" in row], [row for row in rows if "reason" in row]
    cases, twins = _drop_copies(cases)
    files = {row["name"]: len(row["paths"]) for row in read_lines(out / LISTING_FILE)}
    left_out += [{**twin, "files": files[twin["file"]]} if files[twin["file"]] > 1 else twin for twin in twins]
    left_out += aside.left_out
    if not cases:
        raise leave_report(out, plan["files"], left_out, aside)
    doubts = write_doubts(out, cases)
    persons = name_patients(cases, key.secret)
    used = sum(files[case["file"]] for case in cases)
    write_balance(out, make_balance(len(cases), used, left_out, aside, persons), left_out, aside)
    write_lines(out / storing.CASES_FILE, cases)
    manifest = _make_manifest(plan, modality, cases, left_out, doubts)
    storing.write_manifest(out, manifest)


def _drop_copies(cases: list[Row]) -> tuple[list[Row], list[Row]]:
    """Drop copies of an image of the same person; copies of different persons are kept, since one name is wrong."""
    first: dict[str, list[Row]] = {}
    kept, twins = [], []
    for case in cases:
        same = first.setdefault(case["pixels"], [])
        twin = next((one for one in same if one["person"] == case["person"] or is_guess(one) or is_guess(case)), None)
        if twin is None:
            same.append(case)
            kept.append(case)
        else:
            twins.append({"file": case["file"], "reason": COPY, "detail": f"same pixels as {twin['file']}"})
    return kept, twins


def _make_manifest(
    plan: Row, modality: Modality, cases: list[Row], left_out: list[Row], doubts: dict[str, int]
) -> Manifest:
    spacings = [case["spacing"] for case in cases if case["spacing"]]
    quantiles = np.mean([case["quantiles"] for case in cases], axis=0)
    shape = tuple(plan["shape"])
    return Manifest(
        modality=modality.name,
        shape=shape,
        levels=storing.list_stored_levels(shape),
        conditions={
            name: tuple(values) or tuple(sorted({case["facts"][name] for case in cases}))
            for name, values in modality.conditions.items()
        },
        options=plan["options"],
        files=len(cases) + len(left_out),
        cases=len(cases),
        patients=len({case["patient"] for case in cases}),
        splits=dict(Counter(case["split"] for case in cases)),
        facts={name: dict(Counter(case["facts"][name] for case in cases)) for name in modality.conditions},
        doubts=doubts,
        quarantined=count_groups(left_out, "reason"),
        synthetic=sum(case["synthetic"] for case in cases),
        spacing=tuple(np.median(spacings, axis=0).round(4).tolist()) if spacings else None,
        intensity_quantiles={f"{q:g}": round(float(v), 4) for q, v in zip((0.5, 0.9, 0.99), quantiles, strict=True)},
        fingerprint=storing.compute_fingerprint(shape, modality.name, cases),
        made_with=f"ganatomy {version('ganatomy')}",
    )
