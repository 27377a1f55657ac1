"""The store on disk: arrays by level, one row per case, and a fingerprint, readable as JSON and zarr.

manifest.json      modality, shape, levels, conditions, counts, spacing, fingerprint, hashes; written last
cases.safetensors  one entry per case in every column: row in the arrays, pseudonym of the patient, split, facts,
                   spacing, geometry; see `data.cases`. Stores of format 1 have cases.jsonl, with one row per line
quarantine.jsonl   one row per file that is not in the store, with its reason
doubts.jsonl       one row per doubt about a file that is in the store
balance.json       counts of all paths below the raw folder, and how patients were identified; see `data.balance`
skipped.jsonl, unmatched.jsonl    paths that are not images by their names, rows of the table that match no file
plan.json, parts/, prepared.safetensors and so on    files with which a later or interrupted `prepare` continues
arrays/<level>     zarr v3, uint16 (0 to 65535 for -1 to 1), one array per level: (rows, *level shape); if a case has
                   several arrays, (rows, arrays, *level shape), see `ganatomy.channels`

When a store has grown g times, the files with one entry per case or file are named cases-g.safetensors and so on.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from zarr.buffer.cpu import NDBuffer
from zarr.codecs import BloscCodec, Crc32cCodec

from ganatomy.channels import ONE_IMAGE, Channels, count_arrays, list_array_axes
from ganatomy.config import Config
from ganatomy.data.cases import CASES_TABLE, Cases, Row, as_cases, compute_fingerprint
from ganatomy.data.columns import Columns, Table, write_table
from ganatomy.errors import Refused
from ganatomy.machine.durable import compute_sha256, hash_json, read_json, read_lines, write_json
from ganatomy.pyramid import Shape, compute_pyramid, format_shape

STORE_FORMAT = 2  # 1 = the cases are rows of JSON
SMALL_VOLUME_VOXELS = 2**15  # voxels; larger volumes are stored in pieces of some planes
QUANTISATION_STEPS = 65535  # steps of the stored uint16 between -1 and 1
MANIFEST_FILE, PLAN_FILE = "manifest.json", "plan.json"
CASES_FILE, LINES_FILE = "cases.safetensors", "cases.jsonl"  # the latter: format 1, and what `croissant` writes
HASHES = "sha256"  # key in the manifest of the hashes of its other entries and of the cases; absent in version 0.1.0
LARGEST_SHARD = 64  # images; `prepare` makes no larger shard


class Manifest(Config):
    """Description of a store; `fingerprint` is a hash of all data that training uses."""

    format: Literal[1, 2] = 2
    modality: str
    shape: tuple[int, ...]
    levels: tuple[tuple[int, ...], ...]
    conditions: dict[str, tuple[str, ...]]
    options: dict[str, Any]
    files: int
    cases: int
    patients: int
    splits: dict[str, int]
    facts: dict[str, dict[str, int]]
    quarantined: dict[str, int]
    doubts: dict[str, int] = Field(default_factory=dict)  # absent from the first stores
    synthetic: int = 0  # number of cases marked as synthetic; absent from the first stores
    spacing: tuple[float, ...] | None
    intensity_quantiles: dict[str, float]
    fingerprint: str
    made_with: str
    generation: int = 0  # how often the store has grown since it was made
    channels: Channels = ONE_IMAGE  # absent from stores of format 1
    rows: int | None = None  # of the arrays; None = a multiple of the size of a shard, as in stores of format 1

    @property
    def array_axes(self) -> Shape:
        """Length of the axis of arrays, between rows and voxels: none where a case has one array."""
        return list_array_axes(self.channels)

    @property
    def cases_file(self) -> str:
        """Name of the file with the cases."""
        return LINES_FILE if self.format == 1 else name_generation(CASES_FILE, self.generation)


@dataclass(frozen=True)
class Store:
    """A complete store, opened for reading.

    Args:
        path: its folder.
        manifest: its description.
        cases: its cases, which may be given as rows.
        is_sealed: whether hashes cover spacing and geometry, too.
    """

    path: Path
    manifest: Manifest
    cases: Cases
    is_sealed: bool = field(default=True, compare=False)
    _opened: dict[Shape, "zarr.Array[Any]"] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given: Cases | Sequence[Row] = self.cases
        object.__setattr__(self, "cases", as_cases(given))

    def __fspath__(self) -> str:
        return fspath(self.path)

    @property
    def shows_patients(self) -> bool:
        """Whether any case may show a real patient: not all cases are marked as synthetic, as phantoms are."""
        return self.manifest.synthetic < self.manifest.cases

    def split(self, name: str) -> Cases:
        """Return the cases of ``train``, ``validation`` or ``test``."""
        return self.cases.find_split(name)

    def read_key_name(self) -> str | None:
        """Read the name of the key of the pseudonyms; None if they have no key, as in stores of earlier versions."""
        plan = self.path / PLAN_FILE
        return read_json(plan).get("key") if plan.exists() else None

    def count_facts(self, split: str) -> dict[str, dict[str, int]]:
        """Count the cases of a split by fact and value."""
        cases = self.split(split)
        return {name: cases.count_values(name) for name in self.manifest.facts}

    def array(self, shape: Shape) -> "zarr.Array[Any]":
        """Return the zarr array of a stored level, which is opened once.

        It is ``(rows, *shape)`` in uint16, or ``(rows, arrays, *shape)`` if a case has several arrays.
        """
        if shape not in self._opened:
            self._opened[shape] = self._open_array(shape)
        return self._opened[shape]

    def _open_array(self, shape: Shape) -> "zarr.Array[Any]":
        folder = self.path / "arrays" / format_shape(shape)
        try:
            array = zarr.open_array(folder, mode="r")
            problem = self._find_array_problem(array, shape)
        except Exception as error:  # zarr raises errors of many kinds for a wrong zarr.json
            problem = (str(error) or type(error).__name__).splitlines()[0]
        if problem is not None:
            raise Refused(
                f"The store {self.path} is damaged: {folder / 'zarr.json'} does not fit its manifest ({problem});"
                " prepare it again into another folder."
            )
        return array

    def _find_array_problem(self, array: "zarr.Array[Any]", shape: Shape) -> str | None:
        """Find how an array differs from those that `create_array` makes, without reading it; None if it does not."""
        rows, *rest = array.shape
        if tuple(rest) != (*self.manifest.array_axes, *shape) or array.dtype != np.uint16:
            return f"{array.dtype} of {format_shape(tuple(rest))}"
        if not int(self.cases.rows.max(initial=0)) < rows <= self._count_rows(rows):
            return f"{rows} rows for {self.manifest.files} files"
        shard = array.shards or array.chunks
        if shard[0] > LARGEST_SHARD or any(chunk > size for chunk, size in zip(shard, array.shape, strict=True)):
            return f"pieces of {format_shape(shard)}"
        return None

    def _count_rows(self, found: int) -> int:
        """Count the rows that an array may have: those of the store, or more while the store grows."""
        if self.manifest.rows is None:
            return self.manifest.files + LARGEST_SHARD - 1
        if found == self.manifest.rows or not (self.path / PLAN_FILE).exists():
            return self.manifest.rows
        return max(self.manifest.rows, int(read_json(self.path / PLAN_FILE).get("rows", 0)))

    def find_level(self, shape: Shape) -> Shape:
        """Find the smallest stored level that is not smaller than `shape`."""
        return next(level for level in self.manifest.levels if level[0] >= shape[0])

    def read(self, rows: list[int], shape: Shape, planes: slice = slice(None)) -> NDArray[np.uint16]:
        """Read the images of some rows at a stored level, all or some planes of the first axis: ``(rows, *shape)``."""
        first = (0,) if self.manifest.array_axes else ()
        with self.refuse_when_damaged(shape):
            return np.stack([np.asarray(self.array(shape)[row, *first, planes]) for row in rows])

    def read_arrays(self, row: int, shape: Shape) -> NDArray[np.uint16]:
        """Read all arrays of a row at a stored level: ``(arrays, *shape)``."""
        with self.refuse_when_damaged(shape):
            return np.asarray(self.array(shape)[row]).reshape(-1, *shape)

    def read_into(self, out: NDArray[np.uint16], row: int, shape: Shape, planes: slice = slice(None)) -> None:
        """Read all arrays of one row at a stored level into memory of their shape.

        It is ``(planes, *rest of the level)``, or ``(arrays, planes, *rest)`` if a case has several arrays.
        """
        every = (slice(None),) * len(self.manifest.array_axes)
        with self.refuse_when_damaged(shape):
            self.array(shape).get_basic_selection((row, *every, planes), out=NDBuffer.from_numpy_array(out))

    @contextmanager
    def refuse_when_damaged(self, shape: Shape) -> Iterator[None]:
        """Turn errors of zarr about a chunk with a wrong checksum into a refusal."""
        try:
            yield
        except (ValueError, RuntimeError, OSError) as error:
            if isinstance(error, Refused):
                raise
            raise Refused(
                f"The store {self.path} is damaged at {format_shape(shape)} ({str(error).splitlines()[0]});"
                " prepare it again"
                " into another folder."
            ) from error

    def check_files(self) -> None:
        """Check that every file with pixels of a case exists, because zarr reads a missing file as black images.

        Raises:
            Refused: files are missing.
        """
        for level in self.manifest.levels:
            array = self.array(level)
            shard = (array.shards or array.chunks)[0]
            wanted = np.unique(self.cases.rows // shard).tolist()
            folder = self.path / "arrays" / format_shape(level) / "c"
            below = ("0",) * (array.ndim - 1)
            gone = {part for part in wanted if not folder.joinpath(str(part), *below).exists()}
            if gone:
                lost = int(np.isin(self.cases.rows // shard, list(gone)).sum())
                raise Refused(
                    f"The store {self.path} has lost {len(gone)} files of {format_shape(level)} with {lost}"
                    " cases; prepare"
                    " it again into another folder."
                )


def list_stored_levels(shape: Shape) -> tuple[Shape, ...]:
    """List the levels of a store: all levels of the pyramid except the base, which one halving computes."""
    sizes = compute_pyramid(shape)
    return sizes[1:] if len(sizes) > 1 else sizes


def quantise_pixels(pixels: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Convert pixels in [-1, 1] to stored values."""
    values = np.clip(pixels, -1, 1)
    values += 1
    values *= QUANTISATION_STEPS / 2
    return np.rint(values, out=values).astype(np.uint16)


