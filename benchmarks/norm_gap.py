"""Compare a sub-volume computed as in training with the same part of the whole volume computed as in sampling.

    python benchmarks/norm_gap.py [--quick] [--size 64] [RUN ...]

There are four generators with the same weights: the high-resolution head normalised by group (the authors' code) or by
voxel (`hagan`), with and without a plane of features beyond each end. Without a RUN the weights are untrained. Every
position that training draws is used, with four latent codes; values lie in -1 to 1. The last line is JSON; its ratio is
the mean difference of the published form divided by that of `hagan`.
"""

import argparse
import json
import platform

import torch

from ganatomy.checkpoint import find_snapshot, open_snapshot
from ganatomy.randomness import draw_normal
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.steps.hierarchy import compute_sub_volume_depth
from ganatomy.steps.scope import SubVolumeScope, WholeScope

ROUNDING = 2.0**-23  # of float32 at one; smaller differences are reported as this value


def gap(generator, recipe):
    """Mean and largest absolute difference, and the means over the two end planes and over the inner planes."""
    depth, shape = compute_sub_volume_depth(recipe.shape[0]), recipe.shape
    z, space = draw_normal(0, "gap", range(4), recipe.latent), recipe.condition_space
    condition = space.encode([space.choose_facts({}, 0)] * 4)
    with torch.no_grad():
        (whole,) = generator(z, condition, WholeScope(shape))
        starts = range(4, shape[0] - depth - 3, 4)
        pairs = [
            (generator(z, condition, SubVolumeScope(shape, s, depth, None))[0], whole[:, :, s : s + depth])
            for s in starts
        ]
    difference = torch.stack([(a - b).abs() for a, b in pairs])
    ends = torch.cat((difference[:, :, :, :1], difference[:, :, :, -1:]), 3)
    return {
        "mean": float(difference.mean()),
        "max": float(difference.max()),
        "end_planes": float(ends.mean()),
        "inner_planes": float(difference[:, :, :, 2:-2].mean()),
        "deviation_of_values": float(whole.std()),
    }


def main():
    from pathlib import Path

    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    if options.quick:
        options.size = 32
    rows = []
    for path in options.runs or [None]:
        snapshot = None if path is None else open_snapshot(find_snapshot(path))
        recipe = get_recipe("hagan").resize((options.size,) * 3) if snapshot is None else snapshot.recipe
        torch.manual_seed(0)
        weights = recipe.build_generator().state_dict() if snapshot is None else snapshot.weights["generator"]
        for norm in ("group", "voxel"):
            for halo in (0, 1):
                form = change_recipe(recipe, {"networks.generator.high_norm": norm, "networks.generator.halo": halo})
                generator = form.build_generator()
                generator.load_state_dict(weights)
                told = {key: float(f"{value:.1e}") for key, value in gap(generator, recipe).items()}
                which = "fresh weights" if path is None else f"{recipe.name}, {snapshot.images / 1000:g} kimg"
                rows.append({"weights": which, "size": recipe.shape[0], "norm": norm, "halo": halo, **told})
                print(json.dumps(rows[-1]), flush=True)
    ratio = rows[0]["mean"] / max(rows[3]["mean"], ROUNDING)
    device = f"cpu, {platform.machine()}, torch {torch.__version__}"
    print(
        json.dumps(
            {
                "name": "norm_gap",
                "ratio": float(f"{ratio:.1e}"),
                "opponent": "group norm without planes beyond the ends, as published",
                "device": device,
                "runs": 1,
                "rows": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
