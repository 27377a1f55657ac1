"""Measure on a GPU what cannot be measured without one, in under ten minutes; prints a Markdown table and JSON lines.

    python benchmarks/card.py [--device cuda] [--tiny] [--minutes 9.5] [--json card.jsonl]

Every row is measured in a separate process, so that a crash or an exhausted memory spoils only its own row. The rows
are recipes by precision, memory layout, cuDNN's search and compilation; `--deterministic` twice, whose losses must be
equal; and the first losses at a small size compared with those of the CPU in float32. The memory of the process on the
GPU is compared with the prediction of `ganatomy plan`. The last lines name every deviation from what is expected.
`--tiny` tests the script itself, also on a CPU (`--device cpu`).
"""

import argparse
import itertools
import json
import math
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

RECIPES = (  # name, shape, images per step
    ("hagan", "256,256,256", 4),
    ("hagan-2022", "256,256,256", 4),
    ("pggan-mammogram", "1280,1024", 4),
    ("vae-gan", "128,128,128", 4),
    ("latent-diffusion", "128,128,128", 4),
)
WAYS = (  # settings of a run; with search, cuDNN tries its algorithms for every new shape
    {"precision": "tf32"},
    {"precision": "tf32", "channels_last": True},
    {"precision": "tf32", "search": True},
    {"precision": "float32"},
    {"precision": "bfloat16"},
    {"precision": "bfloat16", "channels_last": True, "search": True},
    {"precision": "tf32", "compiled": True},
    {"precision": "tf32", "deterministic": True},
    {"precision": "tf32", "deterministic": True, "again": True},
)
LOSS_TOLERANCE = {"float32": 1e-3, "tf32": 2e-2, "bfloat16": 1e-1}  # relative difference of a first loss from the CPU's
PLAN_TOLERANCE = 0.15  # relative to the predicted memory
LEAST_SAVED = 0.75  # largest accepted ratio of bfloat16's peak to float32's
SECONDS_A_ROW, STEPS, WARM_UP = 90, 12, 2
MIB = 2**20


def _build(name, shape, batch, tiny):
    from ganatomy.recipes import get_recipe
    from ganatomy.recipes.changes import change_recipe
    from ganatomy.training.plan import change_batch_size

    recipe = get_recipe(name)
    if tiny:
        recipe = recipe.make_tiny()
    else:
        recipe = change_batch_size(recipe.resize(tuple(int(n) for n in shape.split(","))), batch)
    if "first_level" in type(recipe.strategy).model_fields:  # start at the full size
        recipe = change_recipe(recipe, {"strategy.first_level": 99})
    return recipe.replace(total_kimg=1e9)


def measure(name, shape, batch, way, device, tiny):
    """Measure one row: seconds per step, first losses, memory."""
    import torch

    from ganatomy.benchmark.measure import NoiseFeed
    from ganatomy.machine.device import select_device
    from ganatomy.training import loop
    from ganatomy.training.computing import ComputeSettings
    from ganatomy.training.memory_estimate import find_heaviest_stage
    from ganatomy.training.state import State

    place = select_device(device)
    card = place.type == "cuda"
    recipe = _build(name, shape, batch, tiny)
    ndim = len(recipe.shape)
    settings = ComputeSettings(**{key: value for key, value in way.items() if key not in ("search", "again")})
    settings.check(ndim, place)
    torch.backends.cudnn.benchmark = way.get("search", False)
    torch.manual_seed(0)
    losses, times = [], []
    with settings.flags(place):
        state = State(recipe, 0, place, layout=settings.get_layout(ndim), scale_losses=settings.precision == "float16")
        settings.apply_to(state.networks, ndim)
        steps = 4 if tiny else STEPS
        source = NoiseFeed(recipe, torch.device("cpu"))  # drawn on the CPU, so that all devices see the same images
        start = time.perf_counter()

        class Moved:
            def read_batch(self, numbers, regions):
                images, condition = source.read_batch(numbers, regions)
                layout = settings.get_layout(ndim)
                return tuple(image.to(place, memory_format=layout) for image in images), condition.to(place)

        for terms in loop.run_steps(state, Moved(), 0, lambda s: s.steps < steps, settings):
            losses.append({key: float(value) for key, value in terms.items()})
            times.append(time.perf_counter() - start)
            if sum(times) > SECONDS_A_ROW / 3 and len(times) > WARM_UP:
                break
            start = time.perf_counter()
    found = {"step_s": statistics.median(times[WARM_UP:] or times), "first_s": times[0], "losses": losses[0]}
    found["last_losses"] = losses[min(len(losses), 3) - 1]
    planned = find_heaviest_stage(recipe, settings.replace(hold_memory=False), place)[1].total
    found["planned_mib"] = planned / MIB
    if card:
        free, total = torch.cuda.mem_get_info(place)
        found |= {
            "allocated_mib": torch.cuda.max_memory_allocated(place) / MIB,
            "reserved_mib": torch.cuda.max_memory_reserved(place) / MIB,
            "on_card_mib": (total - free) / MIB,
        }
    return found


