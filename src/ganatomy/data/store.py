"""The store on disk: arrays by level, one row per case, a fingerprint.

    manifest.json      modality, shape, levels, conditions, counts, spacing, fingerprint, hashes; written last
    cases.jsonl        one row per case: row in the arrays, pseudonym of the patient, split, facts, spacing, geometry
    quarantine.jsonl   one row per file that is not in the store, with its reason
    doubts.jsonl       one row per doubt about a file that is in the store
    balance.json       counts of every path below the raw folder, how persons were told apart; see `data.balance`
    skipped.jsonl, unmatched.jsonl    paths that are no images by their names, rows of the table that no file has
    plan.json, parts/ and so on       what `prepare` needs to go on where it was
    arrays/<level>     zarr v3, uint16 (0 to 65535 for -1 to 1), one array a level: (rows, *level shape)

All of it is readable without this package: JSON and zarr.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from pydantic import Field
from zarr.buffer.cpu import NDBuffer
from zarr.codecs import BloscCodec, Crc32cCodec

from ganatomy.config import Config
from ganatomy.errors import Refused
from ganatomy.machine.durable import compute_sha256, hash_json, read_json, read_lines, write_json
from ganatomy.pyramid import Shape, compute_pyramid, format_shape

STORE_FORMAT = 1
SMALL_VOLUME_VOXELS = 2**15  # voxels; larger volumes are stored in pieces of some planes
QUANTISATION_STEPS = 65535  # of the stored uint16 between -1 and 1
MANIFEST_FILE, CASES_FILE, PLAN_FILE = "manifest.json", "cases.jsonl", "plan.json"
HASHES = "sha256"  # in the manifest: of all else in it, and of the cases; version 0.1.0 wrote none
LARGEST_SHARD = 64  # images; `prepare` makes none larger


class Manifest(Config):
    """What a store is; `fingerprint` is a hash of all that training can see of it."""

    format: Literal[1] = 1
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
    synthetic: int = 0  # cases whose files say that they show no patient; absent from the first stores
    spacing: tuple[float, ...] | None
    intensity_quantiles: dict[str, float]
    fingerprint: str
    made_with: str


@dataclass(frozen=True)
class Store:
    """A complete store, opened for reading."""

    path: Path
    manifest: Manifest
    cases: list[dict[str, Any]]
    is_sealed: bool = field(default=True, compare=False)  # whether hashes cover spacing and geometry, too
    _opened: dict[Shape, "zarr.Array[Any]"] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def shows_patients(self) -> bool:
        """Whether any case may be of a real patient: not all of them say that they are synthetic, as phantoms do."""
        return self.manifest.synthetic < self.manifest.cases

    def split(self, name: str) -> list[dict[str, Any]]:
        """The cases of ``train``, ``validation`` or ``test``."""
        return [case for case in self.cases if case["split"] == name]

    def read_key_name(self) -> str | None:
        """Which key made the pseudonyms; None of a store whose pseudonyms have none, as those of older versions."""
        plan = self.path / PLAN_FILE
        return read_json(plan).get("key") if plan.exists() else None

    def count_facts(self, split: str) -> dict[str, dict[str, int]]:
        """How many cases of a split have each value of each fact."""
        cases = self.split(split)
        return {name: dict(Counter(case["facts"][name] for case in cases)) for name in self.manifest.facts}

    def array(self, shape: Shape) -> "zarr.Array[Any]":
        """The array of a stored level: (rows, *shape), uint16; opened once."""
        if shape not in self._opened:
            self._opened[shape] = self._open_array(shape)
        return self._opened[shape]

    def _open_array(self, shape: Shape) -> "zarr.Array[Any]":
        folder = self.path / "arrays" / format_shape(shape)
        try:
            array = zarr.open_array(folder, mode="r")
            problem = self._find_array_problem(array, shape)
        except Exception as error:  # zarr says what is wrong with a zarr.json by errors of many kinds
            problem = (str(error) or type(error).__name__).splitlines()[0]
        if problem is not None:
            raise Refused(
                f"The store {self.path} is damaged: {folder / 'zarr.json'} does not fit its manifest ({problem});"
                " prepare it again into another folder."
            )
        return array

    def _find_array_problem(self, array: "zarr.Array[Any]", shape: Shape) -> str | None:
        """What of an array is not as `create_array` makes it; None where all is. Nothing is read for it."""
        rows, *voxels = array.shape
        most = self.manifest.files + LARGEST_SHARD
        if tuple(voxels) != tuple(shape) or array.dtype != np.uint16:
            return f"{array.dtype} of {format_shape(tuple(voxels))}"
        if not max((case["row"] for case in self.cases), default=0) < rows < most:
            return f"{rows} rows for {self.manifest.files} files"
        shard = array.shards or array.chunks
        if shard[0] > LARGEST_SHARD or any(chunk > size for chunk, size in zip(shard, array.shape, strict=True)):
            return f"pieces of {format_shape(shard)}"
        return None

    def find_level(self, shape: Shape) -> Shape:
        """The smallest stored level that is not smaller than `shape`."""
        return next(level for level in self.manifest.levels if level[0] >= shape[0])

    def read(self, rows: list[int], shape: Shape, planes: slice = slice(None)) -> NDArray[np.uint16]:
        """Stored values of some rows at a stored level, of all or some planes of the first axis: (rows, *shape)."""
        with self.refuse_when_damaged(shape):
            return np.stack([np.asarray(self.array(shape)[row, planes]) for row in rows])

    def read_into(self, out: NDArray[np.uint16], row: int, shape: Shape, planes: slice = slice(None)) -> None:
        """Stored values of one row at a stored level into memory of their shape, (planes, *rest of the level)."""
        with self.refuse_when_damaged(shape):
            self.array(shape).get_basic_selection((row, planes), out=NDBuffer.from_numpy_array(out))

    @contextmanager
    def refuse_when_damaged(self, shape: Shape) -> Iterator[None]:
        """What zarr says of a chunk whose checksum is wrong, as a sentence for the user."""
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
        """Every file that holds pixels of a case is there; zarr would take one that is not for black images.

        Raises:
            Refused: some are gone.
        """
        for level in self.manifest.levels:
            array = self.array(level)
            shard = (array.shards or array.chunks)[0]
            wanted = {case["row"] // shard for case in self.cases}
            folder = self.path / "arrays" / format_shape(level) / "c"
            below = ("0",) * len(level)
            gone = {part for part in wanted if not folder.joinpath(str(part), *below).exists()}
            if gone:
                lost = sum(case["row"] // shard in gone for case in self.cases)
                raise Refused(
                    f"The store {self.path} has lost {len(gone)} files of {format_shape(level)} with {lost}"
                    " cases; prepare"
                    " it again into another folder."
                )


def list_stored_levels(shape: Shape) -> tuple[Shape, ...]:
    """The levels that a store keeps: all but the base, which is one halving away from the lowest."""
    sizes = compute_pyramid(shape)
    return sizes[1:] if len(sizes) > 1 else sizes


def quantise_pixels(pixels: NDArray[np.float32]) -> NDArray[np.uint16]:
    """[-1, 1] to stored values."""
    values = np.clip(pixels, -1, 1)
    values += 1
    values *= QUANTISATION_STEPS / 2
    return np.rint(values, out=values).astype(np.uint16)


def dequantise_pixels(values: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Stored values to [-1, 1]."""
    return values.astype(np.float32) * np.float32(2 / QUANTISATION_STEPS) - np.float32(1)


