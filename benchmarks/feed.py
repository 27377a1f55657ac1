"""Reading a level from the store against the training step that it feeds.

    python benchmarks/feed.py [--quick]

For each level from 40 x 32 up: seconds a batch from `Feed.batch`, once with the level in memory (as it is where it
fits) and once from the files on disk, and seconds of a step of `pggan-mammogram` at that level and batch size. The last
line is JSON; `ratio` is the smallest step over read, from disk; `share` the largest read over step, in training.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch

from ganatomy import progress
from ganatomy.data import feed as feeding
from ganatomy.data.feed import Feed
from ganatomy.data.prepare import prepare
from ganatomy.phantoms.cohort import cohort
from ganatomy.recipe import changed
from ganatomy.recipes import RECIPES
from ganatomy.scope import Region
from ganatomy.training import loop
from ganatomy.training.state import State

BATCH = 4


def seconds(make, runs):
    times = []
    for i in range(runs + 1):
        start = time.perf_counter()
        make(i)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    progress.quiet = True
    torch.set_num_threads(2)
    cpu, rows = torch.device("cpu"), []
    shapes = [(40, 32), (80, 64), (160, 128)] + ([] if quick else [(320, 256), (640, 512)])
    with tempfile.TemporaryDirectory() as name:
        cohort("mammogram", Path(name) / "raw", 24)
        store = prepare(Path(name) / "raw", "mammogram", Path(name) / "store")
        for shape in shapes:
            recipe = RECIPES["pggan-mammogram"]().resized(shape)
            recipe = changed(recipe, {"strategy.first_level": 99, "strategy.batch_sizes": [BATCH]})

            def feed(recipe=recipe):
                return Feed(store, "train", recipe.conditions, 0, cpu, torch.channels_last)

            kept = feed()
            memory = seconds(
                lambda i, kept=kept, shape=shape: kept.batch(range(i * BATCH, (i + 1) * BATCH), (Region(shape),)), 20
            )
            limit, feeding.KEPT = feeding.KEPT, 0
            files = feed()
            disk = seconds(
                lambda i, files=files, shape=shape: files.batch(range(i * BATCH, (i + 1) * BATCH), (Region(shape),)), 20
            )
            feeding.KEPT = limit
            steps = loop.train(State(recipe, 0, cpu), feed(), 0, lambda state: True)
            step = seconds(lambda i, steps=steps: next(steps), 1 if quick else 3)
            rows.append({
                "shape": "x".join(map(str, shape)), "batch": BATCH, "step_ms": round(step * 1000, 1),
                "memory_ms": round(memory * 1000, 2), "disk_ms": round(disk * 1000, 2),
                "share": round(memory / step, 4), "share_disk": round(disk / step, 4),
            })  # fmt: skip
            print(json.dumps(rows[-1]), flush=True)
    print(json.dumps({
        "name": "feed", "ratio": round(min(r["step_ms"] / r["disk_ms"] for r in rows), 1),
        "opponent": "the training step",
        "share": max(r["share"] for r in rows), "share_disk": max(r["share_disk"] for r in rows),
        "device": f"cpu, 2 threads, {platform.machine()}, torch {torch.__version__}", "runs": 20, "rows": rows,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