def run_row(recipe, way, device, tiny, seconds=SECONDS_A_ROW):
    """Measure a row in a separate process; if it stops early, the row holds the error."""
    words = [sys.executable, __file__, "--device", device, "--child", json.dumps([*recipe, way])]
    row = {"recipe": recipe[0], "shape": "tiny" if tiny else recipe[1], "batch": recipe[2], "device": device, **way}
    try:
        done = subprocess.run(
            words + ["--tiny"] * tiny, capture_output=True, text=True, timeout=max(seconds, 1), check=False
        )
    except subprocess.TimeoutExpired:
        return row | {"error": f"more than {seconds:.0f} s"}
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return row | {"error": said[-1][:200]}
    return row | json.loads(done.stdout.splitlines()[-1])


def judge(rows):
    """Name every deviation from what is expected in one sentence."""
    fine = [row for row in rows if "error" not in row]
    failed = [row for row in rows if "error" in row and "memory" not in row["error"]]
    told = [f"{row['recipe']} {_describe_way(row)} failed: {row['error']}" for row in failed]
    for row in fine:
        told += _judge_row(row)
    for a, b in itertools.combinations(fine, 2):
        if (a["recipe"], a["shape"]) == (b["recipe"], b["shape"]):
            told += _judge_pair(a, b)
    return told


def _judge_row(row):
    name = f"{row['recipe']} {_describe_way(row)}"
    if not all(math.isfinite(value) for value in row["losses"].values()):
        yield f"{name}: a loss is not finite"
    if "on_card_mib" in row and abs(row["planned_mib"] / row["on_card_mib"] - 1) > PLAN_TOLERANCE:
        yield f"{name}: planned {row['planned_mib']:.0f} MiB, on the card {row['on_card_mib']:.0f}"


def _judge_pair(a, b):
    """Name the deviations of two rows of one recipe and size, given in the order of their measurement."""
    if b.get("again") and a.get("deterministic") and a["last_losses"] != b["last_losses"]:
        yield f"{a['recipe']}: two deterministic trainings differ"
    ways = [_describe_way(row) for row in (a, b)]
    measured = ways == ["float32", "bfloat16"] and "allocated_mib" in a
    if measured and b["allocated_mib"] > LEAST_SAVED * a["allocated_mib"]:
        yield f"{a['recipe']}: bfloat16 saves too little memory"
    if a["device"] == "cpu" != b["device"]:
        for key, value in a["losses"].items():
            if abs(value - b["losses"][key]) > LOSS_TOLERANCE[b["precision"]] * max(1.0, abs(value)):
                yield f"{a['recipe']} {ways[1]}: {key} differs from the processor's"


def _describe_way(row):
    more = [key for key in ("channels_last", "search", "compiled", "deterministic", "again") if row.get(key)]
    return " ".join([row["precision"], *more])


def format_table(rows):
    """Format the rows as a Markdown table for docs/performance.md."""
    lines = [
        "| recipe | size | images | way | device | ms a step | first, s | allocated | on the card | planned, MiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["recipe"], row["shape"], row["batch"], _describe_way(row), row["device"]]
        if "error" in row:
            cells += [row["error"].replace("|", "/"), "", "", "", ""]
        else:
            memory = [f"{row[key]:.0f}" if key in row else "" for key in ("allocated_mib", "on_card_mib")]
            cells += [f"{1e3 * row['step_s']:.1f}", f"{row['first_s']:.1f}", *memory, f"{row['planned_mib']:.0f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--minutes", type=float, default=9.5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child")
    options = parser.parse_args()
    if options.child:
        *recipe, way = json.loads(options.child)
        return print(json.dumps(measure(*recipe, way, options.device, options.tiny)))
    begin = time.monotonic()
    plans = [(recipe, {"precision": "float32"}, "cpu", True) for recipe in RECIPES]
    if options.device.startswith("cuda"):
        small = [(r, {"precision": p}, options.device, True) for r in RECIPES for p in ("float32", "tf32", "bfloat16")]
        plans += small
        ways = WAYS
    else:
        ways = [way for way in WAYS if way["precision"] != "tf32" and not way.get("search")]
    plans += [(recipe, way, options.device, options.tiny) for way in ways for recipe in RECIPES]
    rows = []
    for plan in plans:
        left = 60 * options.minutes - (time.monotonic() - begin)
        if left < 1:
            break
        row = run_row(*plan, min(SECONDS_A_ROW, left))
        if left < SECONDS_A_ROW and row.get("error", "").startswith("more than"):
            continue  # the row was stopped by the time limit of the script, not by its own
        rows.append(row)
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
        if options.json:
            options.json.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(f"{platform.machine()}, {options.device}\n\n{format_table(rows)}\n")
    left_out = len(plans) - len(rows)
    told = judge(rows) + [f"{left_out} rows were left out: the time was over"] * (left_out > 0)
    print("\n".join(told) or "All is as it should be.")


if __name__ == "__main__":
    main()
