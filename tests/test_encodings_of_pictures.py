"""Every recipe runs for pictures and for volumes, and the uses of encoders are open to mammograms."""

import json

import numpy as np
import pyarrow.csv
import pytest
import torch
from PIL import Image as Pillow

from ganatomy.cli import main
from ganatomy.errors import Refused
from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.studies import outliers, probe
from ganatomy.training import loop
from ganatomy.training.state import State
from ganatomy.training.train import train

CPU = torch.device("cpu")
OTHER = {2: (32, 32, 32), 3: (64, 64)}  # a size of the other number of axes that every network can make


class Noise:
    """Batches of random images."""

    def __init__(self, recipe):
        self.space = recipe.condition_space

    def read_batch(self, numbers, regions):
        sizes = [(r.depth or r.shape[0], *r.shape[1:]) for r in regions]
        images = tuple(torch.rand(len(numbers), 1, *size) * 2 - 1 for size in sizes)
        return images, self.space.encode([self.space.choose_facts({}, n) for n in numbers])


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_and_draws_in_the_other_number_of_axes(name):
    recipe = get_recipe(name).make_tiny()
    recipe = recipe.resize(OTHER[len(recipe.shape)])
    given = {role: recipe.networks[role].build(recipe.space).state_dict() for role in recipe.pretrained_roles}
    state = State(recipe, 0, CPU, given)
    losses = list(loop.run_steps(state, Noise(recipe), 0, lambda state: state.steps < 2))
    assert all(torch.isfinite(value) for step in losses for value in step.values())
    with torch.inference_mode():
        z = torch.randn(2, recipe.latent)
        (image,) = state.ema.eval()(z, recipe.condition_space.make_blank(2), recipe.get_final_scope())
    assert image.shape == (2, 1, *recipe.shape)


def test_a_size_that_is_neither_picture_nor_volume_is_refused():
    with pytest.raises(Refused, match="two axes for pictures, three for volumes"):
        get_recipe("vae").resize((64,))


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    """A short training of a small `alpha-gan` of mammograms that knows their view."""
    changes = {"conditions": {"view_position": ["CC", "MLO"]}, "total_kimg": 0.016}
    recipe = change_recipe(get_recipe("alpha-gan").make_tiny().resize((40, 32)), changes)
    return train(recipe, store, tmp_path_factory.mktemp("runs"))


def test_mammograms_are_encoded_and_their_reconstructions_are_pictures(run, store, tmp_path):
    out = tmp_path / "features.csv"
    line = ["encode", str(run.path), str(store.path), "--out", str(out), "--split", "test"]
    assert main([*line, "--to", "png"]) == 0
    rows = pyarrow.csv.read_csv(out).to_pylist()
    files = sorted((tmp_path / "features").iterdir())
    assert [f.name for f in files] == [f"{i:06d}.png" for i in range(len(rows))]
    with Pillow.open(files[0]) as picture:
        assert picture.size == (32, 40)
        assert picture.mode == "I;16"
        assert picture.text["Comment"].startswith("Derived by a model from a phantom")
        assert json.loads(picture.text["Provenance"])["row"] == store.split("test")[0]["row"]
    assert main([*line, "--to", "nifti"]) == 2


def test_mammograms_are_scored(run, store, tmp_path, monkeypatch):
    monkeypatch.setattr(outliers, "MIN_VALIDATION_IMAGES", 1)
    assert main(["outliers", str(run.path), str(store.path), "--planted", "--out", str(tmp_path / "o")]) == 0
    found = json.loads((tmp_path / "o" / "outliers.json").read_text())["found"]
    assert "bright ball" in found


def test_mammograms_are_transferred_to_the_other_view(run, store, tmp_path):
    line = ["transfer", str(run.path), str(store.path), "--to", "view_position=MLO", "--split", "train", "--n", "3"]
    assert main([*line, "--out", str(tmp_path / "out")]) == 0
    told = json.loads((tmp_path / "out" / "transfer.json").read_text())
    assert told["images"] == 3
    with Pillow.open(tmp_path / "out" / "000000.png") as picture:
        assert json.loads(picture.text["Provenance"])["view_position"] == "MLO"
        assert np.asarray(picture).shape == (40, 32)


def test_features_of_mammograms_are_probed(run, store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(probe, "MIN_PROBED_PATIENTS", 5)
    assert main(["encode", str(run.path), str(store.path), "--out", str(tmp_path / "z.csv")]) == 0
    rows = pyarrow.csv.read_csv(tmp_path / "z.csv").to_pylist()
    table = tmp_path / "measured.csv"
    table.write_text("\n".join(["file,view", *(f"{row['file']},{row['view_position']}" for row in rows)]) + "\n")
    assert main(["probe", str(tmp_path / "z.csv"), str(table), "--target", "view"]) == 0
    assert "AUC of view" in capsys.readouterr().out
