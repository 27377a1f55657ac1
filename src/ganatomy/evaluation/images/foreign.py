"""Images of any origin: a folder of DICOM, NIfTI, PNG, TIFF, JPEG or NPY files, prepared like those of the store."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ganatomy.data.balance import count_groups, describe_facts, format_example, pass_over
from ganatomy.data.samples import INDEX_FILE, Sample
from ganatomy.data.store import Store, dequantise_pixels, halve_pixels, quantise_pixels
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image, UnusableImage
from ganatomy.imaging.sandbox import reading_sandbox
from ganatomy.machine import progress
from ganatomy.machine.durable import read_lines
from ganatomy.modalities import table as modalities
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.folder import SPECIAL_KINDS, list_folder
from ganatomy.modalities.modality import Candidate, Modality
from ganatomy.pyramid import Shape, format_shape

REASONS_SHOWN = 3  # largest number of kinds of reasons in a message
TEXT_SUFFIXES = (".json", ".jsonl", ".txt", ".md", ".csv", ".html", ".yaml")  # never images


def make_modality(store: Store, facts: FactSource, shape: Shape, labelled: bool) -> Modality:
    """Make the modality of a store with its options, for one of its levels and another source of facts."""
    make = modalities.get_modality(store.manifest.modality)
    known = modalities.list_options(store.manifest.modality)
    options = {name: value for name, value in store.manifest.options.items() if name in known}
    columns = {name: name for name in store.manifest.facts if name not in make().conditions} if labelled else {}
    return make(facts=replace(facts, columns={**columns, **facts.columns}), shape=shape, **options)


def read_foreign_images(
    folder: Path, store: Store, facts: FactSource, shape: Shape | None, n: int
) -> tuple[int, Shape, Iterator[Sample]]:
    """Read images of any origin; return the number of files, the level of comparison, and the images one by one.

    DICOM, NIfTI and picture files are prepared and halved like the images of the store. An NPY file contains one
    canonically oriented image of a stored size in [-1, 1]. A path that may be an image and cannot be read, such as a
    dangling link, is refused like an image that cannot be read; only texts and paths that `SKIP_RULES` names are
    skipped.

    Args:
        folder: the folder of the images.
        store: the store whose preparation is used.
        facts: source of facts, such as a table, which takes precedence over the files.
        shape: the level; None = the largest level of the store that the first image fills.
        n: largest number of files.

    Raises:
        Refused: there is nothing that can be read, or the store does not have this level.
    """
    told = _read_index(folder)
    labelled = bool(told) or facts.table is not None
    probe = make_modality(store, facts, store.manifest.shape, labelled)
    listing = list_folder(folder)
    lost = [row for row in listing.left_out if row["reason"] not in SPECIAL_KINDS]
    if lost:
        raise _make_refusal(folder, lost, listing.total_paths)
    listed = probe.list_candidates(folder, listing)
    for line in describe_facts(pass_over(listing, listed, probe.facts.read_table(folder), probe)[1]):
        progress.say(line)
    every = [
        replace(one, facts={**told.get(one.name, {}), **one.facts})
        for one in listed
        if one.path.suffix.lower() not in TEXT_SUFFIXES
    ]
    candidates = every[:n]
    read, found = (sum(len(one.paths) for one in some) for some in (candidates, every))
    progress.say(
        f"{listing.total_paths} paths in {folder}: {read} compared, {found - read} more images than are compared,"
        f" {listing.total_paths - found} not images by their names"
    )
    level = shape or _choose_level(folder, probe, candidates, store)
    if level not in store.manifest.levels:
        levels = ", ".join(format_shape(size) for size in store.manifest.levels)
        raise Refused(f"The store {store.path} has no level {format_shape(level)}; its levels are {levels}.")
    paths = (probe, make_modality(store, facts, level, labelled))
    return len(candidates), level, _read_images(folder, paths, level, candidates)


def _read_index(folder: Path) -> dict[str, dict[str, str]]:
    """Read facts by file from the index of samples in a format that `read_samples` does not read, such as DICOM."""
    rows = read_lines(folder / INDEX_FILE) if (folder / INDEX_FILE).exists() else []
    return {row["file"]: dict(row.get("facts") or {}) for row in rows}


def _choose_level(folder: Path, modality: Modality, candidates: list[Candidate], store: Store) -> Shape:
    reasons: list[dict[str, str]] = []
    for candidate in candidates:
        try:
            with reading_sandbox(candidate.paths):
                size = _read_raw(modality, candidate).shape
        except UnusableImage as reason:
            reasons.append(_describe(candidate, reason))
            continue
        fitting = [level for level in store.manifest.levels if all(a <= b for a, b in zip(level, size, strict=False))]
        return max(fitting or store.manifest.levels[:1], key=lambda level: int(np.prod(level)))
    raise _make_refusal(folder, reasons, len(candidates))


def _read_images(
    folder: Path, paths: tuple[Modality, Modality], level: Shape, candidates: list[Candidate]
) -> Iterator[Sample]:
    """Read the images at a level, prepared like the images of the store.

    An image that fills the store's shape is prepared at that shape and halved, so that the raw files of a store give
    the pixels of the store. A smaller image is prepared at the level, because enlarging it first would remove its
    finest texture.

    Args:
        folder: the folder of the images.
        paths: the modality at the store's shape, and at the level.
        level: the level.
        candidates: the images.
    """
    whole, coarse = paths
    reasons: list[dict[str, str]] = []
    for candidate in candidates:
        try:
            with reading_sandbox(candidate.paths):
                image = _read_raw(whole, candidate)
                if candidate.path.suffix != ".npy":
                    fills = all(a <= b for a, b in zip(whole.shape, image.shape, strict=True))
                    image = _halve_to(whole.normalise(image), level) if fills else coarse.normalise(image)
        except UnusableImage as reason:
            reasons.append(_describe(candidate, reason))
            continue
        yield image.copy_with(geometry={}), {"file": candidate.name}
    if reasons:
        raise _make_refusal(folder, reasons, len(candidates))


def _halve_to(image: Image, level: Shape) -> Image:
    """Halve an image down to a level of the store, rounded at each level as in the store."""
    stored = quantise_pixels(image.pixels)[None]
    while stored.shape[1:] != level:
        stored = halve_pixels(stored)
    return image.copy_with(pixels=dequantise_pixels(stored[0]))


def _read_raw(modality: Modality, candidate: Candidate) -> Image:
    if candidate.path.suffix != ".npy":
        return modality.read(candidate)[0]
    try:
        values = np.load(candidate.path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UnusableImage("not readable as NPY", str(error).splitlines()[0]) from error
    if values.ndim != len(modality.shape):
        raise UnusableImage("not one image", f"{values.ndim} axes")
    if np.isfinite(values).all() and np.abs(values).max() > 1 + 1e-3:
        raise UnusableImage("not in [-1, 1]", f"values from {values.min():.4g} to {values.max():.4g}")
    return Image(
        values.astype(np.float32), None, {k: v for k, v in candidate.facts.items() if k in modality.conditions}
    )


def _describe(candidate: Candidate, reason: UnusableImage) -> dict[str, str]:
    return {"file": candidate.name, "reason": reason.kind, "detail": reason.detail}


def _make_refusal(folder: Path, rows: list[dict[str, str]], total: int) -> Refused:
    """Refuse a folder with unusable images, because leaving them out would make the comparison too favourable."""
    groups = list(count_groups(rows, "reason").items())[:REASONS_SHOWN]
    first = {row["reason"]: row for row in reversed(rows)}
    told = "; ".join(f"{count} x {reason}, such as {format_example(first[reason])}" for reason, count in groups)
    words = f"{len(rows)} of {total} files"
    return Refused(
        f"{words} in {folder} cannot be compared: {told}. Give facts that the files do not carry in facts.csv beside"
        " them, with --facts TABLE, or with --fact NAME=VALUE for all files."
    )
