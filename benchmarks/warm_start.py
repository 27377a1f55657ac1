"""Fifty images after two thousand of another kind, against fifty alone: the table of docs/uses.md.

    python benchmarks/warm_start.py OUT [--kimg 4] [--seeds 3]

Phantom mammograms at 40 x 32. The first model sees 2,000 craniocaudal (CC) images. Then models learn from 50
mediolateral oblique (MLO) images of other patients, all with equally many images shown: from nothing, from the first
model, and from it with the discriminator's finest block frozen. Each is compared with 200 MLO images of 100 further
patients by the sliced Wasserstein distance, 95 % intervals by a jackknife over these patients; the floor is another 200
phantoms of the same kind. The same command resumes. The last line is JSON.
"""

import argparse
import csv
import json
import shutil
from pathlib import Path
from statistics import mean, stdev

from scipy.stats import t as student

from ganatomy.checkpoint import find_snapshot, open_snapshot
from ganatomy.data.prepare import prepare
from ganatomy.data.store import Store, open_store
from ganatomy.evaluation.images.sets import RealImages
from ganatomy.evaluation.metrics.swd import extract_descriptors
from ganatomy.evaluation.swd_scores import make_swd_reference
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.phantoms.cohort import write_cohort
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.recipes.recipe import Recipe
from ganatomy.sampling import sample
from ganatomy.training.callbacks import Intervals
from ganatomy.training.train import train

SHAPE = (40, 32)
LAST_LEVEL = 3
FINEST_BLOCK = ("discriminator.from_image.3", "discriminator.blocks.3")
RARELY = Intervals(tick_kimg=0.5, grid_kimg=100, snapshot_kimg=100, checkpoint_kimg=1)


def make_store(out: Path, name: str, patients: int, seed: int, view: str) -> Store:
    """A store of the images of one view of phantom patients."""
    if (out / name / "manifest.json").exists():
        return open_store(out / name)
    raw = out / f"raw-{name}"
    shutil.rmtree(raw, ignore_errors=True)
    write_cohort("mammogram", raw, patients, seed, (80, 64), workers=1)
    with (raw / "truth.csv").open() as table:
        for row in csv.DictReader(table):
            if row["view_position"] != view:
                (raw / row["file"]).unlink()
    return prepare(raw, Mammogram(shape=SHAPE), out / name, workers=1)


def make_store_of(out: Path, name: str, images: int, seed: int, view: str) -> Store:
    """A store with exactly so many training images: patients are added until there are."""
    patients = round(images / 2 / 0.8)
    while True:
        store = make_store(out, name, patients, seed, view)
        if (count := len(store.split("train"))) == images:
            return store
        shutil.rmtree(out / name)
        patients += 1 if count < images else -1


def make_recipe(kimg: float) -> Recipe:
    narrow = {"width": 512, "widest": 48}
    changes = {
        "latent": 64,
        "conditions": {},
        "strategy.fade_kimg": kimg / 16,
        "strategy.stable_kimg": kimg / 16,
        "strategy.batch_sizes": [8],
        "ema_half_life_kimg": 0.25,
        "total_kimg": kimg,
        **{f"networks.{role}.{name}": n for role in ("generator", "discriminator") for name, n in narrow.items()},
        "networks.discriminator.pool_first": True,
        **{f"optimizers.{role}.lr": {"kind": "constant", "value": 0.0015} for role in ("generator", "discriminator")},
    }
    return change_recipe(get_recipe("pggan-mammogram").resize(SHAPE), changes)


def compute_interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval by Student's t over the seeds."""
    half = student.ppf(0.975, len(values) - 1) * stdev(values) / len(values) ** 0.5
    return round(mean(values), 1), round(mean(values) - half, 1), round(mean(values) + half, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kimg", type=float, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    told = parser.parse_args()
    out = told.out
    first = make_store_of(out, "first", 2000, 0, "CC")
    few = make_store_of(out, "few", 50, 1, "MLO")
    held_out = make_store(out, "held-out", 100, 2, "MLO")
    fresh = make_store(out, "fresh", 100, 3, "MLO")
    base = train(make_recipe(4 * told.kimg), first, out / "runs", device="cpu", intervals=RARELY)
    level = {"strategy.first_level": LAST_LEVEL}
    recipe = make_recipe(told.kimg)
    ways = {
        "from nothing": (recipe, None),
        "from the first model": (change_recipe(recipe, level), base.path),
        "the same, finest block of the discriminator frozen": (
            change_recipe(recipe, {**level, "frozen": list(FINEST_BLOCK)}),
            base.path,
        ),
    }
    measure = make_swd_reference(
        RealImages(held_out, held_out.cases, SHAPE), RealImages(fresh, fresh.cases[: len(held_out.cases)], SHAPE)
    )
    print(f"{measure.description}; floor {measure.floor.average:g}")
    rows, scores = [], {}
    for name, (chosen, start) in ways.items():
        for seed in range(told.seeds):
            run = train(chosen, few, out / "runs", seed, "cpu", RARELY, begin_from=start)
            drawn = (image.pixels for image, _ in sample(open_snapshot(find_snapshot(run.path)), len(held_out.cases)))
            patches = extract_descriptors(drawn, measure.protocol, name)
            score, (low, high) = measure.compute_score([patches]).average, measure.compute_interval(patches)
            rows.append({"way": name, "seed": seed, "swd": score, "low": low, "high": high})
            scores.setdefault(name, []).append(score)
            print(f"{name}, seed {seed}: {score:.1f} [{low:.1f}, {high:.1f}]", flush=True)
    plain = scores["from nothing"]
    differences = {
        name: compute_interval([b - a for a, b in zip(plain, values, strict=True)])
        for name, values in scores.items()
        if values is not plain
    }
    print(json.dumps({"kimg": told.kimg, "floor": measure.floor.average, "rows": rows, "differences": differences}))


if __name__ == "__main__":
    main()
