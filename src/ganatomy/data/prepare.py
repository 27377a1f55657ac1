"""The verb `prepare`: make a store from a raw folder, in three steps (`plan`, `parts`, `finish`)."""

import os
from collections import Counter
from pathlib import Path

import numpy as np

from ganatomy.data import store as storing
from ganatomy.data.balance import describe_passed_over
from ganatomy.data.finish import finish_store
from ganatomy.data.keys import load_key
from ganatomy.data.parts import list_unfinished_parts, write_parts
from ganatomy.data.plan import begin_store, count_parts, look_through, make_plan, read_begun_store
from ganatomy.data.store import Store, open_store
from ganatomy.errors import Refused
from ganatomy.imaging.image import UnusableImage
from ganatomy.machine.places import hold_output
from ganatomy.modalities.modality import Modality
from ganatomy.modalities.reading import read_to_grid
from ganatomy.modalities.table import get_modality
from ganatomy.pyramid import format_shape

PREVIEW_FILES = 48  # largest number of files that a preview reads


def prepare(
    raw: Path | str,
    modality: Modality | str,
    out: Path | str,
    workers: int | None = None,
    dask: str | None = None,
    key: Path | str | None = None,
) -> Store:
    """Make or complete a store of all usable images below a folder, split by patient: train, validation, test.

    Args:
        raw: folder with DICOM, NIfTI or picture files at any depth.
        modality: how the files are read and normalised, and to which shape; a name means the modality's defaults.
        out: folder of the store. An interrupted store is completed; a complete store of the same files is not changed.
        workers: number of processes; None = one per core, 0 = this process, which ends if a file crashes its decoder.
        dask: address of a Dask scheduler whose workers do the work instead; None = no cluster.
        key: file of the key of pseudonyms, which is made if it does not exist; None = `data.keys.find_key_path`.

    Returns:
        The complete store: pixels in [-1, 1] at several sizes, and a reason for every file that was left out.

    Raises:
        Refused: there is no usable image, `out` is not a store, another process is making it, or workers are ended for
            lack of memory.

    Example:
        >>> import ganatomy
        >>> from ganatomy.modalities.mammogram import Mammogram
        >>> store = ganatomy.prepare("mammograms", Mammogram(shape=(80, 64)), "store", workers=1)
        >>> store.manifest.patients, store.manifest.cases
        (10, 40)
    """
    raw, out, kind = Path(raw).resolve(), Path(out).resolve(), _resolve_modality(modality)
    secret = load_key(None if key is None else Path(key), out)
    with hold_output(out):
        plan, candidates = begin_store(out, raw, kind, secret)
        if not (out / storing.MANIFEST_FILE).exists():
            every = list(range(count_parts(plan)))
            write_parts(out, candidates, kind, plan, secret, every, _count_workers(workers), dask)
            finish_store(out, plan, kind, secret)
        return open_store(out)


def prepare_shard(
    raw: Path | str,
    modality: Modality | str,
    out: Path | str,
    shard: tuple[int, int],
    workers: int | None = None,
    key: Path | str | None = None,
) -> Store | None:
    """Do every n-th part of the work of `prepare`, as one of n jobs on machines that see the same folders.

    The first job lists the files for all jobs, and the last one completes the store. A job that was killed can be
    started again; starting a job again does no harm.

    Args:
        raw, modality, out, workers: as in `prepare`.
        shard: (i, n), with i from 1 to n.
        key: as in `prepare`; it is the same for all jobs.

    Returns:
        The store if it is complete; None while other shards are not finished.

    Raises:
        Refused: as in `prepare`, or there is no such shard.
    """
    raw, out, kind = Path(raw).resolve(), Path(out).resolve(), _resolve_modality(modality)
    if not 1 <= shard[0] <= shard[1]:
        raise Refused(f"--shard {shard[0]}/{shard[1]}: give i/n with i from 1 to n.")
    secret = load_key(None if key is None else Path(key), out)
    if not (out / storing.PLAN_FILE).exists():
        begin_store(out, raw, kind, secret)
    if not (out / storing.MANIFEST_FILE).exists():
        plan, candidates = read_begun_store(out, raw, kind, secret)
        mine = list(range(shard[0] - 1, count_parts(plan), shard[1]))
        write_parts(out, candidates, kind, plan, secret, mine, _count_workers(workers), None)
        if list_unfinished_parts(out, list(range(count_parts(plan)))):
            return None
        finish_store(out, plan, kind, secret)
    return open_store(out)


def _count_workers(given: int | None) -> int:
    return (os.cpu_count() or 1) if given is None else given


def _resolve_modality(modality: Modality | str) -> Modality:
    return get_modality(modality)() if isinstance(modality, str) else modality


def preview_store(raw: Path, modality: Modality, out: Path | None = None) -> str:
    """Describe what `prepare` would do, after reading a few files from different places of the folder.

    Args:
        raw: the raw folder.
        modality: the modality of the images.
        out: folder of the store, which may lie below `raw`.
    """
    raw = raw.resolve()
    found = look_through(raw, modality, out)
    candidates = found.candidates
    picked = np.linspace(0, len(candidates) - 1, min(PREVIEW_FILES, len(candidates))).astype(int)
    reasons: Counter[str] = Counter()
    for candidate in (candidates[i] for i in picked):
        try:
            read_to_grid(modality, candidate)
            reasons["usable"] += 1
        except UnusableImage as reason:
            reasons[reason.kind] += 1
    plan = make_plan(candidates, modality, None)
    levels = storing.list_stored_levels(tuple(plan["shape"]))
    raw_bytes = sum(int(np.prod(level)) for level in levels) * 2
    told = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common()) or "nothing"
    lines = (
        *describe_passed_over(found.aside),
        f"{len(candidates)} candidates; of {len(picked)} that were read: {told}.",
        f"Levels {', '.join(format_shape(level) for level in levels)};"
        f" at most {len(candidates) * raw_bytes / 2**30:.2f} GiB before compression (about a quarter after).",
        f"listing {plan['listing'][:16]}",
    )
    return "\n".join(lines)
