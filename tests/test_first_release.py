"""What the first release wrote is read as it was: a store, a snapshot, and a training that goes on.

The files of `first_release/` were made by version 0.1.0 from phantoms (6 patients, seed 3) with ``pggan-mammogram`` in
its tiny form; `samples.safetensors` and `log_after.jsonl` are what that version drew and logged afterwards.
"""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ganatomy.checkpoint import open_snapshot
from ganatomy.data.store import open_store
from ganatomy.recipes.recipe import Recipe
from ganatomy.sampling import sample
from ganatomy.training.callbacks import Intervals
from ganatomy.training.train import train

FILES = Path(__file__).parent / "first_release"
PIXELS = {  # SHA-256 of the quantised pixels of all 24 images
    (20, 16): "933e7e0b3e575c9d309d565ec33621ff6daaa7e0abd86671a9237d0d88819479",
    (10, 8): "0758c56dcb0710d046a1699bdbed30f0644f29725a5a155b8b219326f34a7b8c",
}
FINGERPRINT = "3383094bf0a734abdc5783029c58f3eae8f936c88e56220e9003fa689e8ae6cf"
LOSS_ROUNDING = 1e-2  # absolute; other processors round otherwise, and four steps of Adam carry that on
OTHER_ROUNDING = 0.2  # share of the change of the weights in these steps, for the same reason


def test_a_store_of_the_first_release_has_its_pixels_and_facts():
    store = open_store(FILES / "store")
    assert store.manifest.fingerprint == FINGERPRINT
    assert store.manifest.splits == {"train": 16, "validation": 4, "test": 4}
    for shape, digest in PIXELS.items():
        assert hashlib.sha256(store.read(list(range(24)), shape).tobytes()).hexdigest() == digest
    assert {case["facts"]["view_position"] for case in store.cases} == {"CC", "MLO"}


def test_a_snapshot_of_the_first_release_draws_its_images():
    snapshot = open_snapshot(FILES / "snapshot")
    drawn = [image for image, _ in sample(snapshot, 4, seed=1)]
    np.testing.assert_allclose(
        np.stack([one.pixels for one in drawn]), load_file(FILES / "samples.safetensors")["pixels"], atol=1e-4
    )
    assert [one.facts["view_position"] for one in drawn] == ["CC", "MLO", "CC", "MLO"]


def test_a_recipe_of_the_first_release_is_the_recipe_of_today():
    """All that was written is read and would be written again; fields that came later have their defaults."""
    written = json.loads((FILES / "run" / "recipe.json").read_text())
    read = Recipe.model_validate(written)
    del written["networks"]["generator"]["folded"]  # today a setting of how a run is computed: --upsampling
    assert _keep_fields_of(written, json.loads(read.model_dump_json())) == written


def _keep_fields_of(written, today):
    """What is there today without the fields of objects that were not written."""
    if isinstance(written, dict):
        return {name: _keep_fields_of(value, today[name]) for name, value in written.items() if name in today}
    if isinstance(written, list) and len(written) == len(today):
        return [_keep_fields_of(one, other) for one, other in zip(written, today, strict=True)]
    return today


def test_a_training_of_the_first_release_goes_on_from_its_checkpoint(tmp_path):
    shutil.copytree(FILES / "store", tmp_path / "store")
    shutil.copytree(FILES / "run", tmp_path / "runs" / "00000-pggan-mammogram")
    recipe = Recipe.model_validate_json((FILES / "run" / "recipe.json").read_text())
    run = train(recipe, tmp_path / "store", tmp_path / "runs", intervals=Intervals(tick_kimg=0.016))
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["00000-pggan-mammogram"]
    rows = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows] == list(range(16, 481, 16))
    expected = [json.loads(line) for line in (FILES / "log_after.jsonl").read_text().splitlines()]
    for row, before in zip(rows[-2:], expected, strict=True):
        losses = {name: value for name, value in before.items() if not name.startswith("progress/images")}
        assert {name: row[name] for name in losses} == pytest.approx(losses, abs=LOSS_ROUNDING)
    start, before, trained = (
        _load_weights(folder)
        for folder in (FILES / "run/checkpoints/000000448", FILES / "snapshot", run.list_snapshots()[-1])
    )
    assert trained.shape == before.shape
    assert np.linalg.norm(trained - before) < OTHER_ROUNDING * np.linalg.norm(before - start)


def _load_weights(folder):
    """All averaged weights of a generator, by name."""
    file = next(folder / name for name in ("ema.safetensors", "generator.safetensors") if (folder / name).exists())
    return np.concatenate([weights.ravel() for _, weights in sorted(load_file(file).items())])
