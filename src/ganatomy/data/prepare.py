"""The verb `prepare`: make a store from a raw folder, in three steps (`plan`, `parts`, `finish`)."""

import os
from collections import Counter
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, overload

import numpy as np

from ganatomy.channels import count_arrays
from ganatomy.data import store as storing
from ganatomy.data.balance import describe_passed_over
from ganatomy.data.finish import finish_store
from ganatomy.data.growth import begin_growth, can_grow, continue_growth
from ganatomy.data.keys import PseudonymKey, load_key
from ganatomy.data.parts import list_unfinished_parts, write_parts
from ganatomy.data.plan import (
    begin_store,
    check_same_key,
    check_same_kind,
    is_complete,
    is_unchanged,
    list_parts,
    look_through,
    make_plan,
    read_begun_store,
)
from ganatomy.data.store import Store, open_store
from ganatomy.errors import Refused
from ganatomy.imaging.image import UnusableImage
from ganatomy.machine.durable import read_json
from ganatomy.machine.places import hold_output
from ganatomy.modalities.facts import FactSource, make_fact_source
from ganatomy.modalities.folder import list_folder
from ganatomy.modalities.label_files import make_label_source
from ganatomy.modalities.modality import Modality
from ganatomy.modalities.reading import read_to_grid
from ganatomy.modalities.table import make_modality
from ganatomy.pyramid import Shape, format_shape

PREVIEW_FILES = 48  # largest number of files that a preview reads
NO_OPTIONS: Mapping[str, Any] = {}  # of a modality: its defaults


@overload
def prepare(
    raw: str | PathLike[str],
    modality: Modality | str,
    out: str | PathLike[str],
    workers: int | None = None,
    dask: str | None = None,
    key: str | PathLike[str] | None = None,
    *,
    facts: FactSource | str | PathLike[str] | None = None,
    column: Mapping[str, str] | None = None,
    fact: Mapping[str, str] | None = None,
    voi: bool | None = None,
    field_of_view_mm: float | None = None,
    shape: Shape | None = None,
    labels: Mapping[str, str] | None = None,
    shard: None = None,
) -> Store: ...
@overload
def prepare(
    raw: str | PathLike[str],
    modality: Modality | str,
    out: str | PathLike[str],
    workers: int | None = None,
    dask: str | None = None,
    key: str | PathLike[str] | None = None,
    *,
    facts: FactSource | str | PathLike[str] | None = None,
    column: Mapping[str, str] | None = None,
    fact: Mapping[str, str] | None = None,
    voi: bool | None = None,
    field_of_view_mm: float | None = None,
    shape: Shape | None = None,
    labels: Mapping[str, str] | None = None,
    shard: tuple[int, int] | None = None,
) -> Store | None: ...
def prepare(
    raw: str | PathLike[str],
    modality: Modality | str,
    out: str | PathLike[str],
    workers: int | None = None,
    dask: str | None = None,
    key: str | PathLike[str] | None = None,
    *,
    facts: FactSource | str | PathLike[str] | None = None,
    column: Mapping[str, str] | None = None,
    fact: Mapping[str, str] | None = None,
    voi: bool | None = None,
    field_of_view_mm: float | None = None,
    shape: Shape | None = None,
    labels: Mapping[str, str] | None = None,
    shard: tuple[int, int] | None = None,
) -> Store | None:
    """Make, complete or extend a store of all usable images below a folder, split by patient: train, validation, test.

    If files were added since the store was completed, only they are read; the images that the store has keep their
    rows, patients and splits.

    Args:
        raw: folder with DICOM, NIfTI or picture files at any depth.
        modality: ``mammogram``, ``chest_ct`` or ``brain_mri``; or a modality with its options, instead of `facts` to
            `labels`.
        out: folder of the store. An interrupted store is completed; a complete store of the same files is not changed;
            a store of fewer files of the same folder grows.
        workers: number of processes; None = one per core, 0 = this process, which ends if a file crashes its decoder.
        dask: address of a Dask scheduler whose workers do the work instead; None = no cluster.
        key: file of the key of pseudonyms, which is made if it does not exist; None = `data.keys.find_key_path`.
        facts: CSV with a column ``file`` and facts, which override those of a file's header; None = ``facts.csv`` in
            `raw`, if there is one.
        column: the column of the CSV that holds a fact, such as ``{"laterality": "side"}``.
        fact: facts that are the same for every file, such as ``{"view_position": "CC"}``.
        voi: apply the VOI LUT or window of DICOM mammograms; None = the modality's default, True.
        field_of_view_mm: width of the grid of a brain in mm; None = the modality's default, 192.
        shape: pixels or voxels per axis of the grid; None = the modality's default.
        labels: for each class of a label map the pattern of its mask, relative to the folder of an image, such as
            ``{"lung": "{stem}_lung.nii.gz", "lesion": "{stem}_seg.nii.gz:2"}``: ``{stem}`` is the name of the image
            without its suffix, and a number behind a colon the value of the class. None = images alone.
        shard: (i, n) = do every n-th part only, beginning with part i, and leave the others to other jobs.

    Returns:
        The complete store: pixels in [-1, 1] at several sizes, and a reason for every file that was left out. With
        `shard` None while other shards are not finished.

    Raises:
        Refused: there is no usable image, `out` is not a store, another process is making it, files of its images or
            their facts have changed or vanished, the modality does not have an option, or workers are ended for lack
            of memory.

    Example:
        >>> import ganatomy
        >>> store = ganatomy.prepare("mammograms", "mammogram", "store", shape=(80, 64), workers=1)
        >>> store.manifest.patients, store.manifest.cases
        (10, 40)
    """
    options: dict[str, Any] = {
        "voi": voi,
        "field_of_view_mm": field_of_view_mm,
        "shape": None if shape is None else tuple(shape),
    }
    options["labels"] = None if labels is None else make_label_source(labels)
    kind = _resolve_modality(modality, facts, column, fact, options)
    if shard is not None:
        if dask is not None:
            raise Refused("--shard and --dask are alternative ways to share the work; give only one of them.")
        return prepare_shard(raw, kind, out, shard, workers, key)
    raw, out = Path(raw).resolve(), Path(out).resolve()
    secret = load_key(None if key is None else Path(key), out)
    with hold_output(out):
        _begin(out, raw, kind, secret)
        if not is_complete(out):
            finish_store(out, _read_files(out, raw, kind, secret, _count_workers(workers), dask), kind, secret)
        return open_store(out)


