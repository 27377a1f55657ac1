"""Measure time and peak memory of a whole HA-GAN volume: plain single pass, our single pass, our pass slab by slab.

    python benchmarks/slab_inference.py [--quick] [--threads 2] [--size 256] [--planes 16] [--device cpu]

Every measurement is a separate process that makes one volume as a warm-up and then `--runs` more; the sides alternate.
The time is the median over processes of their medians. The memory is the largest resident set less that with loaded
weights; it includes the finished volume. `hagan` normalises its high-resolution head voxel by voxel; `hagan-2022` has
group statistics of the whole volume, for which the slabs are computed twice. The slabs are compared with the single
pass. The plain pass is the published one in plain PyTorch (`_plain_hagan.py`). The last line is JSON.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time

import _plain_hagan as plain
import torch
from _resident import resident

from ganatomy.recipes import get_recipe
from ganatomy.steps.condition import UNCONDITIONAL

SIDES = (
    ("hagan-2022", "plain"),
    ("hagan-2022", "one pass"),
    ("hagan-2022", "slabs"),
    ("hagan", "one pass"),
    ("hagan", "slabs"),
)


def make(generator, side, z, planes, scope):
    condition = UNCONDITIONAL.make_blank(1).to(z.device)
    if side == "plain":
        return plain.whole(generator, z)
    if side == "one pass":
        return generator(z, condition, scope)[0]
    out, start = torch.empty(1, 1, *scope.shape, device=z.device), 0
    for piece in generator.generate_slabs(z, condition, planes):
        out[:, :, start : start + piece.shape[2]] = piece
        start += piece.shape[2]
    return out


def child(options):
    name, side = json.loads(options.child)
    recipe = get_recipe(name).resize((options.size,) * 3)
    torch.manual_seed(0)
    device = torch.device(options.device)
    generator = recipe.build_generator().eval().requires_grad_(False).to(device)
    cuda, times = device.type == "cuda", []
    base = torch.cuda.memory_allocated() / 2**20 if cuda else resident("VmRSS")
    with torch.inference_mode():
        for i in range(options.runs + 1):
            z = torch.randn(1, recipe.latent, generator=torch.Generator().manual_seed(i)).to(device)
            made = None
            start = time.perf_counter()
            made = make(generator, side, z, options.planes, recipe.get_final_scope())
            if cuda:
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        peak = (torch.cuda.max_memory_allocated() / 2**20 if cuda else resident("VmHWM")) - base
        difference = None
        if side != "one pass":
            difference = float(
                (made - make(generator, "one pass", z, options.planes, recipe.get_final_scope())).abs().max()
            )
    print(json.dumps({"seconds": statistics.median(times[1:]), "peak_mib": peak, "difference": difference}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--planes", type=int, default=16)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--child")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.child:
        return child(options)
    if options.quick:
        options.size, options.runs = 128, 1
    found = {side: [] for side in SIDES}
    for _ in range(1 if options.quick else 3):
        for side in SIDES:
            words = [sys.executable, __file__, "--child", json.dumps(side)]
            words += [f"--{n}={getattr(options, n)}" for n in ("threads", "size", "planes", "runs", "device")]
            told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
            found[side].append(json.loads(told.splitlines()[-1]))
    rows = []
    for (name, side), runs in found.items():
        worst = max((r["difference"] for r in runs if r["difference"] is not None), default=None)
        allowed = {"slabs": 1e-5, "plain": 1e-3}  # the plain pass sums in another order in every layer
        assert worst is None or worst < allowed[side], f"{name}, {side}: {worst} away from one pass"
        row = {
            "recipe": name,
            "side": side,
            "seconds": round(statistics.median(r["seconds"] for r in runs), 2),
            "peak_mib": round(statistics.median(r["peak_mib"] for r in runs)),
            "difference_from_one_pass": None if worst is None else float(f"{worst:.1e}"),
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
    by = {(r["recipe"], r["side"]): r for r in rows}
    slabs, one, opponent = by["hagan", "slabs"], by["hagan", "one pass"], by["hagan-2022", "plain"]
    print(
        json.dumps(
            {
                "name": "slab_inference",
                "ratio": round(opponent["peak_mib"] / slabs["peak_mib"], 1),
                "ratio_to_our_one_pass": round(one["peak_mib"] / slabs["peak_mib"], 1),
                "time_of_slabs_over_our_one_pass": round(slabs["seconds"] / one["seconds"], 2),
                "time_ratio_one_pass_to_plain": round(opponent["seconds"] / one["seconds"], 2),
                "opponent": "plain PyTorch rendering of the published whole-volume pass, float32",
                "size": options.size,
                "planes": options.planes,
                "device": f"{options.device}, {options.threads} threads, {platform.machine()}, {torch.__version__}",
                "runs": options.runs,
                "rows": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
