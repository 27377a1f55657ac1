"""The growth of a store: `prepare` again, after files were added to the raw folder, takes only the new files.

A candidate is recognised by its name and by the marks of `data.prepared`. A file of an image of the store that has
vanished or changed is refused, because the store would no longer be what `prepare` makes of the folder. A file that was
left out may vanish, and is read again if it has changed. Until the manifest is replaced, the store is as it was.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganatomy.data import store as storing
from ganatomy.data.columns import Columns, Table, select_rows
from ganatomy.data.keys import PseudonymKey
from ganatomy.data.parts import hash_content, rows_file
from ganatomy.data.plan import (
    ASIDE_FILE,
    Findings,
    check_same_kind,
    get_generation,
    hash_folder,
    is_complete,
    list_parts,
    make_plan,
    read_reached_generation,
    write_listing,
)
from ganatomy.data.prepared import (
    KEPT_FILE,
    LEFT_OUT,
    PREPARED_FILE,
    Marks,
    mark_candidate,
    read_prepared,
    write_prepared,
)
from ganatomy.data.store import Manifest, name_generation
from ganatomy.errors import Refused
from ganatomy.machine import progress
from ganatomy.machine.durable import read_json, write_json
from ganatomy.machine.progress import format_name
from ganatomy.modalities.modality import Candidate, Modality
from ganatomy.pyramid import format_shape


@dataclass(frozen=True)
class _Comparison:
    """A raw folder compared with what a store was made from.

    Args:
        new: candidates that have to be read: those that were added, and those that were left out and have changed.
        kept: the table of the other candidates, with the dates of today.
    """

    new: list[Candidate]
    kept: Table


def can_grow(out: Path) -> bool:
    """Whether a store is complete, or grows, and was made by a version that notes what a growth needs."""
    reached = read_reached_generation(out)
    return reached is not None and (out / name_generation(PREPARED_FILE, reached)).exists()


def begin_growth(out: Path, raw: Path, modality: Modality, key: PseudonymKey, found: Findings) -> None:
    """Begin the growth of a store whose raw folder has changed; if nothing was added, the store stays as it is.

    A growth that was begun for another state of the folder is given up. If only paths have changed that no image was
    read from, nothing is read, and the reasons and counts are written anew.

    Raises:
        Refused: files of images of the store have vanished or changed, or the key, the modality or its options differ.
    """
    before, manifest = read_json(out / storing.PLAN_FILE), _read_manifest(out)
    check_same_kind(out, before, modality)
    prepared = out / name_generation(PREPARED_FILE, manifest.generation)
    candidates, sources = read_prepared(prepared)
    if before["key"] != key.name:
        _check_same_names(out, found, candidates)
        return
    compared = _compare(out, raw, found, candidates, key)
    hashes, rows = hash_folder(found, modality, key), manifest.rows or 0
    aside = read_json(out / name_generation(ASIDE_FILE, manifest.generation))
    if not compared.new and len(compared.kept["case"]) == len(candidates["case"]) and aside == found.aside.to_json():
        write_prepared(prepared, compared.kept, sources)
        write_json(out / storing.PLAN_FILE, {**before, **hashes, "generation": manifest.generation})
        _fit_arrays(out, manifest, rows)
        return
    plan = {
        **make_plan(found.candidates, modality, key),
        **hashes,
        "part": before["part"],
        "generation": manifest.generation + 1,
        "first_part": rows // before["part"],
        "new": len(compared.new),
    }
    plan["rows"] = list_parts(plan).stop * plan["part"]
    if before != plan:
        _remove_parts(out, plan["first_part"])
        write_listing(out, plan, compared.new, found.aside, raw, key)
        write_prepared(out / name_generation(KEPT_FILE, get_generation(plan)), compared.kept, {})
        write_json(out / storing.PLAN_FILE, plan)
    progress.say(f"{out}: {len(compared.new)} of {len(found.candidates)} candidates are new and are read.")
    _fit_arrays(out, manifest, plan["rows"])


def continue_growth(out: Path) -> None:
    """Continue a growth that was interrupted after its plan was written."""
    if (out / storing.MANIFEST_FILE).exists() and not is_complete(out):
        _fit_arrays(out, _read_manifest(out), read_json(out / storing.PLAN_FILE)["rows"])


def _read_manifest(out: Path) -> Manifest:
    plain = read_json(out / storing.MANIFEST_FILE)
    return Manifest.model_validate({name: value for name, value in plain.items() if name != storing.HASHES})


def _check_same_names(out: Path, found: Findings, before: Table) -> None:
    """Refuse another key, unless the store is complete and nothing was added."""
    if is_complete(out) and sorted(Columns(before).list_texts("name")) == sorted(one.name for one in found.candidates):
        return
    raise Refused(
        f"The raw folder has changed since {out} was made, whose pseudonyms were made with another key, and a store"
        " grows with its key only; give the same --key as then, or another --out."
    )


def _compare(out: Path, raw: Path, found: Findings, before: Table, key: PseudonymKey) -> _Comparison:
    """Compare the candidates of a raw folder with those of a store.

    They are matched by the names and sizes of their files, because the name of a series may count the series of a
    folder. Those without a match are matched by name, to tell a changed candidate from a new one.

    Raises:
        Refused: files of an image of the store have vanished or changed, or their facts have.
    """
    names = Columns(before).list_texts("name")
    used, present = before["case"] != LEFT_OUT, np.zeros(len(names), dtype=bool)
    places = {mark.tobytes().hex(): place for place, mark in enumerate(before["files"])}
    dates = before["dates"].copy()
    new, retold, dated = list[Candidate](), list[str](), list[tuple[Candidate, int, Marks]]()
    for candidate in found.candidates:
        marks = mark_candidate(candidate, raw, key)
        place = places.get(marks.files)
        has_facts = place is not None and _is_equal(before["facts"], place, marks.facts)
        if place is None or not (has_facts or used[place]):
            new.append(candidate)
            continue
        present[place] = True
        if not has_facts:
            retold.append(candidate.name)
        elif not _is_equal(before["dates"], place, marks.dates):
            dated.append((candidate, place, marks))
    named = {one.name for one in new}
    changed = [name for name, is_used in zip(names, used.tolist(), strict=True) if is_used and name in named]
    for candidate, place, same in _compare_content(before, dated):
        if same is not None:
            dates[place] = np.frombuffer(bytes.fromhex(same.dates), dtype=np.uint8)
        elif used[place]:
            changed.append(candidate.name)
        else:
            present[place] = False
            new.append(candidate)
    lost = np.flatnonzero(used & ~present).tolist()
    _refuse(out, int(used.sum()), [names[place] for place in lost if names[place] not in named], changed, retold)
    return _Comparison(new, select_rows({**before, "dates": dates}, present))


def _is_equal(column: NDArray[np.uint8], place: int, mark: str) -> bool:
    return column[place].tobytes().hex() == mark


def _compare_content(
    before: Table, dated: list[tuple[Candidate, int, Marks]]
) -> Iterator[tuple[Candidate, int, Marks | None]]:
    """Read the files of candidates with a new date; yield them with their marks, or None for other bytes."""
    if not dated:
        return
    with progress.bar("comparing files with new dates", len(dated)) as shown:
        for candidate, place, marks in dated:
            is_same = _is_equal(before["content"], place, hash_content(candidate.paths))
            yield candidate, place, marks if is_same else None
            shown.advance(1)


def _refuse(out: Path, used: int, vanished: list[str], changed: list[str], retold: list[str]) -> None:
    """Refuse to grow a store if any of its images are no longer what the raw folder holds."""
    told = [
        f"{len(names)} {words}, such as {format_name(names[0])}"
        for names, words in (
            (vanished, "are gone or no longer in the table"),
            (changed, "have changed"),
            (retold, "have other facts"),
        )
        if names
    ]
    if told:
        raise Refused(
            f"The raw folder has changed since {out} was made: of its {used} images, {'; '.join(told)}. Put the files"
            " and the table back as they were, or give another --out for the folder as it is now."
        )


def _remove_parts(out: Path, first: int) -> None:
    """Remove the rows of parts that a growth has begun for another state of the folder."""
    (out / "parts").mkdir(exist_ok=True)
    numbers = sorted(int(path.stem) for path in (out / "parts").glob("[0-9]*.jsonl"))
    for part in numbers:
        if part >= first:
            rows_file(out, part).unlink(missing_ok=True)


def _fit_arrays(out: Path, manifest: Manifest, rows: int) -> None:
    """Set the number of rows of all arrays, by their metadata alone; no pixel is read or written."""
    for level in manifest.levels:
        file = out / "arrays" / format_shape(level) / "zarr.json"
        about = read_json(file)
        if about["shape"][0] != rows:
            write_json(file, {**about, "shape": [rows, *about["shape"][1:]]})
