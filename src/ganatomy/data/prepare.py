"""Raw folder to store, with a reason for every file left out.

The work is cut into parts of a fixed number of files, in a fixed order. A part is one shard of every array and one file
of rows; a process that does a part owns its shards. The file of rows is written last and atomically, so an interrupted
run does again only the parts that were not finished.
"""

import errno
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numcodecs.blosc
import numpy as np
import zarr
from numpy.typing import NDArray

from ganatomy.data import jobs
from ganatomy.data import store as storing
from ganatomy.data.split import assign_splits, make_pseudonym
from ganatomy.data.store import Manifest, Store, open_store
from ganatomy.errors import Refused
from ganatomy.imaging.image import UnusableImage
from ganatomy.machine import progress
from ganatomy.machine.durable import new_folder, read_lines, remove_leftovers, write_json, write_lines
from ganatomy.modalities.modality import Candidate, Modality
from ganatomy.modalities.table import get_modality
from ganatomy.pyramid import format_shape

PART_SIZE = {2: 16, 3: 1}  # images a part, by the number of axes: one shard of each array
LARGE_PART_SIZE, MANY_FILES = (
    {2: 64, 3: 8},
    4096,
)  # from this many files on, shards of hundreds of MB keep their number low
LISTING_FILE = "listing.jsonl"
MAX_IDLE_ROUNDS = 2  # times that a pool may break without a part done


def prepare(
    raw: Path | str, modality: Modality | str, out: Path | str, workers: int | None = None, dask: str | None = None
) -> Store:
    """Make or complete a store of all usable images below a folder, split by patient: train, validation, test.

    Args:
        raw: folder of DICOM or picture files, any depth.
        modality: how to read and normalise them, and to what size; a name means the modality with its defaults.
        out: the store's folder. An interrupted store is completed; a complete one of the same files is left as it is.
        workers: processes; None = one a core.
        dask: address of a Dask scheduler whose workers do the work instead.

    Returns:
        The store, complete: pixels in [-1, 1] at several sizes, and a reason for every file left out.

    Raises:
        Refused: no usable image, `out` holds something else, or workers are ended for lack of memory.

    Example:
        >>> import ganatomy
        >>> from ganatomy.modalities.mammogram import Mammogram
        >>> store = ganatomy.prepare("mammograms", Mammogram(shape=(80, 64)), "store", workers=1)
        >>> store.manifest.patients, store.manifest.cases
        (10, 40)
    """
    raw, out, kind = Path(raw).resolve(), Path(out).resolve(), _resolve_modality(modality)
    candidates = kind.list_candidates(raw)
    plan = _make_plan(candidates, kind)
    _begin_store(out, raw, plan, candidates)
    if not (out / "manifest.json").exists():
        every = list(range(_count_parts(plan)))
        _write_parts(out, candidates, kind, plan, every, workers or os.cpu_count() or 1, dask)
        _finish_store(out, plan, kind)
    return open_store(out)


def prepare_shard(
    raw: Path | str, modality: Modality | str, out: Path | str, shard: tuple[int, int], workers: int | None = None
) -> Store | None:
    """Do every n-th part of what `prepare` does: one of n jobs side by side, on machines that see the same folders.

    The job that begins first lists the files, for all; the one that ends last completes the store. A job that was
    killed is given again; given once too often it does nothing twice.

    Args:
        shard: (i, n), i from 1 to n.

    Returns:
        The store when it is complete; None while other shards have still to end.

    Raises:
        Refused: as `prepare`, or there is no such shard.
    """
    raw, out, kind = Path(raw).resolve(), Path(out).resolve(), _resolve_modality(modality)
    if not 1 <= shard[0] <= shard[1]:
        raise Refused(f"--shard {shard[0]}/{shard[1]}: give i/n with i from 1 to n.")
    if not (out / "plan.json").exists():
        found = kind.list_candidates(raw)
        _begin_store(out, raw, _make_plan(found, kind), found)
    if not (out / "manifest.json").exists():
        plan, candidates = _read_begun_store(out, raw, kind)
        mine = list(range(shard[0] - 1, _count_parts(plan), shard[1]))
        _write_parts(out, candidates, kind, plan, mine, workers or os.cpu_count() or 1, None)
        if not all(_rows_file(out, part).exists() for part in range(_count_parts(plan))):
            return None
        _finish_store(out, plan, kind)
    return open_store(out)


