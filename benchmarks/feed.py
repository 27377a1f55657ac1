"""Compare the time to read a batch from the store with the time of the fastest training steps that use it.

    python benchmarks/feed.py [--quick]

For each recipe and shape the script measures seconds per batch with the level in memory (the default if it fits), from
files in the system's cache, and from files that were just dropped from the cache (``posix_fadvise``), which corresponds
to a store larger than memory; and seconds of a step of the recipe with the default options. In training the next
batches are read while a step runs (`training.prefetch`), so a read that is faster than the step costs no time. The last
line is JSON; `ratio` is the smallest ratio of step to read of all rows, with dropped files.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch

from ganatomy.data import feed as feeding
from ganatomy.data.feed import Feed
from ganatomy.data.prepare import prepare
from ganatomy.machine import progress
from ganatomy.modalities.chest_ct import ChestCT
from ganatomy.phantoms.cohort import write_cohort
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.training import loop
from ganatomy.training.computing import get_default_settings
from ganatomy.training.state import State

BATCH = 4
CPU = torch.device("cpu")
ROWS = [
    ("gan-mammogram", (40, 32)),
    ("gan-mammogram", (160, 128)),
    ("pggan-mammogram", (320, 256)),
    ("autoregressive", (64, 64, 64)),
    ("latent-diffusion", (64, 64, 64)),
    ("vae", (64, 64, 64)),
    ("hagan", (64, 64, 64)),
    ("hagan", (128, 128, 128)),
]


def seconds(make, runs, before=lambda: None):
    times = []
    for i in range(runs + 1):
        before()
        start = time.perf_counter()
        make(i)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def dropped(folder):
    """Drop files from the system's cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def row(name, shape, store, quick):
    recipe = get_recipe(name).resize(shape)
    if "batch_sizes" in type(recipe.strategy).model_fields:
        recipe = change_recipe(recipe, {"strategy.first_level": 99, "strategy.batch_sizes": [BATCH]})
    how = get_default_settings(len(shape), CPU)
    asked = [request for request, _ in zip(loop.list_requests(recipe, 0, 0, how), range(21), strict=False)]

    def feed():
        return Feed(store, "train", recipe.condition_space, 0, CPU, how.get_layout(len(shape)))

    kept = feed()
    memory = seconds(lambda i: kept.read_batch(*asked[i]), 20)
    limit, feeding.MAX_CACHED_BYTES = feeding.MAX_CACHED_BYTES, 0
    files = feed()
    disk = seconds(lambda i: files.read_batch(*asked[i]), 20)
    cold = seconds(lambda i: files.read_batch(*asked[i]), 5 if quick else 20, lambda: dropped(store.path / "arrays"))
    feeding.MAX_CACHED_BYTES = limit
    state = State(recipe, 0, CPU, layout=how.get_layout(len(shape)))
    how.apply_to(state.networks, len(shape))
    steps = loop.run_steps(state, feed(), 0, lambda state: True, how)
    step = seconds(lambda i: next(steps), 2 if quick else 4)
    return {
        "recipe": name,
        "shape": "x".join(map(str, shape)),
        "batch": BATCH,
        "step_ms": round(step * 1000, 1),
        "memory_ms": round(memory * 1000, 2),
        "disk_ms": round(disk * 1000, 2),
        "dropped_ms": round(cold * 1000, 2),
        "ratio": round(step / cold, 1),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    progress.quiet = True
    torch.set_num_threads(2)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_cohort("mammogram", folder / "mammograms", 12)
        stores = {2: prepare(folder / "mammograms", "mammogram", folder / "two")}
        write_cohort("chest_ct", folder / "thoraces", 12, shape=(128, 128, 128))
        stores[3] = prepare(folder / "thoraces", ChestCT(shape=(128, 128, 128)), folder / "three")
        for name, shape in [ROWS[0], ROWS[3]] if quick else ROWS:
            rows.append(row(name, shape, stores[len(shape)], quick))
            print(json.dumps(rows[-1]), flush=True)
    print(
        json.dumps(
            {
                "name": "feed",
                "ratio": min(r["ratio"] for r in rows),
                "opponent": "the training step",
                "device": f"cpu, 2 threads, {platform.machine()}, torch {torch.__version__}",
                "runs": 20,
                "rows": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
