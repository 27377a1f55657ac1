"""Compare one training iteration of HA-GAN with the published iteration in plain PyTorch, on a CPU or a GPU.

    python benchmarks/step_hagan.py [--quick] [--threads 2] [--size 128] [--batch 2] [--device cuda]

The reference (`_plain_hagan.py`) does the published work: three full generator passes and one of the high-resolution
head, both encoder phases, float32. Our side is measured for these recipes:

    hagan-2022        the same work: all four phases; its first losses must equal those of the reference
    hagan             discriminator and generator, one generator pass; the encoders are trained afterwards
    hagan + encoder   the sum of a step of `hagan` and one of `hagan-encoder`: all networks of the published step

Times are medians of paired ratios in one process with the sides alternating. Peak memory is measured in one process per
side: the resident set less that after the imports (CPU) or the allocation on the device (GPU), including weights,
gradients, moments and the averaged weights. The last line is JSON.
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

from ganatomy import randomness
from ganatomy.objectives.phase import Batch
from ganatomy.recipes import get_recipe
from ganatomy.steps.condition import UNCONDITIONAL
from ganatomy.training.computing import ComputeSettings
from ganatomy.training.loop import run_update
from ganatomy.training.state import State

SIDES = (
    ("hagan-2022", "float32", {}),
    ("hagan-2022", "bfloat16", {}),
    ("hagan", "float32", {}),
    ("hagan", "bfloat16", {}),
    ("hagan", "float32", {"channels_last": True}),
    ("hagan", "bfloat16", {"channels_last": True}),
    ("hagan", "float32", {"recompute": True}),
    ("hagan", "float32", {"compiled": True}),
    ("hagan-encoder", "float32", {}),
    ("hagan-encoder", "bfloat16", {}),
)


class Ours:
    """Runs steps of a recipe at one size."""

    def __init__(self, name, precision, more, size, batch, device):
        recipe = get_recipe(name).resize((size,) * 3)
        self.computing = ComputeSettings(precision=precision, **more)
        torch.manual_seed(0)
        given = {role: recipe.networks[role].build(recipe.space).state_dict() for role in recipe.pretrained_roles}
        self.state = State(recipe, 0, device, given, self.computing.get_layout(3))
        self.computing.apply_to(self.state.networks, 3)
        self.phases, self.batch, self.device, self.count = recipe.build_phases(), batch, device, 0

    def __call__(self, volume):
        numbers = range(self.count, self.count + self.batch)
        scope = self.state.recipe.plan_step(self.count * 4 // self.batch, 0).scope
        regions = [volume] if scope.regions[0].depth is None else _regions(volume, scope)
        read = tuple(region.to(memory_format=self.computing.get_layout(3)) for region in regions)
        draw = Batch(read, UNCONDITIONAL.make_blank(self.batch).to(self.device), scope, 0, numbers)
        losses = {}
        for phase in self.phases:
            for key, value in run_update(phase, self.state, [draw], self.computing).items():
                losses[f"{phase.name}/{key}"] = value
        self.state.update_ema(self.batch)
        self.count += self.batch
        return [float(value) for key, value in losses.items() if "labels" not in key]


class Plain:
    """Build the reference with the initial weights of `hagan-2022`."""

    def __init__(self, size, batch, device):
        recipe = get_recipe("hagan-2022").resize((size,) * 3)
        self.players = State(recipe, 0, device).networks
        self.adams = plain.optimizers(self.players)
        self.recipe, self.batch, self.count = recipe, batch, 0

    def __call__(self, volume):
        numbers = range(self.count, self.count + self.batch)
        scope = self.recipe.plan_step(self.count * 4 // self.batch, 0).scope
        noise = [
            randomness.draw_normal(0, purpose, numbers, self.recipe.latent).to(volume.device)
            for purpose in ("discriminator", "generator")
        ]
        self.count += self.batch
        return plain.step(self.players, self.adams, volume, noise, scope.start, scope.depth)


def _regions(volume, scope):
    return [volume[:, :, scope.start : scope.start + scope.depth], torch.nn.functional.avg_pool3d(volume, 4)]


def volumes(size, batch, i, device):
    return randomness.draw_uniform(1, "volume", range(i * batch, (i + 1) * batch)).view(-1, 1, 1, 1, 1).to(device) + (
        0.3
        * randomness.draw_normal(1, "voxels", range(i * batch, (i + 1) * batch), 1, *[size] * 3).to(device).clamp(-1, 1)
    ).clamp(-1, 1)


def timed(side, volume):
    if volume.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    losses = side(volume)
    return time.perf_counter() - start, losses


def race(name, precision, more, options, device):
    ours = Ours(name, precision, more, options.size, options.batch, device)
    theirs = Plain(options.size, options.batch, device)
    pairs, first = [], None
    for i in range(options.runs + 1):
        volume = volumes(options.size, options.batch, i, device)
        (a, mine), (b, other) = timed(ours, volume), timed(theirs, volume)
        if i:
            pairs.append((a, b))
        elif name == "hagan-2022":  # both sides start from the same weights, images and noise
            first = max(abs(x - y) / max(1.0, abs(y)) for x, y in zip(mine, other, strict=True))
            assert first < (1e-3 if precision == "float32" else 5e-2), f"not the same step: {mine} against {other}"
    return {
        "recipe": name,
        "precision": precision,
        **more,
        "ours_s": round(statistics.median(a for a, _ in pairs), 3),
        "plain_s": round(statistics.median(b for _, b in pairs), 3),
        "ratio": round(statistics.median(b / a for a, b in pairs), 2),
        **({} if first is None else {"first_step_difference": float(f"{first:.1e}")}),
    }


def peak(side, options, device):
    """Measure the peak in MiB, less the memory after the imports; runs in a child process."""
    base = resident("VmRSS")
    made = (
        Plain(options.size, options.batch, device)
        if side == "plain"
        else Ours(*side, options.size, options.batch, device)
    )
    for i in range(2):
        made(volumes(options.size, options.batch, i, device))
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resident("VmHWM") - base


def measured_peak(side, options):
    words = [sys.executable, __file__, "--peak", json.dumps(side), "--size", str(options.size)]
    words += ["--batch", str(options.batch), "--threads", str(options.threads), "--device", options.device]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peak")
    parser.add_argument("--compile", action="store_true", help="also measure torch.compile")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    if options.peak:
        return print(peak(json.loads(options.peak), options, device))
    if options.quick:
        options.size, options.runs = 64, 1
    sides = [side for side in SIDES if options.compile or "compiled" not in side[2]]
    rows = []
    base = measured_peak("plain", options)
    for side in sides:
        row = race(*side, options, device)
        row["peak_mib"] = round(measured_peak(list(side), options))
        row["peak_share"] = round(row["peak_mib"] / base, 2)
        rows.append(row)
        print(json.dumps(row), flush=True)

    def found(name, precision):
        return next(r for r in rows if (r["recipe"], r["precision"]) == (name, precision))

    def both(precision):
        parts = [found(name, precision) for name in ("hagan", "hagan-encoder")]
        return round(statistics.mean(p["plain_s"] for p in parts) / sum(p["ours_s"] for p in parts), 2)

    print(
        json.dumps(
            {
                "name": "step_hagan",
                "ratio": found("hagan", "float32")["ratio"],
                "ratio_bfloat16": max(
                    r["ratio"] for r in rows if r["recipe"] == "hagan" and r["precision"] == "bfloat16"
                ),
                "ratio_same_work": found("hagan-2022", "float32")["ratio"],
                "ratio_with_encoder": both("float32"),
                "ratio_with_encoder_bfloat16": both("bfloat16"),
                "peak_share": found("hagan", "float32")["peak_share"],
                "plain_peak_mib": round(base),
                "opponent": "plain PyTorch rendering of the published iteration, float32, benchmarks/_plain_hagan.py",
                "device": f"{options.device}, {options.threads} threads, {platform.machine()}, {torch.__version__}",
                "size": options.size,
                "batch": options.batch,
                "runs": options.runs,
                "rows": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
