"""Asked against measured: the table of docs/uses.md about numbers as conditions.

    python benchmarks/number_conditions.py OUT [--what lung|density] [--kimg 14] [--seeds 1]

A model is trained on 240 phantoms with one number of their truth: the lung volume of thoraces (HA-GAN at 32 cubed) or
the share of dense area of craniocaudal mammograms (progressive GAN at 80 x 64). It is then asked for the numbers of 96
phantoms of another seed, one image each, and the number is measured on what it makes. The same measure on the real
images of these phantoms says how well it can be measured at all at this size. R2 is the squared correlation; slope and
95 % interval are those of a straight line of what is measured over what was asked. The same command resumes.
"""

import argparse
import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from ganatomy.checkpoint import find_snapshot, open_snapshot
from ganatomy.data.prepare import prepare
from ganatomy.data.store import Store, dequantise_pixels, open_store
from ganatomy.imaging.image import Image
from ganatomy.library.recipe import condition_recipe
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.table import get_modality
from ganatomy.phantoms.cohort import write_cohort
from ganatomy.recipes import RECIPES
from ganatomy.recipes.changes import read_recipe
from ganatomy.sampling import sample
from ganatomy.training.callbacks import Intervals
from ganatomy.training.train import train

DEMO = Path(__file__).parents[1] / "demo"
RARELY = Intervals(tick_kimg=0.5, grid_kimg=100, snapshot_kimg=100, checkpoint_kimg=1)


@dataclass(frozen=True)
class Task:
    modality: str
    shape: tuple[int, ...]
    recipe: str
    number: str  # the fact, a column of the truth
    measure: str  # how the measure's name begins
    view: str | None = None


TASKS = {
    "lung": Task("chest_ct", (32, 32, 32), "volumes.yaml", "lung_ml", "lung volume"),
    "density": Task("mammogram", (80, 64), "mammograms.yaml", "dense_area_percent", "density", "CC"),
}


def make_store(out: Path, task: Task, name: str, patients: int, seed: int) -> Store:
    """A store of phantoms with the number as a fact."""
    if (out / name / "manifest.json").exists():
        return open_store(out / name)
    raw = out / f"raw-{name}"
    if not (raw / "truth.csv").exists():
        write_cohort(task.modality, raw, patients, seed, task.shape, workers=1)
    with (raw / "truth.csv").open() as table:
        for row in csv.DictReader(table):
            if task.view is not None and row["view_position"] != task.view:
                (raw / row["file"]).unlink(missing_ok=True)
    facts = FactSource(raw / "truth.csv", {task.number: task.number})
    return prepare(raw, get_modality(task.modality)(facts=facts, shape=task.shape), out / name, workers=1)


def measure(task: Task, image: Image) -> float:
    kind = get_modality(task.modality)()
    found: dict[str, float] = kind.measure_image(kind.denormalise(image))
    return next(value for name, value in found.items() if name.startswith(task.measure))


def compare(asked: list[float], measured: list[float]) -> dict[str, Any]:
    """R2, and the slope with its 95 % interval."""
    known = np.isfinite(measured)
    x, y = np.array(asked)[known], np.array(measured)[known]
    line = stats.linregress(x, y)
    half = stats.t.ppf(0.975, len(x) - 2) * line.stderr
    return {
        "n": len(x),
        "R2": round(line.rvalue**2, 3),
        "slope": round(line.slope, 3),
        "low": round(line.slope - half, 3),
        "high": round(line.slope + half, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--what", choices=TASKS, default="lung")
    parser.add_argument("--kimg", type=float, default=14)
    parser.add_argument("--seeds", type=int, default=1)
    told = parser.parse_args()
    task, out = TASKS[told.what], told.out / told.what
    store, unseen = make_store(out, task, "train", 240, 0), make_store(out, task, "unseen", 96, 1)
    base = read_recipe(DEMO / task.recipe, {name: make() for name, make in RECIPES.items()})
    recipe = condition_recipe(base.replace(conditions={}), (f"{task.number}:number",), store)
    recipe = recipe.replace(total_kimg=told.kimg)
    facts = [case["facts"] for case in unseen.cases]
    asked = [float(one[task.number]) for one in facts]
    rows = unseen.read([case["row"] for case in unseen.cases], task.shape)
    spacing = unseen.manifest.spacing
    real = [measure(task, Image(dequantise_pixels(row), spacing, one)) for row, one in zip(rows, facts, strict=True)]
    result = {"what": told.what, "kimg": told.kimg, "real": compare(asked, real), "synthetic": []}
    print(json.dumps(result["real"]), flush=True)
    for seed in range(told.seeds):
        run = train(recipe, store, out / "runs", seed, "cpu", RARELY)
        snapshot = open_snapshot(find_snapshot(run.path))
        wanted = [{task.number: one[task.number]} for one in facts]
        made = [measure(task, image) for image, _ in sample(snapshot, len(wanted), seed, wanted)]
        result["synthetic"].append({"seed": seed, **compare(asked, made)})
        print(json.dumps(result["synthetic"][-1]), flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