def prepare_shard(
    raw: str | PathLike[str],
    modality: Modality | str,
    out: str | PathLike[str],
    shard: tuple[int, int],
    workers: int | None = None,
    key: str | PathLike[str] | None = None,
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
    if not (out / storing.PLAN_FILE).exists() or is_complete(out):
        _begin(out, raw, kind, secret)
    if not is_complete(out):
        plan, candidates = read_begun_store(out, raw, kind, secret)
        every = list(list_parts(plan))
        write_parts(out, candidates, kind, plan, secret, every[shard[0] - 1 :: shard[1]], _count_workers(workers), None)
        if list_unfinished_parts(out, every):
            return None
        try:
            finish_store(out, plan, kind, secret)
        except (OSError, Refused):
            if not is_complete(out):  # else another job has completed the store, and removed the files of before
                raise
    return open_store(out)


def _read_files(
    out: Path, raw: Path, modality: Modality, key: PseudonymKey, workers: int, dask: str | None
) -> dict[str, Any]:
    """Write the parts of a store that was begun; return its plan, and free the memory of the candidates."""
    plan, candidates = read_begun_store(out, raw, modality, key)
    write_parts(out, candidates, modality, plan, key, list(list_parts(plan)), workers, dask)
    return plan


def _begin(out: Path, raw: Path, modality: Modality, key: PseudonymKey) -> None:
    """Begin a store, or its growth if files were added since it was completed.

    Raises:
        Refused: as in `prepare`.
    """
    listing = list_folder(raw, out)
    if (out / storing.PLAN_FILE).exists() and is_unchanged(out, raw, modality, key, listing):
        check_same_kind(out, read_json(out / storing.PLAN_FILE), modality)
        check_same_key(out, read_json(out / storing.PLAN_FILE), key.name)
        continue_growth(out)
        return
    found = look_through(raw, modality, out, listing)
    if can_grow(out):
        begin_growth(out, raw, modality, key, found)
    else:
        begin_store(out, raw, modality, key, found)


def _count_workers(given: int | None) -> int:
    return (os.cpu_count() or 1) if given is None else given


def _resolve_modality(
    modality: Modality | str,
    facts: FactSource | str | PathLike[str] | None = None,
    column: Mapping[str, str] | None = None,
    fact: Mapping[str, str] | None = None,
    options: Mapping[str, Any] = NO_OPTIONS,
) -> Modality:
    """The modality of a name with its options, or the one that is given.

    Raises:
        Refused: there is no such modality or option, or a modality is given and options besides.
    """
    if isinstance(modality, str):
        return make_modality(modality, facts=make_fact_source(facts, column, fact), **options)
    given = {"facts": facts, "column": column, "fact": fact, **options}
    if besides := [name for name, value in given.items() if value is not None]:
        raise Refused(
            f"The modality {modality.name} has its options already, and {besides[0]} is given besides; give the name"
            f" of the modality with {besides[0]}, or the modality alone."
        )
    return modality


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
    raw_bytes = sum(int(np.prod(level)) for level in levels) * 2 * count_arrays(modality.labels.channels)
    told = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common()) or "nothing"
    lines = (
        *describe_passed_over(found.aside),
        f"{len(candidates)} candidates; of {len(picked)} that were read: {told}.",
        f"Levels {', '.join(format_shape(level) for level in levels)};"
        f" at most {len(candidates) * raw_bytes / 2**30:.2f} GiB before compression (about a quarter after).",
        f"listing {plan['listing'][:16]}",
    )
    return "\n".join(lines)