def dequantise_pixels(values: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Convert stored values to pixels in [-1, 1]."""
    return values.astype(np.float32) * np.float32(2 / QUANTISATION_STEPS) - np.float32(1)


def halve_pixels(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Compute the next coarser level as rounded means over cells of two: (images, *shape) -> (images, *half shape)."""
    pairs = np.ascontiguousarray(pixels).astype("<u2", copy=False).view("<u4")  # neighbours along the last axis
    total = (pairs & 0xFFFF) + (pairs >> 16)
    for axis in range(1, pixels.ndim - 1):
        first, second = ((slice(None),) * axis + (slice(start, None, 2),) for start in (0, 1))
        total = total[first] + total[second]
    shift = pixels.ndim - 1
    return ((total + (1 << (shift - 1))) >> shift).astype(np.uint16)


def create_array(store: Path, level: Shape, rows: int, shard: int, channels: Channels = ONE_IMAGE) -> None:
    """Create an empty array for one level. A shard contains `shard` images and is written by one process.

    A chunk has about a megabyte: several small images, or some planes of a large volume. It has at most a sixteenth of
    a volume's planes, so that a sub-volume can be read with few other planes; and all arrays of its cases, which a
    training reads together.
    """
    voxels, axes = int(np.prod(level)), list_array_axes(channels)
    per_chunk = max(1, min(shard, 2**19 // (voxels * count_arrays(channels))))
    while shard % per_chunk:
        per_chunk -= 1
    planes = level[0]
    if len(level) == 3 and voxels > SMALL_VOLUME_VOXELS:
        planes = next(n for n in range(max(1, level[0] // 16), 0, -1) if level[0] % n == 0)
    zarr.create_array(
        store / "arrays" / format_shape(level),
        shape=(rows, *axes, *level),
        dtype="uint16",
        fill_value=0,
        overwrite=True,
        chunks=(per_chunk, *axes, planes, *level[1:]),
        shards=(shard, *axes, *level),
        compressors=(BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"), Crc32cCodec()),
    )


def open_store(path: Path) -> Store:
    """Open a complete store.

    Raises:
        Refused: it is not a store, not finished, made by a newer version, or damaged.
    """
    file = path / MANIFEST_FILE
    if not file.exists():
        if (path / PLAN_FILE).exists():
            raise Refused(f"The store {path} is not finished; give the same prepare command again to complete it.")
        raise Refused(f"{path} is not a store; make one with: ganatomy prepare RAW --modality NAME --out {path}")
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        if plain.get("format", 0) > STORE_FORMAT:
            raise Refused(
                f"The store {path} has format {plain['format']} and this version reads up to {STORE_FORMAT};"
                " update ganatomy."
            )
        hashes = plain.pop(HASHES, None)
        manifest = Manifest.model_validate(plain)
        _check_written(path, manifest, plain, hashes)
        store = Store(path, manifest, _open_cases(path / manifest.cases_file, manifest.format), hashes is not None)
        _check_fingerprint(store)
        return store
    except Refused:
        raise
    except (OSError, ValueError, AttributeError, KeyError, TypeError, SafetensorError) as error:
        raise Refused(f"The store {path} is damaged ({str(error).splitlines()[0]}); prepare it again.") from error


def resolve_store(given: Store | str | PathLike[str]) -> Store:
    """The store that is given, or that of a path.

    Raises:
        Refused: as `open_store`.
    """
    return given if isinstance(given, Store) else open_store(Path(given))


def name_generation(name: str, generation: int) -> str:
    """Name a file of a store that has grown: ``cases-2.safetensors`` of ``cases.safetensors`` after the second time."""
    stem, dot, suffix = name.partition(".")
    return name if generation == 0 else f"{stem}-{generation}{dot}{suffix}"


def write_store(folder: Path, manifest: Manifest, cases: Table) -> None:
    """Write the cases of a store and, last, its manifest with the hashes that `open_store` checks."""
    write_table(folder / manifest.cases_file, cases, CASES_TABLE)
    write_manifest(folder, manifest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a store whose cases are written, with the hashes that `open_store` checks."""
    plain = manifest.model_dump(mode="json")
    hashes = {MANIFEST_FILE: hash_json(plain), manifest.cases_file: compute_sha256(folder / manifest.cases_file)}
    write_json(folder / MANIFEST_FILE, {**plain, HASHES: hashes})


def _open_cases(file: Path, store_format: int) -> Cases:
    return Cases.from_rows(read_lines(file)) if store_format == 1 else Cases(Columns(file))


def _check_written(folder: Path, manifest: Manifest, plain: dict[str, Any], hashes: dict[str, str] | None) -> None:
    """Check that manifest and cases of a store are as they were written, by their hashes.

    Stores of version 0.1.0 have no hashes; `_check_fingerprint` checks them.

    Raises:
        Refused: manifest or cases have changed.
    """
    if hashes is None:
        if manifest.format > 1:
            raise _refuse_changed(folder, MANIFEST_FILE)
        return
    if hashes[MANIFEST_FILE] != hash_json(plain):
        raise _refuse_changed(folder, MANIFEST_FILE)
    if hashes[manifest.cases_file] != compute_sha256(folder / manifest.cases_file):
        raise _refuse_changed(folder, manifest.cases_file)


def _check_fingerprint(store: Store) -> None:
    """Check cases of format 1 by the fingerprint, which covers pixels, patients, splits and facts.

    The hash of the cases covers all of that in later formats, in which a store may have millions of cases.

    Raises:
        Refused: the cases have changed.
    """
    about = store.manifest
    if len(store.cases) != about.cases:
        raise _refuse_changed(store.path, about.cases_file)
    if about.format > 1:
        return
    if compute_fingerprint(about.shape, about.modality, store.cases, keyed=store.is_sealed) != about.fingerprint:
        raise _refuse_changed(store.path, about.cases_file)


def _refuse_changed(folder: Path, file: str) -> Refused:
    return Refused(
        f"The store {folder} is damaged: {file} has changed since it was written (its hash differs); restore it, or"
        " prepare the store again into another folder."
    )
