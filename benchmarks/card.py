"""What only a machine with a GPU can tell, in one run of under ten minutes: a Markdown table and a JSON line a row.

    python benchmarks/card.py [--device cuda] [--tiny] [--minutes 9.5] [--json card.jsonl]

Every row is a process of its own: a crash or a full memory is a row, not the end (`_card_rows.py`). Rows are recipes by
precision, layout, up-sampling, cuDNN's search and compilation; with the feed on; first losses beside those of the
processor in float32 at a small size; a resumed training under --deterministic; and one and two processes where there
are two cards. After the table come the targets with pass or fail, and what to change (`_card_verdict.py`). Rows stand
in the order of their importance; what the time does not suffice for is left out and counted. `--tiny` tries the script
itself, on a processor as well (`--device cpu`).
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _card_verdict import advise, describe_way, format_table, format_targets, judge

RECIPES = {  # by name: shape and images a step
    "hagan": ("256,256,256", 4),
    "hagan-2022": ("256,256,256", 4),
    "pggan-mammogram": ("1280,1024", 4),
    "vae-gan": ("128,128,128", 4),
    "latent-diffusion": ("128,128,128", 4),
}
BASE = {"precision": "tf32"}  # the first way of all
WAYS = (  # of the first three recipes, besides; see training.computing for the words
    {"precision": "bfloat16"},
    {"precision": "float32"},
    {"precision": "tf32", "channels_last": True},
    {"precision": "tf32", "search_kernels": True},
    {"precision": "tf32", "upsampling": "fold"},
    {"precision": "tf32", "upsampling": "phases"},
    {"precision": "tf32", "upsampling": "plain"},
    {"precision": "bfloat16", "channels_last": True, "search_kernels": True},
    {"precision": "tf32", "compiled": True},
    {"precision": "tf32", "deterministic": True},
)
FED = ("hagan", "hagan-2022", "pggan-mammogram")
SECONDS_A_ROW = 90
TINY_SIDE, STORED = 32, 8  # voxels of the volumes of --tiny; volumes and mammograms of a store


def plan_rows(device, tiny, cards):
    """All rows, the most important first."""

    def row(kind, recipe, way, small=tiny, place=device):
        shape, batch = RECIPES[recipe]
        ndim = shape.count(",") + 1
        return {"kind": kind, "recipe": recipe, "shape": shape, "batch": batch, "way": way, "tiny": small,
                "device": place, "stored": ndim}  # fmt: skip

    base = BASE if device != "cpu" else {"precision": "float32"}
    auto = base | {"upsampling": "auto"}
    ways = [way for way in WAYS if device != "cpu" or (way["precision"] != "tf32" and way != base)]
    rows = [row("step", name, {"precision": "float32"}, True, "cpu") for name in RECIPES]
    if device != "cpu":
        rows += [row("step", n, {"precision": p}, True) for n in RECIPES for p in ("float32", "tf32", "bfloat16")]
    rows += [row("step", name, base) for name in RECIPES]
    for name in FED:
        rows += [row("step", name, auto), row("feed", name, auto | {"feed": True})]
    rows += [row("resume", name, {}) for name in ("hagan", "pggan-mammogram")]
    if cards > 1 or device == "cpu":
        rows += [row("processes", "hagan", {"processes": n}) for n in (1, 2)]
    rows += [row("step", name, way) for way in ways for name in FED]
    rows += [row("step", name, {"precision": "bfloat16"}) for name in RECIPES if name not in FED]
    unique = {json.dumps(one, sort_keys=True): one for one in rows}
    return list(unique.values())


def prepare_stores(folder, tiny):
    """Phantoms, by the number of axes: volumes as large as the rows need them, and mammograms."""
    from ganatomy.data.prepare import prepare
    from ganatomy.machine import progress
    from ganatomy.modalities.chest_ct import ChestCT
    from ganatomy.phantoms.cohort import write_cohort

    progress.quiet = True
    shape = (TINY_SIDE,) * 3 if tiny else (256, 256, 256)
    write_cohort("chest_ct", folder / "volumes", STORED, shape=shape)
    prepare(folder / "volumes", ChestCT(shape=shape), folder / "store3")
    write_cohort("mammogram", folder / "mammograms", STORED, shape=(160, 128) if tiny else None)
    from ganatomy.modalities.mammogram import Mammogram

    prepare(folder / "mammograms", Mammogram(shape=(160, 128)) if tiny else "mammogram", folder / "store2")
    return {"2": str(folder / "store2"), "3": str(folder / "store3")}


def run_row(row, stores, seconds):
    """A row in a process of its own; what stopped it is its error."""
    words = [sys.executable, __file__, "--child", json.dumps([row, stores])]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=max(seconds, 1), check=False)
    except subprocess.TimeoutExpired:
        return row | {"error": f"more than {seconds:.0f} s"}
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return row | {"error": said[-1][:200]}
    return row | json.loads(done.stdout.splitlines()[-1])


def run_rows(rows, stores, options):
    """As many as the time allows, each printed as it comes; and how many were left out."""
    begin, done = options.begin, []
    for row in rows:
        left = 60 * options.minutes - (time.monotonic() - begin)
        if left < 1:
            break
        one = run_row(row, stores, min(SECONDS_A_ROW, left))
        if left < SECONDS_A_ROW and one.get("error", "").startswith("more than"):
            break  # it was not the row that was slow
        done.append(one)
        print(json.dumps(one), file=sys.stderr, flush=True)
        if options.json:
            options.json.write_text("".join(json.dumps(each) + "\n" for each in done))
    return done, len(rows) - len(done)


def count_cards(device):
    """In a process of its own, so that this one holds no memory on a card."""
    if device == "cpu":
        return 0
    words = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--minutes", type=float, default=9.5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child")
    options = parser.parse_args()
    if options.child:
        from _card_rows import measure_row

        row, stores = json.loads(options.child)
        return print(json.dumps(measure_row(row, row["device"], stores)))
    options.begin = time.monotonic()
    rows = plan_rows(options.device, options.tiny, count_cards(options.device))
    with tempfile.TemporaryDirectory() as folder:
        done, left_out = run_rows(rows, prepare_stores(Path(folder), options.tiny), options)
    print(f"{platform.machine()}, {options.device}\n\n{format_table(done)}\n\n{format_targets(judge(done))}\n")
    base = BASE if options.device != "cpu" else {"precision": "float32"}
    told = [f"{target} is not met: {found}" for target, found, passed in judge(done) if passed is False]
    told += advise(done, base)
    told += [f"{left_out} rows were left out, the first {describe_way(rows[-left_out])}: the time was over"] * (
        left_out > 0
    )
    print("What to change:\n" + ("\n".join(f"- {sentence}" for sentence in told) or "- nothing"))


if __name__ == "__main__":
    main()
