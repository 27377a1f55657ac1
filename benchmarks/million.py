"""A store of a million cases: opened, filtered, trained from and grown; and many small files prepared.

    python benchmarks/million.py OUT [--rows 1000000] [--new 10000] [--files 10000] [--workers 2] [--skip-anew]

Three measurements, each step in a process of its own, with seconds and peak memory beyond the imports:

1. A store of ROWS synthesised cases (images of 20 x 16 that are all the same) is opened, filtered and asked for the
   first batch of a training, in the form of columns and in that of version 0.1.0, one line of JSON per case; the code
   of that version is repeated here.
2. NEW files are added to the raw folder of that store, which has as many names as the store has cases (hard links to
   a few pictures), and `prepare` is given again.
3. FILES real pictures are prepared; one in a hundred is added; `prepare` is given again, and, as before stores could
   grow, for the whole folder into another store.

The last line is JSON.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from _resident import resident
from PIL import Image as Pillow

from ganatomy.data import store as storing
from ganatomy.data.balance import PassedOver, make_balance, write_balance
from ganatomy.data.cases import Cases, compute_fingerprint, encode_rows
from ganatomy.data.columns import CHUNK, Columns, Table, encode_hashes, encode_texts, join_tables
from ganatomy.data.feed import Feed
from ganatomy.data.keys import load_key
from ganatomy.data.level_cache import LevelCache
from ganatomy.data.plan import ASIDE_FILE, hash_folder, list_parts, look_through, make_plan
from ganatomy.data.prepare import prepare
from ganatomy.data.prepared import mark_candidate, write_prepared
from ganatomy.data.store import Manifest, open_store
from ganatomy.machine import progress
from ganatomy.machine.durable import read_json, read_lines, write_json, write_lines
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.pyramid import format_shape
from ganatomy.steps.condition import ConditionSpace
from ganatomy.steps.scope import Region

SHAPE = (20, 16)
CONSTANTS = {"view_position": "CC", "laterality": "L", "chest_wall": "left"}
KIND = Mammogram(facts=FactSource(constants=CONSTANTS), shape=SHAPE)
FOLDER_FILES = 1000
BATCH = 16
MOST_LINKS = 30_000  # of one file; ext4 allows 65,000


def draw(path: Path, number: int) -> None:
    """A picture of 40 x 32 that no other number has: a half disc at the left edge, with the number's bits in it."""
    y, x = np.indices((40, 32)) / 40
    pixels = np.where((y - 0.5) ** 2 + x**2 < 0.2, 80 + 100 * y, 0)
    bits = np.array([(number >> i) & 1 for i in range(24)]).reshape(4, 6)
    pixels[12:28, 0:6] += 40 * np.repeat(bits, 4, axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(pixels.astype(np.uint8)).save(path)


def name_file(number: int) -> str:
    return f"{number // FOLDER_FILES:06d}/{number % FOLDER_FILES:03d}.png"


def make_rows(count: int) -> Iterator[dict[str, Any]]:
    """Rows as `prepare` makes them, of one patient for every four images."""
    generator = np.random.default_rng(0)
    for number in range(count):
        patient = number // 4
        split = ("validation", "test", *["train"] * 8)[patient % 10]
        yield {
            "row": number,
            "file": name_file(number),
            "person": f"{patient:016x}",
            "issuer": "",
            "told_by": "file",
            "synthetic": False,
            "facts": {"view_position": ("CC", "MLO")[number % 2], "laterality": ("L", "R")[number // 2 % 2]},
            "spacing": [12.8, 12.8],
            "geometry": {"shape": [40, 32], "placed": [20, 16], "factor": 2.0},
            "pixels": generator.bytes(16).hex(),
            "quantiles": generator.random(3).round(4).tolist(),
            "patient": f"{patient:016x}",
            "split": split,
        }


def make_store(out: Path, raw: Path, count: int) -> None:
    """Synthesise a store of both forms, and a raw folder that it could have been made from."""
    shutil.rmtree(out, ignore_errors=True)
    for number in range(count):
        path = raw / name_file(number)
        if number % MOST_LINKS == 0:
            draw(path, 0)
        else:
            path.parent.mkdir(exist_ok=True)
            os.link(raw / name_file(number - number % MOST_LINKS), path)
    (out / "new" / "parts").mkdir(parents=True)
    (out / "old").mkdir()
    tables: list[Table] = []
    rows = make_rows(count)
    while chunk := [row for _, row in zip(range(CHUNK), rows, strict=False)]:
        tables.append(encode_rows(chunk))
    table = join_tables(tables)
    tables.clear()
    part = 64
    size = -(-count // part) * part
    levels = storing.list_stored_levels(SHAPE)
    for level in levels:
        storing.create_array(out / "new", level, size, part)
        folder = out / "new" / "arrays" / format_shape(level) / "c"
        zarr.open_array(folder.parent, mode="r+")[:part] = np.full((part, *level), 1000, np.uint16)
        first = (folder / "0" / "0" / "0").read_bytes()
        for shard in range(1, size // part):
            (folder / str(shard) / "0").mkdir(parents=True)
            (folder / str(shard) / "0" / "0").write_bytes(first)
    sources = {name: table.pop(name) for name in list(table) if name.split(".")[0] in ("person", "issuer", "told_by")}
    cases = Cases(Columns(table))
    facts = {name: cases.count_values(name) for name in cases.fact_names}
    about = {
        "modality": KIND.name,
        "shape": SHAPE,
        "levels": levels,
        "conditions": {name: tuple(values) for name, values in facts.items()},
        "options": dict(KIND.options),
        "files": count,
        "cases": count,
        "patients": len(np.unique(cases.number_patients())),
        "splits": {name: len(cases.find_split(name)) for name in ("train", "validation", "test")},
        "facts": facts,
        "quarantined": {},
        "spacing": (12.8, 12.8),
        "intensity_quantiles": {},
        "fingerprint": compute_fingerprint(SHAPE, KIND.name, cases),
        "made_with": "benchmarks/million.py",
    }
    storing.write_store(out / "new", Manifest(**about, rows=size), table)
    drop = ("person", "issuer", "told_by")
    write_lines(
        out / "old" / storing.LINES_FILE,
        ({name: value for name, value in row.items() if name not in drop} for row in make_rows(count)),
    )
    storing.write_manifest(out / "old", Manifest(**about, format=1))
    (out / "old" / "arrays").symlink_to((out / "new" / "arrays").resolve())
    _prepare_growth(out / "new", raw, sources, part)


def _prepare_growth(out: Path, raw: Path, sources: Table, part: int) -> None:
    """What `prepare` would have kept for the next time."""
    key, found = load_key(), look_through(raw, KIND, out)
    plan = make_plan(found.candidates, KIND, key) | hash_folder(found, KIND, key) | {"part": part}
    marks = [mark_candidate(one, raw, key) for one in found.candidates]
    count = len(marks)
    candidates = encode_texts("name", [one.name for one in found.candidates])
    candidates |= {"count": np.ones(count, dtype=np.int32), "case": np.arange(count)}
    for name in ("files", "dates", "facts"):
        candidates |= encode_hashes(name, [getattr(one, name) for one in marks])
    candidates |= encode_hashes("content", ["0" * 32] * count)
    write_prepared(out / "prepared.safetensors", candidates, sources)
    write_json(out / ASIDE_FILE, found.aside.to_json())
    write_balance(out, make_balance(count, count, [], PassedOver(paths=count), {}), [], PassedOver(paths=count))
    write_json(out / storing.PLAN_FILE, plan)
    assert list_parts(plan).stop * part == -(-count // part) * part


# ----------------------------------------------------------------------------------------------------------------------
# What is measured. The old form does what version 0.1.0 did.


def open_old(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    manifest, cases = read_json(path / "manifest.json"), read_lines(path / "cases.jsonl")
    numbers: dict[str, int] = {}
    visible = [
        (one["pixels"], numbers.setdefault(one["patient"], len(numbers)), one["split"], one["facts"]) for one in cases
    ]
    text = json.dumps([list(SHAPE), manifest["modality"], visible], sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest() == manifest["fingerprint"]
    return manifest, cases


def filter_old(path: Path) -> int:
    _, cases = open_old(path)
    train = [case for case in cases if case["split"] == "train"]
    return len([case for case in train if case["facts"]["view_position"] == "MLO"])


def filter_new(path: Path) -> int:
    train = open_store(path).split("train")
    kinds, different = train.group_facts()
    return int(np.isin(kinds, [i for i, facts in enumerate(different) if facts["view_position"] == "MLO"]).sum())


def _get_space(facts: dict[str, Any]) -> ConditionSpace:
    return ConditionSpace({name: tuple(values) for name, values in facts.items()})


def read_batch_old(path: Path) -> float:
    manifest, cases = open_old(path)
    train = [case for case in cases if case["split"] == "train"]
    _get_space(manifest["facts"]).encode([case["facts"] for case in train])
    store = storing.Store(path, Manifest.model_validate({k: v for k, v in manifest.items() if k != "sha256"}), [])  # type: ignore[arg-type]
    cache = LevelCache(store, [case["row"] for case in train], 0)
    out = np.empty(SHAPE, dtype=np.uint16)
    order = np.random.default_rng(0).permutation(len(train))
    for place in order[:BATCH].tolist():
        cache.read_into(out, place, SHAPE)
    return float(out.mean())


def read_batch_new(path: Path) -> float:
    store = open_store(path)
    feed = Feed(store, "train", _get_space(store.manifest.facts), 0, torch.device("cpu"), cache_bytes=0)
    images, _ = feed.read_batch(range(BATCH), (Region(SHAPE),))
    return float(images[0].mean())


def read_row_new(path: Path) -> str:
    return str(open_store(path).cases[123_456 % len(open_store(path).cases)]["patient"])


def run_prepare(raw: Path, out: Path, workers: int) -> int:
    return prepare(raw, KIND, out, workers=workers).manifest.cases


def _measure_here(work: Callable[[], Any], pipe: Any) -> None:
    progress.quiet = True
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
    before = resident("VmRSS")
    begin = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - begin
    pipe.send({"seconds": round(seconds, 2), "MiB": round(resident("VmHWM") - before), "result": result})


def measure(name: str, work: Callable[[], Any]) -> dict[str, Any]:
    """Do some work in a fresh process; tell its seconds and its peak memory beyond the imports."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_measure_here, args=(work, there))
    process.start()
    there.close()
    told: dict[str, Any] = here.recv()
    process.join()
    print(f"{name:44s} {told['seconds']:8.2f} s {told['MiB']:6d} MiB   {told['result']}", flush=True)
    return told


def measure_rows(out: Path, rows: int, new: int, workers: int) -> dict[str, Any]:
    store, raw = out / "stores", out / "raw_of_rows"
    if not (store / "new" / storing.PLAN_FILE).exists():
        begin = time.perf_counter()
        shutil.rmtree(raw, ignore_errors=True)
        make_store(store, raw, rows)
        print(f"both stores of {rows} cases made in {time.perf_counter() - begin:.0f} s", flush=True)
    done: dict[str, Any] = {}
    for form in ("old", "new"):
        path = store / form
        works: dict[str, Callable[[], Any]] = {
            "open": partial(_open, form, path),
            "open, filter": partial(filter_old if form == "old" else filter_new, path),
            "open, first batch": partial(read_batch_old if form == "old" else read_batch_new, path),
        }
        if form == "new":
            works["open, one row"] = partial(read_row_new, path)
        for name, work in works.items():
            done[f"{form}: {name}"] = measure(f"{form}: {name}", work)
    for name in ("cases.safetensors", "prepared.safetensors"):
        print(f"{name}: {(store / 'new' / name).stat().st_size / 1e6:.0f} MB")
    print(f"cases.jsonl: {(store / 'old' / 'cases.jsonl').stat().st_size / 1e6:.0f} MB")
    done["prepare again, nothing new"] = measure(
        "prepare again, nothing new", partial(run_prepare, raw, store / "new", workers)
    )
    for number in range(new):
        draw(raw / f"new/{name_file(number)}", number + 1)
    name = f"prepare again with {new} new files"
    done[name] = measure(name, partial(run_prepare, raw, store / "new", workers))
    return done


def _open(form: str, path: Path) -> int:
    return len(open_old(path)[1]) if form == "old" else len(open_store(path).cases)


def measure_files(out: Path, files: int, workers: int, anew: bool) -> dict[str, Any]:
    raw, done = out / "raw_of_files", {}
    shutil.rmtree(raw, ignore_errors=True)
    for number in range(files):
        draw(raw / name_file(number), number + 1)
    few = files // 100
    for name, added, store in (
        (f"prepare {files} files", 0, "store"),
        (f"prepare again with {few} new files", few, "store"),
        (f"prepare all {files + few} files anew", 0, "anew"),
    ):
        if store == "anew" and not anew:
            continue
        for number in range(files, files + added):
            draw(raw / name_file(number), number + 1)
        done[name] = measure(name, partial(run_prepare, raw, out / store, workers))
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--new", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--skip-anew", action="store_true", help="do not prepare the whole folder a second time")
    given = parser.parse_args()
    os.environ["GANATOMY_PSEUDONYM_KEY"] = str(given.out / "pseudonyms.key")
    given.out.mkdir(parents=True, exist_ok=True)
    done = {}
    if given.files:
        for store in ("store", "anew"):
            shutil.rmtree(given.out / store, ignore_errors=True)
        done |= measure_files(given.out, given.files, given.workers, not given.skip_anew)
    if given.rows:
        done |= measure_rows(given.out, given.rows, given.new, given.workers)
    print(json.dumps(done))


if __name__ == "__main__":
    main()
