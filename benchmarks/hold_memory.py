"""Measure the gain of a training step on a CPU when freed memory is kept within the process.

    python benchmarks/hold_memory.py [--quick] [--size 64]

Steps of three recipes run in child processes, in turn with memory returned to the system, which is glibc's default,
and with memory held (`machine.device.keep_freed_memory`). The script reports medians of the steps, system time and the
peak of resident memory. The last line is JSON; its ratio is the median time with memory returned divided by the median
time with memory held, for the recipe that gains least.
"""

import argparse
import itertools
import json
import platform
import resource
import statistics
import subprocess
import sys
import time

import torch

RECIPES = ("hagan", "vae-gan", "latent-diffusion")


def child(name, size, steps, hold):
    """Measure the seconds of each step after the first; runs in a child process."""
    from ganatomy.benchmark.measure import NoiseFeed
    from ganatomy.recipes import get_recipe
    from ganatomy.training import loop
    from ganatomy.training.computing import get_default_settings
    from ganatomy.training.state import State

    device = torch.device("cpu")
    recipe = get_recipe(name).resize((size,) * 3)
    computing = get_default_settings(3, device).replace(hold_memory=hold)
    state = State(recipe, 0, device)
    computing.apply_to(state.networks, 3)
    moments = [time.perf_counter()]
    training = loop.run_steps(state, NoiseFeed(recipe, device), 0, lambda state: len(moments) <= steps + 1, computing)
    moments.extend(time.perf_counter() for _ in training)
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = [b - a for a, b in itertools.pairwise(moments[1:])]
    print(json.dumps({"seconds": seconds, "system": used.ru_stime, "peak_mib": used.ru_maxrss / 1024}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--child", nargs=2)
    options = parser.parse_args()
    size, steps, rounds = (32, 4, 1) if options.quick else (options.size, 6, 2)
    if options.child:
        return child(options.child[0], size, steps, options.child[1] == "held")
    rows = []
    for name in RECIPES:
        found = {"given back": [], "held": []}
        for _ in range(rounds):
            for how, kept in found.items():
                more = ["--quick"] if options.quick else ["--size", str(options.size)]
                command = [sys.executable, __file__, *more, "--child", name, how]
                kept.append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
        row = {"recipe": name}
        for how, kept in found.items():
            row[how] = {
                "seconds": round(statistics.median(s for one in kept for s in one["seconds"]), 4),
                "system_seconds": round(statistics.median(one["system"] for one in kept), 1),
                "peak_mib": round(statistics.median(one["peak_mib"] for one in kept)),
            }
        row["ratio"] = round(row["given back"]["seconds"] / row["held"]["seconds"], 3)
        rows.append(row)
        print(json.dumps(row), flush=True)
    print(
        json.dumps(
            {
                "name": "hold_memory",
                "ratio": min(row["ratio"] for row in rows),
                "opponent": "glibc as it is",
                "device": f"cpu, {torch.get_num_threads()} threads, {platform.machine()}",
                "runs": rounds,
                "size": size,
                "rows": rows,
            }
        )
    )
    return None


if __name__ == "__main__":
    main()