def _resolve_modality(modality: Modality | str) -> Modality:
    return get_modality(modality)() if isinstance(modality, str) else modality


# ----------------------------------------------------------------------------------------------------------------------
# The plan: what is to be done, decided once.


def _make_plan(candidates: list[Candidate], modality: Modality) -> dict[str, Any]:
    listing = hashlib.sha256()
    for candidate in candidates:
        size = sum(path.stat().st_size for path in candidate.paths)
        listing.update(f"{candidate.name}\0{size}\0{sorted(candidate.facts.items())}\n".encode())
    return {
        "format": storing.STORE_FORMAT,
        "modality": modality.name,
        "options": dict(modality.options),
        "shape": list(modality.shape),
        "files": len(candidates),
        "listing": listing.hexdigest(),
        "part": (PART_SIZE if len(candidates) < MANY_FILES else LARGE_PART_SIZE)[len(modality.shape)],
    }


def _count_parts(plan: dict[str, Any]) -> int:
    return int(-(-plan["files"] // plan["part"]))


def _check_same_kind(
    out: Path, before: dict[str, Any], modality: str, shape: list[int], options: dict[str, Any]
) -> None:
    for what, value in (("modality", modality), ("shape", shape), ("options", options)):
        if before[what] != value:
            raise Refused(f"{out} is a store of {what} {before[what]}, not {value}; give another --out.")


def _check_same_plan(out: Path, plan: dict[str, Any]) -> None:
    before = json.loads((out / "plan.json").read_text())
    _check_same_kind(out, before, plan["modality"], plan["shape"], plan["options"])
    if before != plan:
        raise Refused(
            f"The raw folder has changed since {out} was begun ({before['files']} files then, {plan['files']} now);"
            " give another --out for the new set."
        )


def _begin_store(out: Path, raw: Path, plan: dict[str, Any], candidates: list[Candidate]) -> None:
    """An empty store, or one that was begun with the same plan; of several that begin at once one wins, whole."""
    if not (out / "plan.json").exists():
        if out.exists() and any(out.iterdir()):
            raise Refused(f"{out} is not empty and not a store; give a new folder.")
        try:
            with new_folder(out) as temporary:
                rows = _count_parts(plan) * plan["part"]
                for level in storing.list_stored_levels(tuple(plan["shape"])):
                    storing.create_array(temporary, level, rows, plan["part"])
                (temporary / "parts").mkdir()
                write_lines(temporary / LISTING_FILE, [_describe_candidate(candidate, raw) for candidate in candidates])
                write_json(temporary / "plan.json", plan)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    _check_same_plan(out, plan)


def _describe_candidate(candidate: Candidate, raw: Path) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "paths": [os.path.relpath(path, raw) for path in candidate.paths],
        "facts": dict(candidate.facts),
    }


def _read_begun_store(out: Path, raw: Path, modality: Modality) -> tuple[dict[str, Any], list[Candidate]]:
    """Plan and files of a store that another job has begun, without looking through the folder again."""
    listed = read_lines(out / LISTING_FILE)
    candidates = [Candidate(tuple(raw / p for p in row["paths"]), row["name"], row["facts"]) for row in listed]
    plan = json.loads((out / "plan.json").read_text())
    _check_same_kind(out, plan, modality.name, list(modality.shape), dict(modality.options))
    return plan, candidates


def _rows_file(out: Path, part: int) -> Path:
    return out / "parts" / f"{part:06d}.jsonl"


# ----------------------------------------------------------------------------------------------------------------------
# The work: parts, side by side.


def _write_parts(
    out: Path,
    candidates: list[Candidate],
    modality: Modality,
    plan: dict[str, Any],
    parts: list[int],
    workers: int,
    dask: str | None,
) -> None:
    """Do those parts that are not done; a pool that has lost a worker is begun anew as long as parts get done."""
    work = partial(_write_part, out, modality, plan)
    todo, before, idle = _list_unfinished_parts(out, parts), len(parts) + 1, 0
    with progress.bar("preparing", sum(len(_files_of_part(candidates, plan, part)) for part in parts)) as shown:
        while todo and idle < MAX_IDLE_ROUNDS:
            idle = idle + 1 if len(todo) == before else 0
            before = len(todo)
            shown.advance(
                sum(len(_files_of_part(candidates, plan, part)) for part in set(parts) - set(todo)) - shown.done
            )
            try:
                todos = ((part, _files_of_part(candidates, plan, part)) for part in todo)
                for done in _run_jobs(work, todos, min(workers, len(todo)), dask):
                    shown.advance(done)
            except BrokenProcessPool:
                progress.say("A worker was ended from outside; its part is done again.")
            todo = _list_unfinished_parts(out, parts)
    if todo:
        raise Refused(
            "Workers are ended from outside before any part is done, most often for lack of memory. The finished parts"
            " are kept: give the same command again with fewer --workers."
        )


def _list_unfinished_parts(out: Path, parts: list[int]) -> list[int]:
    return [part for part in parts if not _rows_file(out, part).exists()]


def _run_jobs(work: jobs.Work, todo: Iterable[jobs.Job], workers: int, dask: str | None) -> Iterator[int]:
    if dask is not None:
        return jobs.run_on_cluster(work, todo, dask)
    return jobs.run_in_pool(work, todo, workers) if workers > 1 else jobs.run_serially(work, todo)


def _files_of_part(candidates: list[Candidate], plan: dict[str, Any], part: int) -> list[Candidate]:
    return candidates[part * plan["part"] : (part + 1) * plan["part"]]


def _write_part(out: Path, modality: Modality, plan: dict[str, Any], part: int, files: list[Candidate]) -> None:
    """One part: read, normalise, write every level, then the rows."""
    first, size = part * plan["part"], plan["part"]
    shape = tuple(plan["shape"])
    pixels = np.zeros((size, *shape), dtype=np.uint16)
    rows: list[dict[str, Any]] = []
    for i, candidate in enumerate(files):
        try:
            image, patient = modality.read(candidate)
            image = modality.normalise(image)
        except UnusableImage as reason:
            rows.append({"file": candidate.name, "reason": reason.kind, "detail": reason.detail})
            continue
        pixels[i] = storing.quantise_pixels(image.pixels)
        rows.append(
            {
                "row": first + i,
                "file": candidate.name,
                "patient": make_pseudonym(patient),
                "facts": dict(image.facts),
                "spacing": image.spacing,
                "geometry": dict(image.geometry),
                "pixels": hashlib.blake2b(pixels[i].tobytes(), digest_size=16).hexdigest(),
                "quantiles": np.quantile(image.pixels[::4, ::4], (0.5, 0.9, 0.99)).round(4).tolist(),
            }
        )
    levels = storing.list_stored_levels(shape)
    numcodecs.blosc.set_nthreads(1)  # the cores are busy with other parts
    for level in reversed(levels):
        zarr.open_array(out / "arrays" / format_shape(level), mode="r+")[first : first + size] = pixels
        pixels = _halve(pixels) if level != levels[0] else pixels
    write_lines(_rows_file(out, part), rows)


def _halve(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Mean over cells of two an axis, rounded: the level below. (images, *shape) -> (images, *half the shape)."""
    pairs = np.ascontiguousarray(pixels).astype("<u2", copy=False).view("<u4")  # neighbours along the last axis
    total = (pairs & 0xFFFF) + (pairs >> 16)
    for axis in range(1, pixels.ndim - 1):
        first, second = ((slice(None),) * axis + (slice(start, None, 2),) for start in (0, 1))
        total = total[first] + total[second]
    shift = pixels.ndim - 1
    return ((total + (1 << (shift - 1))) >> shift).astype(np.uint16)


# ----------------------------------------------------------------------------------------------------------------------
# The end: rows of all parts to cases, split, fingerprint.


def _finish_store(out: Path, plan: dict[str, Any], modality: Modality) -> None:
    remove_leftovers(out / "parts")
    rows = [row for part in range(_count_parts(plan)) for row in read_lines(_rows_file(out, part))]
    cases, quarantine = [row for row in rows if "row" in row], [row for row in rows if "reason" in row]
    cases, twins = _drop_copies(cases)
    quarantine += twins
    write_lines(out / "quarantine.jsonl", quarantine)
    reasons = dict(Counter(row["reason"] for row in quarantine).most_common())
    if not cases:
        told = "; ".join(f"{count} x {reason}" for reason, count in reasons.items())
        shutil.rmtree(out)  # nothing in it is worth keeping, and the next try may use the same name
        raise Refused(f"None of the {plan['files']} files can be used: {told}. No store was made.")
    splits = assign_splits([case["patient"] for case in cases])
    for case in cases:
        case["split"] = splits[case["patient"]]
    write_lines(out / "cases.jsonl", cases)
    manifest = _make_manifest(plan, modality, cases, reasons)
    write_json(out / "manifest.json", manifest.model_dump(mode="json"))


def _drop_copies(cases: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Each picture once: a copy under another name would stand in two splits."""
    first: dict[str, str] = {}
    kept, twins = [], []
    for case in cases:
        if case["pixels"] in first:
            twins.append({"file": case["file"], "reason": "copy", "detail": f"same pixels as {first[case['pixels']]}"})
        else:
            first[case["pixels"]] = case["file"]
            kept.append(case)
    return kept, twins


def _make_manifest(
    plan: dict[str, Any], modality: Modality, cases: list[dict[str, Any]], reasons: dict[str, int]
) -> Manifest:
    visible = [(case["pixels"], case["patient"], case["split"], case["facts"]) for case in cases]
    fingerprint = hashlib.sha256(json.dumps([plan["shape"], plan["modality"], visible], sort_keys=True).encode())
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
        files=plan["files"],
        cases=len(cases),
        patients=len({case["patient"] for case in cases}),
        splits=dict(Counter(case["split"] for case in cases)),
        facts={name: dict(Counter(case["facts"][name] for case in cases)) for name in modality.conditions},
        quarantined=reasons,
        spacing=tuple(np.median(spacings, axis=0).round(4).tolist()) if spacings else None,
        intensity_quantiles={f"{q:g}": round(float(v), 4) for q, v in zip((0.5, 0.9, 0.99), quantiles, strict=True)},
        fingerprint=fingerprint.hexdigest(),
        made_with=f"ganatomy {version('ganatomy')}",
    )


# ----------------------------------------------------------------------------------------------------------------------
# What it would be.

PREVIEW_FILES = 48  # files that a preview reads


def preview_store(raw: Path, modality: Modality) -> str:
    """What `prepare` would do, from reading a few files spread over the folder."""
    candidates = modality.list_candidates(raw)
    looked = [
        candidates[i] for i in np.linspace(0, len(candidates) - 1, min(PREVIEW_FILES, len(candidates))).astype(int)
    ]
    reasons: Counter[str] = Counter()
    for candidate in looked:
        try:
            modality.normalise(modality.read(candidate)[0])
            reasons["usable"] += 1
        except UnusableImage as reason:
            reasons[reason.kind] += 1
    plan = _make_plan(candidates, modality)
    raw_bytes = sum(int(np.prod(level)) for level in storing.list_stored_levels(tuple(plan["shape"]))) * 2
    told = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common())
    return (
        f"{len(candidates)} files; of {len(looked)} that were read: {told}.\n"
        f"Levels {', '.join(format_shape(level) for level in storing.list_stored_levels(tuple(plan['shape'])))};"
        f" at most {len(candidates) * raw_bytes / 2**30:.2f} GiB before compression (about a quarter after).\n"
        f"listing {plan['listing'][:16]}"
    )
