"""From an imported run on, everything works as from one of ours; mistakes at the command line are one sentence."""

import json

import nibabel as nib
import pydicom
import pytest
import torch

from ganatomy.checkpoint import find_snapshot, open_snapshot
from ganatomy.cli import main
from ganatomy.data.prepare import prepare
from ganatomy.importing import hagan
from ganatomy.modalities.chest_ct import ChestCT
from ganatomy.modalities.facts import FactSource
from ganatomy.phantoms.cohort import write_cohort
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe

SIZE = (32, 32, 32)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Weights of `hagan-2022` at 32 cubed, narrow, under the authors' names; the same layout by its rule."""
    folder = tmp_path_factory.mktemp("authors")
    recipe = get_recipe("hagan-2022").resize(SIZE)
    recipe = change_recipe(recipe, {f"networks.{role}.features": 32 for role in recipe.networks})
    torch.manual_seed(0)
    networks = recipe.build()
    for role, part in hagan.HAGANLayout().list_parts(recipe).items():
        ours = networks[role].state_dict()
        held = {slot.theirs: ours[slot.ours].reshape(slot.shape or ours[slot.ours].shape) for slot in part.slots}
        torch.save({"model": held | {name: torch.ones(1) for name in part.dropped}}, folder / f"{role}.pth")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    """Six thoraces that nothing has seen."""
    folder = tmp_path_factory.mktemp("held-out")
    write_cohort("chest_ct", folder / "raw", 6, seed=1, shape=SIZE, workers=1)
    facts = FactSource(folder / "raw" / "truth.csv", {"emphysema": "emphysema"})
    return prepare(folder / "raw", ChestCT(facts, SIZE), folder / "store", workers=1)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(hagan, "SHAPES", (SIZE,))


def test_the_card_of_imported_weights_says_what_is_not_known(small, files, tmp_path):
    names = " ".join(map(str, files))
    line = f"import {names} --recipe hagan-2022 --shape 32,32,32 --out {tmp_path / 'runs'}"
    assert main(line.split()) == 0
    assert main(f"card {tmp_path / 'runs' / '00000-hagan-2022'} --out {tmp_path / 'card'}".split()) == 0
    known = json.loads((tmp_path / "card" / "card.json").read_text())["checklist"]
    assert "began from other weights: imported" in known["components"]["found"]
    assert known["independence"] == {**known["independence"], "found": [], "open": ["not known"]}
    assert "grid of 32 x 32 x 32 of unknown spacing" in known["preprocessing"]["found"][0]
    assert "imported in the layout of hagan-2022" in (tmp_path / "card" / "MODEL_CARD.md").read_text()


@pytest.mark.ci
def test_the_whole_line(small, files, volumes, held_out, tmp_path, capsys):
    names = " ".join(map(str, files))
    runs, at = tmp_path / "runs", "--recipe hagan-2022 --shape 32,32,32 --spacing 9"
    assert main(f"import {names} {at} --out {runs} --dry-run".split()) == 0
    assert not runs.exists()
    assert main(f"import {names} {at} --out {runs}".split()) == 0
    run = runs / "00000-hagan-2022"
    for line in (
        f"sample {run} --n 2 --planes 8 --out {tmp_path / 'nifti'}",
        f"sample {run} --n 2 --to dicom --out {tmp_path / 'dicom'}",
        f"encode {run} {volumes.path} --split test --out {tmp_path / 'features.csv'}",
        f"evaluate {run} {volumes.path} --held-out {held_out.path} --out {tmp_path / 'report'}",
        f"explore {run} --attribute component_1 --n 20 --walks 1 --steps 3 --out {tmp_path / 'exploration'}",
        f"verify {tmp_path / 'dicom'} --snapshot {run}",
    ):
        assert main(line.split()) == 0, capsys.readouterr().err
    volume = nib.load(next((tmp_path / "nifti").glob("*.nii.gz")))
    assert volume.header.get_zooms() == pytest.approx((9, 9, 9))
    assert -1024 <= volume.get_fdata().min() < volume.get_fdata().max() <= 600
    assert pydicom.dcmread(next((tmp_path / "dicom").rglob("*.dcm"))).Modality == "CT"
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["images"]["trained_on"] == "unknown"
    assert report["compared"]["trained_on_this_store"] is None
    assert len(pydicom.dcmread(next((tmp_path / "dicom").rglob("*.dcm"))).PixelData) == 2 * 32 * 32


def test_weights_arrive_whole_and_nothing_of_the_files_is_named(small, files, tmp_path):
    names = " ".join(map(str, files))
    assert main(f"import {names} --recipe hagan-2022 --shape 32,32,32 --out {tmp_path / 'runs'}".split()) == 0
    folder = find_snapshot(tmp_path / "runs" / "00000-hagan-2022")
    snapshot = open_snapshot(folder, None)
    torch.manual_seed(0)
    for role, network in snapshot.recipe.build().items():
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, snapshot.weights[role][name]), name
    told = json.loads((folder / "meta.json").read_text())["imported"]
    assert set(told["sha256"]) == set(snapshot.recipe.networks)
    assert str(files[0].parent) not in (folder / "meta.json").read_text()


def test_a_training_beside_is_not_disturbed(small, files, volumes, tmp_path, capsys):
    names = " ".join(map(str, files))
    assert main(f"import {names} --recipe hagan-2022 --shape 32,32,32 --out {tmp_path}".split()) == 0
    capsys.readouterr()
    assert main(f"train hagan {volumes.path} --tiny --set total_kimg=0.004 --out {tmp_path}".split()) == 0
    assert (tmp_path / "00001-hagan").is_dir()
    assert "cannot be read" not in capsys.readouterr().out
    assert main(f"select {tmp_path / '00000-hagan-2022'} --store {volumes.path}".split()) == 2
    assert "contains imported weights and has no store" in capsys.readouterr().err
    assert main(f"train hagan-2022 {volumes.path} --tiny --out {tmp_path / '00000-hagan-2022'}".split()) == 2
    assert "is a run of another origin" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("import --recipe hagan-2022 --shape 32,32,32", "No file is given"),
        (
            "import {file} --recipe hagan --shape 32,32,32",
            "no layout of published weights for 'hagan' (did you mean hagan-2022?); choose one of hagan-2022",
        ),
        ("import {file} --recipe hagan-2022 --shape 32,32", "makes volumes of 32x32x32, not of 32x32"),
        ("import {file} --recipe hagan-2022 --shape 32,32,32 --modality knee", "There is no modality 'knee'"),
        ("import {file} --recipe hagan-2022 --shape 32,32,32 --spacing 1,2", "spacing 1,2 does not fit"),
        ("import {file} --recipe hagan-2022 --shape 32,32,32 --spacing wide", "--spacing wide: give numbers"),
        ("import {file} --recipe hagan-2022 --shape 32,32,32 --value-range=600,-1024", "the lower first"),
        ("import {file} --recipe hagan-2022 --shape 32,32,32 --value-range=1", "--value-range 1: give two numbers"),
        ("import {file} --recipe hagan-2022 --shape 32,32,32 --condition gold=0,1", "a generator with 0 classes"),
        ("import {file}.gone --recipe hagan-2022 --shape 32,32,32", "No such file"),
    ],
)
def test_mistakes(line, words, small, files, tmp_path, capsys):
    assert main([*line.format(file=files[1]).split(), "--out", str(tmp_path / "runs")]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not (tmp_path / "runs").exists()
