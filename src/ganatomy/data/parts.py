"""The work of `prepare`: parts of a fixed number of files, which several processes write at the same time.

A part consists of one shard of every array and one file of rows; only one process writes it. The file of rows is
written last and atomically, so an interrupted command repeats only the parts that were not finished.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import numcodecs.blosc
import numpy as np
import zarr
from numpy.typing import NDArray

from ganatomy.channels import list_array_axes
from ganatomy.data import jobs
from ganatomy.data import store as storing
from ganatomy.data.balance import describe_left_out
from ganatomy.data.culprits import ENDS_UNTIL_SEARCH, Reasons, collect_marks, find_culprits, mark_part
from ganatomy.data.keys import PseudonymKey
from ganatomy.data.persons import describe_person, settle_person
from ganatomy.errors import Refused
from ganatomy.imaging.image import UnusableImage
from ganatomy.imaging.sandbox import reading_sandbox
from ganatomy.machine import progress
from ganatomy.machine.durable import write_lines
from ganatomy.machine.limits import LIMITS, Limits
from ganatomy.modalities.marks import says_synthetic
from ganatomy.modalities.modality import Candidate, Modality
from ganatomy.modalities.reading import read_to_grid
from ganatomy.pyramid import format_shape

CONTENT, CONTENT_BYTES = "content", 16  # key and length of the hash of a candidate's files in the rows of a part
MAX_IDLE_ROUNDS = 2  # how often a pool may break without any part done, mark left or culprit found


def write_parts(
    out: Path,
    candidates: list[Candidate],
    modality: Modality,
    plan: dict[str, Any],
    key: PseudonymKey,
    parts: list[int],
    workers: int,
    dask: str | None,
) -> None:
    """Write the parts that are not finished; after a worker has ended, a new pool is started while there is progress.

    Args:
        out: folder of the store.
        candidates: all candidates that the plan takes.
        modality: how they are read.
        plan: the plan of the store.
        key: the key of pseudonyms.
        parts: numbers of the parts to write.
        workers: number of processes; 0 = this process, which ends if a file crashes its decoder.
        dask: address of a Dask scheduler whose workers do the work instead; None = no cluster.
    """
    work = partial(_write_part, out, modality, plan, key.secret, LIMITS)
    culprits: Reasons = {}
    todo, ends, idle = list_unfinished_parts(out, parts), Counter[int](), 0
    collect_marks(out, todo)  # marks of a command that was killed
    with progress.bar("preparing", sum(len(_files_of_part(candidates, plan, part)) for part in parts)) as shown:
        while todo and idle < MAX_IDLE_ROUNDS:
            suspects = [part for part in todo if ends[part] >= ENDS_UNTIL_SEARCH]
            found: Reasons = {}
            for part in suspects:
                ends[part] = 0
                progress.say(f"Part {part + 1} has ended {ENDS_UNTIL_SEARCH} workers; its files are read one by one.")
                found |= find_culprits(modality, _files_of_part(candidates, plan, part), LIMITS)
            culprits |= found
            shown.advance(
                sum(len(_files_of_part(candidates, plan, part)) for part in set(parts) - set(todo)) - shown.done
            )
            try:
                todos = ((part, _files_of_part(candidates, plan, part)) for part in todo)
                for done in _run_jobs(partial(work, culprits), todos, min(workers, len(todo)), dask):
                    shown.advance(done)
            except BrokenProcessPool:
                progress.say("A worker has ended; its part is done again.")
            left = list_unfinished_parts(out, parts)
            marks = collect_marks(out, left)
            ends += marks
            if found or len(left) < len(todo):
                idle = 0
            elif suspects or not marks:  # a mark alone is progress: it brings its part nearer to the search
                idle += 1
            todo = left
    if todo:
        raise Refused(
            "Workers are ended by the system before any part is done, most often for lack of memory. The finished parts"
            " are kept; give the same command again with fewer --workers."
        )


def rows_file(out: Path, part: int) -> Path:
    return out / "parts" / f"{part:06d}.jsonl"


def list_unfinished_parts(out: Path, parts: list[int]) -> list[int]:
    return [part for part in parts if not rows_file(out, part).exists()]


def _run_jobs(work: jobs.Work, todo: Iterable[jobs.Job], workers: int, dask: str | None) -> Iterator[int]:
    if dask is not None:
        return jobs.run_on_cluster(work, todo, dask)
    return jobs.run_in_pool(work, todo, workers) if workers else jobs.run_serially(work, todo)


def _files_of_part(candidates: list[Candidate], plan: dict[str, Any], part: int) -> list[Candidate]:
    first = (part - plan.get("first_part", 0)) * plan["part"]
    return candidates[first : first + plan["part"]]


def _write_part(
    out: Path,
    modality: Modality,
    plan: dict[str, Any],
    key: bytes,
    limits: Limits,
    culprits: Reasons,
    part: int,
    files: list[Candidate],
) -> None:
    """Write one part: read, normalise, write every level, then the rows; `culprits` are not read."""
    first, size = part * plan["part"], plan["part"]
    shape = tuple(plan["shape"])
    pixels = np.zeros((size, *list_array_axes(modality.labels.channels), *shape), dtype=np.uint16)
    rows: list[dict[str, Any]] = []
    with mark_part(out, part):
        for i, candidate in enumerate(files):
            try:
                if candidate.name in culprits:
                    raise UnusableImage(*culprits[candidate.name])
                with reading_sandbox(candidate.paths, limits):
                    row, pixels[i] = _read_case(modality, candidate, key, limits)
            except UnusableImage as reason:
                row = describe_left_out(candidate, reason.kind, reason.detail)
            else:
                row = {"row": first + i, **row}
            rows.append({**row, CONTENT: hash_content(candidate.paths)})
        levels = storing.list_stored_levels(shape)
        numcodecs.blosc.set_nthreads(1)  # the other cores work on other parts
        for level in reversed(levels):
            zarr.open_array(out / "arrays" / format_shape(level), mode="r+")[first : first + size] = pixels
            pixels = _halve_arrays(pixels, len(level)) if level != levels[0] else pixels
        write_lines(rows_file(out, part), rows)


def _halve_arrays(values: NDArray[np.uint16], ndim: int) -> NDArray[np.uint16]:
    """Compute the next coarser level of all arrays by `store.halve_pixels`: (..., *shape) -> (..., *half shape).

    Args:
        values: all arrays of some cases.
        ndim: number of the axes of an image.
    """
    half = storing.halve_pixels(values.reshape(-1, *values.shape[-ndim:]))
    return half.reshape(*values.shape[:-ndim], *half.shape[1:])


def hash_content(paths: Iterable[Path]) -> str:
    """Hash the bytes of files, so that a later `prepare` can tell whether a file with a new date has changed.

    A file that cannot be read counts as empty, because the reason for leaving it out is noted elsewhere.
    """
    digest = hashlib.blake2b(digest_size=CONTENT_BYTES)
    for path in paths:
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
        except OSError:
            digest.update(b"")
    return digest.hexdigest()


def _read_case(
    modality: Modality, candidate: Candidate, key: bytes, limits: Limits
) -> tuple[dict[str, Any], NDArray[np.uint16]]:
    """Read a candidate; return the row of its case and its arrays as they are stored."""
    image, person = read_to_grid(modality, candidate, limits)
    pixels = storing.quantise_pixels(image.pixels)
    if image.shares is not None:
        pixels = np.stack([pixels, *storing.quantise_pixels(2 * image.shares - 1)])
    row = {
        "file": candidate.name,
        **describe_person(settle_person(person, candidate.name), key),
        "synthetic": says_synthetic(candidate.path),
        "facts": dict(image.facts),
        "spacing": image.spacing,
        "geometry": dict(image.geometry),
        "pixels": hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest(),
        "quantiles": np.quantile(image.pixels[::4, ::4], (0.5, 0.9, 0.99)).round(4).tolist(),
        "doubts": [doubt._asdict() for doubt in image.doubts],
    }
    return row, pixels
