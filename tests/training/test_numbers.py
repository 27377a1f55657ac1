"""A model conditioned on a number through the whole line: prepared, trained, asked, evaluated, refused."""

import json
import statistics
import zipfile

import pytest

from ganatomy.checkpoint import find_snapshot, open_snapshot, save_weights
from ganatomy.cli import main
from ganatomy.data.numbers import list_number_facts
from ganatomy.data.prepare import prepare
from ganatomy.data.samples import read_samples
from ganatomy.exporting.publish import publish
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
    scale, deviation = recipe["numbers"]["lung_ml"], statistics.pstdev(values)
    assert scale["low"] + deviation < scale["mean"] < scale["high"] - deviation
    assert not {scale["low"], scale["high"], scale["mean"]} & set(values)
    assert scale["mean"] == pytest.approx(statistics.fmean(values), abs=deviation / 10)
    assert scale["deviation"] == pytest.approx(deviation, rel=0.05)
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
    assert (
        f"the model was trained on {low:g} to {high:g}; images with such values are extrapolated"
        in capsys.readouterr().out
    )
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
    ("line", "words"),
    [
        ("transfer {run} {store} --to lung_ml=3000", "is a number, and images are transferred between classes only"),
        ("augment-study {store} --target lung_ml", "it is a number with 15 values, and the study tells classes apart"),
    ],
)
def test_studies_of_classes_refuse_a_number(line, words, conditioned, labelled, tmp_path, capsys):
    arguments = line.format(run=conditioned, store=labelled.path).split()
    assert main([*arguments, "--out", str(tmp_path / "x")]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_a_bundle_hands_on_no_number_of_a_person(conditioned, labelled, tmp_path):
    """Nor does one of a recipe with the least and greatest value, or of a training set with a number of few values."""
    snapshot = open_snapshot(find_snapshot(conditioned), None)
    values = sorted(float(case["facts"]["lung_ml"]) for case in labelled.split("train"))
    scale = snapshot.recipe.numbers["lung_ml"].replace(low=values[0], high=values[-1], coarse=False)
    counts = {f"{value:g}": 1 for value in values}
    trained_on = snapshot.trained_on | {
        "facts": {"emphysema": {"none": 9}, "lung_ml": dict(list(counts.items())[:9]), "age": counts | {"unknown": 1}},
        "numbers": [],
    }
    about = {"images": 20, "seed": 0, "modality": "chest_ct", "spacing": snapshot.spacing, "trained_on": trained_on}
    recipe = snapshot.recipe.replace(numbers={"lung_ml": scale})
    save_weights(tmp_path / "exact", snapshot.weights, recipe, about)
    for number, source in enumerate((conditioned, tmp_path / "exact")):
        bundle = publish(source, tmp_path / f"{number}.zip", unaudited=True)
        with zipfile.ZipFile(bundle) as archive:
            texts = [archive.read(name).decode() for name in archive.namelist() if name.endswith((".json", ".md"))]
            card = json.loads(archive.read("card.json"))
        assert not [value for value in counts for text in texts if value in text]
        assert card["training"]["data"]["numbers"] == ["lung_ml"]
        assert card["training"]["data"]["many_valued"] == (["age"] if number else [])
        assert "- lung_ml: a number, about " in "".join(texts)
        model = open_snapshot(find_snapshot(bundle))
        drawn = [float(record["lung_ml"]) for _, record in sample(model, 3)]
        handed_on = model.recipe.numbers["lung_ml"]
        assert all(handed_on.low <= value <= handed_on.high for value in drawn)
        assert (handed_on.mean, handed_on.deviation) == (scale.mean, scale.deviation)
    again = publish(bundle, tmp_path / "again.zip", unaudited=True)
    assert again.read_bytes() == bundle.read_bytes()


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("emphysema=5", "emphysema cannot be '5'; the model accepts mild, none, severe."),
        ("lung_ml=severe", "lung_ml cannot be 'severe'; it is a number: give one, such as 63.5, or a range"),
        ("lung_ml=NaN", "lung_ml cannot be 'NaN'; it is a number"),
        ("lung_ml=4000..3000", "the range ends below its beginning"),
    ],
)
def test_samples_of_a_class_where_a_number_is_wanted_and_the_reverse(condition, words, conditioned, tmp_path, capsys):
    assert main(f"sample {conditioned} --n 1 --condition {condition} --out {tmp_path / 'x'}".split()) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("emphysema:number", "--condition emphysema:number: 'mild' is not a number"),
        ("lung_ml:class", "and prepare again, or take it as a number: --condition lung_ml:number."),
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
