"""The end of `prepare`: cases from the rows of all parts, patients, splits, counts, and a fingerprint.

A store that grows gets the new cases below those that it has; every file is written under a new name or holds what an
earlier one held as well, and the manifest, which is written last, names the new files.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.data import store as storing
from ganatomy.data.balance import COPY, QUARANTINE_FILE, count_groups, make_balance, write_balance
from ganatomy.data.cases import Cases, compute_fingerprint, encode_rows
from ganatomy.data.columns import (
    CHUNK,
    CODE,
    Columns,
    Table,
    count_rows,
    encode_hashes,
    encode_values,
    join_tables,
    select_rows,
)
from ganatomy.data.doubts import describe_doubtful, write_doubts
from ganatomy.data.keys import PseudonymKey
from ganatomy.data.parts import CONTENT, rows_file
from ganatomy.data.persons import (
    KEPT_SOURCES,
    count_persons,
    find_equal_pixels,
    find_patients,
    list_guesses,
    split_patients,
)
from ganatomy.data.plan import ASIDE_FILE, LISTING_FILE, get_generation, leave_report, list_parts, read_passed_over
from ganatomy.data.prepared import KEPT_FILE, LEFT_OUT, PREPARED_FILE, read_listing, read_prepared, write_prepared
from ganatomy.data.store import Manifest, name_generation
from ganatomy.machine import progress
from ganatomy.machine.durable import read_lines
from ganatomy.machine.places import remove_leftovers
from ganatomy.modalities.modality import Modality

TWO_SPLITS = "patient in two splits"

Row = dict[str, Any]


@dataclass(frozen=True)
class _Before:
    """The store before it grows; a new store begins with nothing.

    Args:
        cases: its cases, with the sources of their patients.
        candidates: the candidates that were read then and are in the raw folder still.
        left_out: rows of those that were left out.
        manifest: its manifest.
    """

    cases: Table = field(default_factory=dict)
    candidates: Table = field(default_factory=dict)
    left_out: list[Row] = field(default_factory=list)
    manifest: Manifest | None = None

    @property
    def known(self) -> int:
        return 0 if self.manifest is None else self.manifest.cases


@dataclass
class _Found:
    """What the parts hold about the candidates that were read this time.

    Args:
        cases: their cases, with a column ``candidate``: the place of its candidate in the listing.
        left_out: rows of those that were left out.
        contents: hashes of the bytes of all of them.
        doubts: rows of doubts, by place in the listing.
    """

    cases: Table
    left_out: list[Row]
    contents: list[str]
    doubts: dict[int, list[Row]]


def finish_store(out: Path, plan: Row, modality: Modality, key: PseudonymKey) -> None:
    """Write cases, reasons, counts and, last, the manifest.

    Raises:
        Refused: there is no case; only the files with the reasons are kept.
    """
    remove_leftovers(out / "parts")
    before, found = _read_before(out, plan), _read_parts(out, plan)
    listing = read_listing(out / name_generation(LISTING_FILE, get_generation(plan)))
    aside = read_passed_over(out, plan)
    cases, left_out = _drop_rows(before, found, _find_copies(before, found))
    cases, ambiguous = _add_patients(before, cases, key.secret)
    left_out = [*before.left_out, *found.left_out, *left_out, *ambiguous]
    for row in left_out[len(before.left_out) + len(found.left_out) :]:
        count = int(listing["count"][row.pop("candidate")])
        row |= {"files": count} if count > 1 else {}
    left_out += aside.left_out
    if not cases:
        raise leave_report(out, plan["files"], left_out, aside)
    cases, places = _split_off(cases, "candidate")
    candidates = _join_candidates(before, found, listing, places)
    names = None
    if before.manifest is not None:
        names = set(Columns(listing).list_texts("name")) if listing else set()
    doubts = write_doubts(out, [one for i in places[before.known :].tolist() for one in found.doubts.get(i, ())], names)
    persons = count_persons(cases, key.secret)
    used = int(candidates["count"][candidates["case"] != LEFT_OUT].sum())
    write_balance(out, make_balance(count_rows(cases), used, left_out, aside, persons), left_out, aside)
    sources = {name: cases[name] for one in KEPT_SOURCES for name in _list_arrays(cases, one)}
    write_prepared(out / name_generation(PREPARED_FILE, get_generation(plan)), candidates, sources)
    public = {name: array for name, array in cases.items() if name.partition(".")[0] not in (*KEPT_SOURCES, "order")}
    manifest = _make_manifest(plan, modality, public, left_out, doubts, before.manifest)
    storing.write_store(out, manifest, public)
    if before.manifest is not None:
        for line in _describe_growth(out, before.manifest, manifest):
            progress.say(line)
        _remove_earlier(out, manifest.generation)


def _read_before(out: Path, plan: Row) -> _Before:
    generation = get_generation(plan)
    if generation == 0:
        return _Before()
    store = storing.open_store(out)
    candidates, _ = read_prepared(out / name_generation(KEPT_FILE, generation))
    _, sources = read_prepared(out / name_generation(PREPARED_FILE, store.manifest.generation))
    cases = {**store.cases.read_table(), **sources, "candidate": np.full(store.manifest.cases, LEFT_OUT)}
    columns = Columns(candidates)
    unused = {columns.read_text("name", i) for i in np.flatnonzero(candidates["case"] == LEFT_OUT).tolist()}
    left_out = [row for row in read_lines(out / QUARANTINE_FILE) if row["file"] in unused]
    return _Before(cases, candidates, left_out, store.manifest)


def _read_parts(out: Path, plan: Row) -> _Found:
    """Read the rows of all parts; they have one row per candidate, in the order of the listing."""
    tables: list[Table] = []
    found, pending, places = _Found({}, [], [], {}), list[Row](), list[int]()

    def encode() -> None:
        tables.append({**encode_rows(pending), "candidate": np.array(places, dtype=np.int64)})
        pending.clear()
        places.clear()

    for row in _iterate_rows(out, plan):
        place = len(found.contents)
        found.contents.append(row.pop(CONTENT))
        if "reason" in row:
            found.left_out.append(row)
            continue
        if doubts := row.pop("doubts"):
            found.doubts[place] = describe_doubtful(row["file"], doubts)
        pending.append(row)
        places.append(place)
        if len(pending) == CHUNK:
            encode()
    if pending:
        encode()
    found.cases = join_tables(tables)
    return found


def _iterate_rows(out: Path, plan: Row) -> Iterator[Row]:
    for part in list_parts(plan):
        yield from read_lines(rows_file(out, part))


def _join(before: _Before, new: Table) -> Table:
    return join_tables([table for table in (before.cases, new) if table])


def _find_copies(before: _Before, found: _Found) -> dict[int, int]:
    """Find copies of an image of the same person; copies of different persons are kept, since one name is wrong.

    Returns:
        The places of the copies in the cases before and now, and of their originals.
    """
    if not found.cases:
        return {}
    cases = _join(before, found.cases)
    guessed, person = list_guesses(cases), cases["person" + CODE]
    copies: dict[int, int] = {}
    for group in find_equal_pixels(cases["pixels"], before.known):
        kept: list[int] = []
        for i in group:
            same = (one for one in kept if person[one] == person[i] or guessed[one] or guessed[i])
            original = next(same, None)
            if i < before.known or original is None:
                kept.append(i)
            else:
                copies[i] = original
    return copies


def _drop_rows(before: _Before, found: _Found, copies: dict[int, int]) -> tuple[Table, list[Row]]:
    """Drop the copies from the new cases, and make their rows of reasons."""
    if not copies:
        return found.cases, []
    columns = Columns(_join(before, found.cases))
    kept = np.ones(count_rows(found.cases), dtype=bool)
    kept[[i - before.known for i in copies]] = False
    rows: list[Row] = [
        {
            "file": columns.read_text("file", i),
            "reason": COPY,
            "detail": f"same pixels as {columns.read_text('file', original)}",
            "candidate": int(columns["candidate"][i]),
        }
        for i, original in sorted(copies.items())
    ]
    return select_rows(found.cases, kept), rows


def _add_patients(before: _Before, new: Table, key: bytes) -> tuple[Table, list[Row]]:
    """Add patients and splits to the new cases, and the cases to those before.

    Returns:
        All cases, and rows of reasons for new cases whose patient would be in two splits.
    """
    if not new or not count_rows(new):
        return before.cases, []
    patients = find_patients(_join(before, new), key, before.known)
    kept = np.array([patient is not None for patient in patients])
    rows: list[Row] = [
        {
            "file": Columns(new).read_text("file", i),
            "reason": TWO_SPLITS,
            "detail": "ID or pixels say that it may be of two patients of the store, who are in different splits",
            "candidate": int(new["candidate"][i]),
        }
        for i in np.flatnonzero(~kept).tolist()
    ]
    new = select_rows(new, kept)
    if not count_rows(new):
        return before.cases, rows
    new |= encode_values("patient", [patient for patient in patients if patient is not None])
    new |= encode_values("split", split_patients(_join(before, new), key, before.known))
    return _join(before, new), rows


def _split_off(table: Table, name: str) -> tuple[Table, NDArray[np.int64]]:
    return {other: array for other, array in table.items() if other != name}, table[name]


def _join_candidates(before: _Before, found: _Found, listing: Table, places: NDArray[np.int64]) -> Table:
    """Make the table of all candidates; `places` has the candidate of every case that is new, after the others."""
    cases = np.full(len(found.contents), LEFT_OUT, dtype=np.int64)
    cases[places[before.known :]] = np.arange(before.known, len(places))
    new = {**listing, **encode_hashes("content", found.contents), "case": cases} if listing else {}
    return join_tables([table for table in (before.candidates, new) if table])


def _list_arrays(table: Table, name: str) -> list[str]:
    return [array for array in table if array.startswith(f"{name}.")]


def _make_manifest(
    plan: Row, modality: Modality, cases: Table, left_out: list[Row], doubts: dict[str, int], before: Manifest | None
) -> Manifest:
    every, columns = Cases(Columns(cases)), Columns(cases)
    spacings = cases["spacing"][~np.isnan(cases["spacing"]).any(1)]
    quantiles = np.mean(cases["quantiles"], axis=0)
    shape = tuple(plan["shape"])
    facts = {name: every.count_values(name) if name in every.fact_names else {} for name in modality.conditions}
    names = columns.list_values("split")
    counts = np.bincount(cases["split" + CODE], minlength=len(names)).tolist()
    return Manifest(
        modality=modality.name,
        shape=shape,
        levels=storing.list_stored_levels(shape),
        conditions={
            name: tuple(values) or _append_values(before.conditions.get(name, ()) if before else (), facts[name])
            for name, values in modality.conditions.items()
        },
        options=plan["options"],
        files=count_rows(cases) + len(left_out),
        cases=count_rows(cases),
        patients=len(np.unique(cases["patient" + CODE])),
        splits={name: count for name, count in zip(names, counts, strict=True) if count},
        facts=facts,
        doubts=doubts,
        quarantined=count_groups(left_out, "reason"),
        synthetic=int(cases["synthetic"].sum()),
        spacing=tuple(np.median(spacings, axis=0).round(4).tolist()) if len(spacings) else None,
        intensity_quantiles={f"{q:g}": round(float(v), 4) for q, v in zip((0.5, 0.9, 0.99), quantiles, strict=True)},
        fingerprint=compute_fingerprint(shape, modality.name, every, channels=modality.labels.channels),
        made_with=f"ganatomy {version('ganatomy')}",
        generation=get_generation(plan),
        rows=(list_parts(plan).stop) * plan["part"],
        channels=modality.labels.channels,
    )


def _append_values(before: tuple[str, ...], counts: dict[str, int]) -> tuple[str, ...]:
    """Append new values of a fact, sorted, so that the values that a model was trained with keep their places."""
    return (*before, *sorted(set(counts) - set(before)))


def _remove_earlier(out: Path, generation: int) -> None:
    """Remove the files of earlier generations of a store."""
    for name in (storing.CASES_FILE, PREPARED_FILE, KEPT_FILE, LISTING_FILE, ASIDE_FILE):
        for earlier in range(generation):
            (out / name_generation(name, earlier)).unlink(missing_ok=True)
    (out / storing.LINES_FILE).unlink(missing_ok=True)  # of `croissant`, which can write it again


def _describe_growth(out: Path, before: Manifest, after: Manifest) -> Iterator[str]:
    if (out / storing.LINES_FILE).exists():
        name = storing.LINES_FILE
        yield f"{name} has the cases of before and is removed; to write it again: ganatomy croissant {out}"
    yield (
        f"{out} has grown by {after.cases - before.cases} images and {after.patients - before.patients} patients; the"
        f" {before.cases} images that it had keep their rows, patients and splits."
    )
    for name, counts in after.facts.items():
        if new := sorted(set(counts) - set(before.facts.get(name, ()))):
            yield (
                f"{name} has new values: {', '.join(new[:8])}{' and others' if len(new) > 8 else ''}. Models that were"
                " trained before do not know them, and keep the values that they know."
            )
