"""Measure seconds per step and peak memory of every option of a run, relative to the default.

    python benchmarks/options.py [--quick] [--threads 2] [--device cuda] [--recipe hagan] [--shape 128,128,128]

Each measurement is made in a separate process, with the options in turn; medians exclude the first step. On a CPU the
peak is the resident set less that after the imports, on a GPU the largest allocation of torch. The default is float32
without micro-batches. The last line is JSON; `ratio` is the time of the default divided by that of bfloat16.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time

import torch
import torch._dynamo
from _resident import resident

from ganatomy.benchmark.measure import NoiseFeed
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.training import loop
from ganatomy.training.computing import ComputeSettings
from ganatomy.training.state import State

OPTIONS = {
    "default": {},
    "--micro-batches 2": {"micro_batches": 2},
    "--micro-batches 4": {"micro_batches": 4},
    "--recompute": {"recompute": True},
    "--compile": {"compiled": True},
    "--channels-last": {"channels_last": True},
    "--precision bfloat16": {"precision": "bfloat16"},
    "--precision float16": {"precision": "float16"},
    "--hold-memory False": {"hold_memory": False},
}


def child(options):
    device = torch.device(options.device)
    recipe = get_recipe(options.recipe).resize(tuple(int(n) for n in options.shape.split(",")))
    if "batch_sizes" in type(recipe.strategy).model_fields:
        recipe = change_recipe(recipe, {"strategy.batch_sizes": [8], "strategy.first_level": 99})
    how = ComputeSettings(**{"hold_memory": device.type == "cpu", **OPTIONS[options.child]})
    before = resident("VmRSS")
    ndim = len(recipe.shape)
    state = State(recipe, 0, device, layout=how.get_layout(ndim), scale_losses=how.precision == "float16")
    how.apply_to(state.networks, ndim)
    times, start = [], time.perf_counter()
    for _ in loop.run_steps(state, NoiseFeed(recipe, device), 0, lambda s: s.steps < options.steps + 1, how):
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
    peak = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else resident("VmHWM") - before
    print(json.dumps([statistics.median(times[1:]), peak]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--recipe", default="hagan")
    parser.add_argument("--shape", default="128,128,128")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--child")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.child:
        return child(options)
    runs = 1 if options.quick else 2
    slow = {"--precision float16"} if options.device == "cpu" else set()  # takes minutes per step where it is emulated
    found = {name: [] for name in OPTIONS if name not in slow}
    for _ in range(runs):
        for name in found:
            words = [sys.executable, __file__, f"--child={name}"]
            words += [f"--{n}={getattr(options, n)}" for n in ("threads", "device", "recipe", "shape", "steps")]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    middle = {name: [statistics.median(column) for column in zip(*all_, strict=True)] for name, all_ in found.items()}
    seconds, peak = middle["default"]
    rows = []
    for name, (one, memory) in middle.items():
        rows.append(
            {
                "option": name,
                "s": round(one, 3),
                "speed": round(seconds / one, 2),
                "peak_mib": round(memory),
                "memory": round(memory / peak, 2),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    device = f"{options.device}, {options.threads} threads, {platform.machine()}, torch {torch.__version__}"
    half = next(row for row in rows if row["option"] == "--precision bfloat16")
    print(
        json.dumps(
            {
                "name": "options",
                "ratio": half["speed"],
                "opponent": "float32 in one piece",
                "device": device,
                "recipe": options.recipe,
                "shape": options.shape,
                "runs": runs,
                "rows": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
