"""One row with one seed: train, draw, score. Each part is skipped when it is there already."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from ganatomy.benchmark.plan import SPEED, Plan, row_folder
from ganatomy.checkpoint import META, open_snapshot
from ganatomy.data.samples import holds_samples
from ganatomy.data.store import open_store
from ganatomy.evaluation.evaluate import space_of
from ganatomy.evaluation.extractors import table as extractors
from ganatomy.evaluation.feature_scores import Space, scored
from ganatomy.evaluation.images.comparison import Asked, sides
from ganatomy.evaluation.statistics import Missing
from ganatomy.export.export import write_samples
from ganatomy.machine.durable import new_file, write_json
from ganatomy.sampling import sample
from ganatomy.training.callbacks import Intervals
from ganatomy.training.run import Run
from ganatomy.training.train import train

ROW, SAMPLES, FEATURES = "row.json", "samples", "features.npz"
PARTS = 4  # checkpoints of a training, so that an interruption costs little


def make(plan: Plan, out: Path, name: str, seed: int) -> None:
    """Make a row; ``row.json`` comes last."""
    folder = row_folder(out, name, seed)
    recipe = plan.budgeted(name, json.loads((out / SPEED).read_text())[name]["images_per_second"])
    every = recipe.total_kimg / PARTS
    often = Intervals(
        tick_kimg=every, grid_kimg=recipe.total_kimg, snapshot_kimg=recipe.total_kimg, checkpoint_kimg=every
    )
    run = train(recipe, plan.store, folder / "runs", seed, plan.device, often)
    snapshot = open_snapshot(run.snapshots()[-1])
    samples = folder / SAMPLES
    if not holds_samples(samples):
        shutil.rmtree(samples, ignore_errors=True)
        write_samples(sample(snapshot, plan.n, seed, device=plan.device), plan.n, snapshot.modality, samples, "npy")
    scores, space = scores_of(plan, samples)
    with new_file(folder / FEATURES) as temporary, temporary.open("wb") as handle:
        np.savez(handle, fake=space.fake, test=space.test, floor=space.floor)
    write_json(folder / ROW, {"recipe": name, "seed": seed, "kimg": recipe.total_kimg, "steps": _steps(run), **scores})


def scores_of(plan: Plan, images: Path) -> tuple[dict[str, Any], Space]:
    """The scores of a folder of samples in features, with what could not be computed."""
    held_out = None if plan.held_out is None else Path(plan.held_out)
    compared = sides(images, open_store(Path(plan.store)), Asked(plan.n, held_out=held_out))
    weights = None if plan.weights is None else Path(plan.weights)
    extractor = extractors.named(plan.extractor, len(compared.test.shape), compared.others, weights)
    space = space_of(compared, extractor)
    found = scored(space)
    return {
        "images": len(compared.test),
        "patients": len(set(compared.test.groups())),
        "scores": [one.model_dump() for one in found if not isinstance(one, Missing)],
        "not_computed": [one.model_dump() for one in found if isinstance(one, Missing)],
    }, space


def _steps(run: Run) -> int:
    return int(json.loads((run.checkpoints()[-1] / META).read_text())["counts"]["steps"])