def halve_pixels(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Mean over cells of two an axis, rounded: the level below. (images, *shape) -> (images, *half the shape)."""
    pairs = np.ascontiguousarray(pixels).astype("<u2", copy=False).view("<u4")  # neighbours along the last axis
    total = (pairs & 0xFFFF) + (pairs >> 16)
    for axis in range(1, pixels.ndim - 1):
        first, second = ((slice(None),) * axis + (slice(start, None, 2),) for start in (0, 1))
        total = total[first] + total[second]
    shift = pixels.ndim - 1
    return ((total + (1 << (shift - 1))) >> shift).astype(np.uint16)


def create_array(store: Path, level: Shape, rows: int, shard: int) -> None:
    """An empty array for one level. A shard holds `shard` images and has one writer.

    A chunk is about a megabyte: several small images, or some planes of a large volume, at most the sixteenth part that
    lets a sub-volume be read without its neighbours.
    """
    voxels = int(np.prod(level))
    per_chunk = max(1, min(shard, 2**19 // voxels))
    while shard % per_chunk:
        per_chunk -= 1
    planes = level[0]
    if len(level) == 3 and voxels > SMALL_VOLUME_VOXELS:
        planes = next(n for n in range(max(1, level[0] // 16), 0, -1) if level[0] % n == 0)
    zarr.create_array(
        store / "arrays" / format_shape(level),
        shape=(rows, *level),
        dtype="uint16",
        fill_value=0,
        overwrite=True,
        chunks=(per_chunk, planes, *level[1:]),
        shards=(shard, *level),
        compressors=(BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"), Crc32cCodec()),
    )


def open_store(path: Path) -> Store:
    """A complete store.

    Raises:
        Refused: not a store, not finished, made by a newer version, or damaged.
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
        store = Store(path, Manifest.model_validate(plain), read_lines(path / CASES_FILE), hashes is not None)
        _check_hashes(store, plain, hashes)
        return store
    except Refused:
        raise
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise Refused(f"The store {path} is damaged ({str(error).splitlines()[0]}); prepare it again.") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a store whose cases are written, with the hashes that `open_store` looks at."""
    plain = manifest.model_dump(mode="json")
    hashes = {MANIFEST_FILE: hash_json(plain), CASES_FILE: compute_sha256(folder / CASES_FILE)}
    write_json(folder / MANIFEST_FILE, {**plain, HASHES: hashes})


def compute_fingerprint(shape: Shape, modality: str, cases: list[dict[str, Any]], keyed: bool = True) -> str:
    """SHA-256 of all that training can see of a store: its shape, and of each case pixels, patient, split, facts.

    Args:
        keyed: count the patients in the order of their first case, so that the fingerprint depends on no key; version
            0.1.0, whose pseudonyms had none, took the pseudonyms themselves.
    """
    numbers: dict[str, int] = {}
    patients = [numbers.setdefault(case["patient"], len(numbers)) if keyed else case["patient"] for case in cases]
    visible = [
        (case["pixels"], patient, case["split"], case["facts"]) for case, patient in zip(cases, patients, strict=True)
    ]
    return hashlib.sha256(json.dumps([list(shape), modality, visible], sort_keys=True).encode()).hexdigest()


def _check_hashes(store: Store, manifest: dict[str, Any], hashes: dict[str, str] | None) -> None:
    """Every fact of a store is what was written.

    The fingerprint, which stores had from the first version on, covers pixels, patients, splits and facts of the cases;
    the two hashes cover the rest.

    Raises:
        Refused: something has changed.
    """
    about, changed = store.manifest, None
    if compute_fingerprint(about.shape, about.modality, store.cases, keyed=hashes is not None) != about.fingerprint:
        changed = CASES_FILE
    elif hashes is not None and hashes[MANIFEST_FILE] != hash_json(manifest):
        changed = MANIFEST_FILE
    elif hashes is not None and hashes[CASES_FILE] != compute_sha256(store.path / CASES_FILE):
        changed = CASES_FILE
    if changed is not None:
        raise Refused(
            f"The store {store.path} is damaged: {changed} has changed since it was written (its hash differs);"
            " restore it, or prepare the store again into another folder."
        )
