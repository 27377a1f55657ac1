"""Memory and speed of HA-GAN by resolution, beside the paper's table (Sun 2022: 2573, 2665, 3167, 5961 MB).

    python benchmarks/memory_hagan.py [--quick] [--threads 2] [--batch 4] [--device cuda] [--sizes 32,64,128,256]

A separate process for each size and recipe trains a few steps and reports its peak memory and its speed: on a GPU the
memory allocated on the device, on a CPU the resident set less that after the imports. The paper does not state its
batch size or GPU, so only the dependence on resolution can be compared. The last line is JSON; its ratio is the growth
of the paper's peak from the smallest to the largest size divided by that of `hagan`.
"""

import argparse
import json
import platform
import subprocess
import sys
import time

import torch
from step_hagan import Ours, peak, volumes

from ganatomy.recipes import get_recipe
from ganatomy.training.plan import count_parameters, estimate_memory

PAPER_MB = {32: 2573, 64: 2665, 128: 3167, 256: 5961}


def child(options):
    side, size = json.loads(options.child)
    options.size = size
    device = torch.device(options.device)
    mib = peak(side, options, device)
    ours = Ours(*side, size, options.batch, device)
    times = []
    for i in range(3):
        volume = volumes(size, options.batch, i, device)
        start = time.perf_counter()
        ours(volume)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    print(json.dumps({"peak_mib": round(mib), "iterations_per_second": round(1 / min(times), 3)}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", default="32,64,128,256")
    parser.add_argument("--child")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.child:
        return child(options)
    sizes = [32, 64] if options.quick else [int(n) for n in options.sizes.split(",")]
    rows = []
    for size in sizes:
        for name, precision in (("hagan-2022", "float32"), ("hagan", "float32"), ("hagan", "bfloat16")):
            words = [sys.executable, __file__, "--child", json.dumps([[name, precision, {}], size])]
            words += [f"--{n}={getattr(options, n)}" for n in ("threads", "batch", "device")]
            told = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
            recipe = get_recipe(name).resize((size,) * 3)
            rows.append(
                {
                    "size": size,
                    "recipe": name,
                    "precision": precision,
                    **told,
                    "paper_mb": PAPER_MB.get(size),
                    "predicted_mib": round(1024 * sum(estimate_memory(recipe).values()))
                    if precision == "float32"
                    else None,
                    "parameters": sum(count_parameters(recipe).values()),
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    mine = [r["peak_mib"] for r in rows if (r["recipe"], r["precision"]) == ("hagan", "float32")]
    paper = PAPER_MB[sizes[-1]] / PAPER_MB[sizes[0]]
    device = f"{options.device}, {options.threads} threads, {platform.machine()}, {torch.__version__}"
    print(
        json.dumps(
            {
                "name": "memory_hagan",
                "ratio": round(paper / (mine[-1] / mine[0]), 2),
                "opponent": "the paper's table",
                "device": device,
                "batch": options.batch,
                "runs": 1,
                "rows": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
