"""A model conditioned on a number through the whole line: prepared, trained, asked, evaluated, refused."""

import json

import pytest

from ganatomy.checkpoint import find_snapshot, open_snapshot
from ganatomy.cli import main
from ganatomy.data.numbers import list_number_facts
from ganatomy.data.prepare import prepare
from ganatomy.data.samples import read_samples
from ganatomy.modalities.chest_ct import ChestCT
from ganatomy.modalities.facts import FactSource
from ganatomy.phantoms.cohort import write_cohort
from ganatomy.sampling import regenerate_image, sample

COLUMNS = {"emphysema": "emphysema", "lung_ml": "lung_ml"}
SIZE = (32, 32, 32)


@pytest.fixture(scope="module")
def labelled(thoraces, tmp_path_factory):
    """The store of the phantom thoraces with lung volumes; one of them has none."""
    folder = tmp_path_factory.mktemp("numbers")
    rows = (thoraces / "truth.csv").read_text().splitlines()
    place = rows[0].split(",").index("lung_ml")
    cells = rows[1].split(",")
    cells[place] = "NaN"
    (folder / "truth.csv").write_text("\n".join([rows[0], ",".join(cells), *rows[2:]]))
    return prepare(thoraces, ChestCT(FactSource(folder / "truth.csv", COLUMNS), SIZE), folder / "store", workers=1)


@pytest.fixture(scope="module")
def conditioned(labelled, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    line = f"train hagan {labelled.path} --tiny --condition emphysema --condition lung_ml --set total_kimg=0.02"
    assert main([*line.split(), "--out", str(out)]) == 0
    return out / "00000-hagan"


def test_a_missing_number_is_left_out_and_counted(labelled):
    assert labelled.manifest.cases == 15
    assert labelled.manifest.quarantined == {"no label": 1}
    assert list_number_facts(labelled.manifest.facts) == {"lung_ml"}


def test_the_recipe_has_the_scale_of_the_training_cases_and_no_snapshot_their_values(conditioned, labelled):
    recipe = json.loads((conditioned / "recipe.json").read_text())
    values = [float(case["facts"]["lung_ml"]) for case in labelled.split("train")]
    assert recipe["numbers"]["lung_ml"]["low"] == min(values)
    assert recipe["numbers"]["lung_ml"]["mean"] == pytest.approx(sum(values) / len(values))
    assert set(recipe["conditions"]) == {"emphysema"}
    told = json.loads((find_snapshot(conditioned) / "meta.json").read_text())["trained_on"]
    assert told["numbers"] == ["lung_ml"]
    assert set(told["facts"]) == {"emphysema"}


def test_samples_are_asked_for_and_made_again(conditioned, labelled, tmp_path, capsys):
    snapshot = open_snapshot(find_snapshot(conditioned))
    low, high = (getattr(snapshot.recipe.numbers["lung_ml"], end) for end in ("low", "high"))
    image, record = next(sample(snapshot, 1, 5))
    assert low <= float(record["lung_ml"]) <= high
    assert (regenerate_image(snapshot, record).pixels == image.pixels).all()
    other, _ = next(sample(snapshot, 1, 5, {**{k: record[k] for k in ("emphysema",)}, "lung_ml": str(high)}))
    assert (other.pixels != image.pixels).any()
    line = f"sample {conditioned} --n 3 --condition lung_ml={high}..{high + 500} --out {tmp_path / 'x'}"
    assert main(line.split()) == 0
    assert f"the model was trained on {low:g} to {high:g}" in capsys.readouterr().out
    rows, _ = read_samples(tmp_path / "x")
    assert all(high <= float(row["facts"]["lung_ml"]) <= high + 500 for row in rows)


@pytest.mark.ci
def test_runs_and_samples_are_evaluated(conditioned, labelled, tmp_path):
    """Images are paired by their classes, and a run is asked for the numbers of the held-out images."""
    write_cohort("chest_ct", tmp_path / "raw", 6, seed=1, shape=SIZE, workers=1)
    facts = FactSource(tmp_path / "raw" / "truth.csv", COLUMNS)
    held_out = prepare(tmp_path / "raw", ChestCT(facts, SIZE), tmp_path / "store", workers=1)
    assert main(f"sample {conditioned} --n 24 --out {tmp_path / 'samples'}".split()) == 0
    for images in (conditioned, tmp_path / "samples"):
        out = tmp_path / f"report-{images.name}"
        line = f"evaluate {images} {labelled.path} --held-out {held_out.path} --out {out}"
        assert main(line.split()) == 0
        report = json.loads((out / "report.json").read_text())
        assert set(report["label_consistency"]) <= {"emphysema"}
        assert not list(out.glob("random_[0-9]*"))


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("emphysema:number", "--condition emphysema:number: 'mild' is not a number"),
        ("lung_ml:class", "no training case has lung_ml"),
        ("lung_ml:size", "a fact is a number or a class; give lung_ml:number or lung_ml:class"),
        ("lung", "the facts of the store are emphysema, lung_ml"),
    ],
)
def test_mistakes(condition, words, labelled, tmp_path, capsys):
    line = f"train hagan {labelled.path} --tiny --condition {condition} --out {tmp_path / 'x'}"
    assert main(line.split()) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
