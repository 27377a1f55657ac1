"""Compare the prediction of `ganatomy plan` with the peak memory of `ganatomy train`, for every recipe at two sizes.

    python benchmarks/memory_plan.py [--quick] [--recipes hagan,wgan] [--threads 2] [--precision float32]

Each row is a training of a few steps on phantoms by the command line, in a separate process with the default options of
a CPU. Its peak is the largest resident set, including libraries, pictures and checkpoints. Batches have 4 images;
recipes with levels begin at the last one. The last line is JSON; `ratio` is the largest ratio of prediction and
measurement, in either direction.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import yaml

from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.training import memory_estimate
from ganatomy.training.plan import get_recipe_default_settings

CPU = torch.device("cpu")
SIZES = {2: ("40,32", "80,64"), 3: ("16,16,16", "32,32,32")}
WIDER = ("32,32,32", "64,64,64")  # for recipes for which 16 is too small or 64 is fast enough
LIGHT = ("hagan", "latent-diffusion", "autoregressive", "vae")
HEAVY = {"relativistic": ("8,8,8", "16,16,16")}  # larger sizes take minutes per step
QUICK = ("hagan", "vae", "gan-mammogram")
STEPS = 3
CHILD = "import resource, sys; from ganatomy.cli import main; code = main(sys.argv[1:]); "
CHILD += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"


def changes(recipe):
    """Options that make a training of a few steps, the last of them at the full size."""
    batch = 4
    updates = max(int(phase.updates(0)) for phase in recipe.build_phases())
    found = {"total_kimg": STEPS * batch * updates / 1000}
    fields = type(recipe.strategy).model_fields
    if "batch_sizes" in fields:
        found |= {"strategy.batch_sizes": [batch], "strategy.first_level": 99}
    if "autoencoder_kimg" in fields:
        found |= {"strategy.autoencoder_kimg": 2 * batch / 1000, "total_kimg": 4 * batch / 1000}
    return found


def ganatomy(words, threads):
    """Run a command; returns its peak memory in MiB."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, words)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.splitlines()[-1]) / 1024


def row(name, size, folder, options):
    recipe = get_recipe(name).resize(tuple(int(n) for n in size.split(",")))
    wishes = changes(recipe)
    recipe = change_recipe(recipe, wishes)
    how = get_recipe_default_settings(recipe, CPU)
    store, runs = folder / f"store{len(recipe.shape)}", folder / "runs"
    words = ["train", name, store, "--shape", size, "--out", runs, "--threads", options.threads, "--device", "cpu"]
    if options.precision:
        how = how.replace(precision=options.precision)
        words += ["--precision", options.precision]
    if recipe.pretrained_roles:
        before = get_recipe("hagan").resize(recipe.shape)
        shown = [w for key, value in changes(before).items() for w in ("--set", f"{key}={value}")]
        ganatomy(["train", "hagan", *words[2:], *shown], options.threads)
        words += ["--generator", max((folder / "runs").glob("*-hagan"))]
    for key, value in wishes.items():
        words += ["--set", f"{key}={yaml.safe_dump(value, default_flow_style=True).split(chr(10))[0]}"]
    peak = ganatomy(words, options.threads)
    shutil.rmtree(folder / "runs")
    mine = memory_estimate.find_heaviest_stage(recipe, how, CPU)[1].total / 2**20
    return {
        "recipe": name,
        "size": size.replace(",", "x"),
        "precision": how.precision,
        "predicted_mib": round(mine),
        "measured_mib": round(peak),
        "error": round(mine / peak - 1, 3),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--recipes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["float32", "bfloat16", "float16"])
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    names = options.recipes.split(",") if options.recipes else QUICK if options.quick else RECIPES
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for kind, shape, ndim in (("mammogram", "80,64", 2), ("chest_ct", "64,64,64", 3)):
            size = ["--shape", "320,256" if ndim == 2 else shape]
            ganatomy(["phantom", kind, "--out", folder / kind, "--patients", 8, *size, "--quiet"], 1)
            ganatomy(
                [
                    "prepare",
                    folder / kind,
                    "--modality",
                    kind,
                    "--shape",
                    shape,
                    "--out",
                    folder / f"store{ndim}",
                    "--quiet",
                ],
                1,
            )
        for name in names:
            light = any(name.startswith(part) for part in LIGHT)
            sizes = HEAVY.get(name) or (WIDER if light else SIZES[len(get_recipe(name).shape)])
            for size in sizes[:1] if options.quick else sizes:
                rows.append(row(name, size, folder, options))
                print(json.dumps(rows[-1]), flush=True)
    worst = max(max(1 + r["error"], 1 / (1 + r["error"])) for r in rows)
    device = f"cpu, {options.threads} threads, {platform.machine()}, torch {torch.__version__}"
    print(
        json.dumps(
            {
                "name": "memory_plan",
                "ratio": round(worst, 3),
                "opponent": "the measured peak",
                "device": device,
                "runs": 1,
                "rows": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
