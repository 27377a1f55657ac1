"""One row of a benchmark with one seed: training, sampling and scoring; parts that are already done are skipped."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from ganatomy.benchmark.plan import SPEED_FILE, BenchmarkPlan, get_row_folder
from ganatomy.checkpoint import META_FILE, open_snapshot
from ganatomy.data.samples import has_samples
from ganatomy.data.store import open_store
from ganatomy.evaluation.evidence import Evidence, gather_evidence
from ganatomy.evaluation.extractors import table as extractors
from ganatomy.evaluation.images.comparison import ComparisonRequest, gather_comparison
from ganatomy.evaluation.metrics.table import score_features
from ganatomy.evaluation.statistics import MissingScore
from ganatomy.exporting.export import write_samples
from ganatomy.machine.durable import new_file, read_json, write_json
from ganatomy.sampling import sample
from ganatomy.training.callbacks import Intervals
from ganatomy.training.run import Run
from ganatomy.training.train import train

ROW_FILE, SAMPLES_FOLDER, FEATURES_FILE = "row.json", "samples", "features.npz"
CHECKPOINTS_PER_ROW = 4  # so that an interruption costs little


def make_row(plan: BenchmarkPlan, out: Path, name: str, seed: int) -> None:
    """Train, sample and score a row; ``row.json`` is written last."""
    folder = get_row_folder(out, name, seed)
    recipe = plan.make_budgeted_recipe(name, read_json(out / SPEED_FILE)[name]["images_per_second"])
    every = recipe.total_kimg / CHECKPOINTS_PER_ROW
    often = Intervals(
        tick_kimg=every, grid_kimg=recipe.total_kimg, snapshot_kimg=recipe.total_kimg, checkpoint_kimg=every
    )
    run = train(recipe, plan.store, folder / "runs", seed, plan.device, often)
    snapshot = open_snapshot(run.list_snapshots()[-1])
    samples = folder / SAMPLES_FOLDER
    if not has_samples(samples):
        shutil.rmtree(samples, ignore_errors=True)
        write_samples(sample(snapshot, plan.n, seed, device=plan.device), plan.n, snapshot.modality, samples, "npy")
    scores, evidence = score_samples(plan, samples)
    with new_file(folder / FEATURES_FILE) as temporary, temporary.open("wb") as handle:
        np.savez(handle, fake=evidence.fake, test=evidence.test, floor=evidence.floor)
    write_json(
        folder / ROW_FILE, {"recipe": name, "seed": seed, "kimg": recipe.total_kimg, "steps": _steps(run), **scores}
    )


def score_samples(plan: BenchmarkPlan, samples: Path) -> tuple[dict[str, Any], Evidence]:
    """Score a folder of samples; returns the scores with the metrics that could not be computed, and the evidence."""
    held_out = None if plan.held_out is None else Path(plan.held_out)
    compared = gather_comparison(samples, open_store(Path(plan.store)), ComparisonRequest(plan.n, held_out=held_out))
    weights = None if plan.weights is None else Path(plan.weights)
    extractor = extractors.get_extractor(plan.extractor, len(compared.test.shape), compared.other_train, weights)
    evidence = gather_evidence(compared, extractor)
    found = score_features(evidence)
    return {
        "images": len(compared.test),
        "patients": len(set(compared.test.groups())),
        "scores": [one.model_dump() for one in found if not isinstance(one, MissingScore)],
        "not_computed": [one.model_dump() for one in found if isinstance(one, MissingScore)],
    }, evidence


def _steps(run: Run) -> int:
    return int(json.loads((run.list_checkpoints()[-1] / META_FILE).read_text())["counts"]["steps"])
