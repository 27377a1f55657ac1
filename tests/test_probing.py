"""`probe` finds what is in features, and nothing in features that hold nothing."""

import csv
import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from ganatomy.cli import main
from ganatomy.errors import Refused
from ganatomy.studies.probe import probe_features

N, WIDTH = 120, 40


def _tables(folder, patients=N, noise=0.5, repeats=1, seed=0):
    """Features whose first numbers hold a measurement, and a table with it, its exponential, a class, and noise."""
    rng = np.random.default_rng(seed)
    person = np.arange(patients * repeats) // repeats
    truth = rng.normal(size=patients)[person]
    codes = rng.normal(size=(len(person), WIDTH))
    codes[:, 0] = truth + noise * rng.normal(size=len(person))
    table = {"file": [f"{i}.nii.gz" for i in range(len(person))], "patient": [f"p{p}" for p in person]}
    table |= {f"z{i:04d}": codes[:, i] for i in range(WIDTH)}
    parquet.write_table(pa.table(table), folder / "good.parquet")
    blind = dict(table) | {f"z{i:04d}": rng.normal(size=len(person)) for i in range(WIDTH)}
    arrow_csv.write_csv(pa.table(blind), folder / "blind.csv")
    with (folder / "measured.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "value", "positive", "grade", "nothing", "empty"])
        for i, t in enumerate(truth):
            grade = "high" if t > 0.5 else "low" if t < -0.5 else "middle"
            writer.writerow([f"{i}.nii.gz", t, np.exp(t), grade, rng.normal(), ""])
    return folder / "good.parquet", folder / "blind.csv", folder / "measured.csv"


def test_r2_is_that_of_the_noise_and_a_blind_table_knows_nothing(tmp_path):
    good, blind, table = _tables(tmp_path, 400)
    known, log, unknown, nothing = (
        probe_features({"x": path}, table, [target])[0]
        for path, target in ((good, "value"), (good, "log:positive"), (blind, "value"), (good, "nothing"))
    )
    assert known.metric == "R2"
    assert known.value == pytest.approx(1 / (1 + 0.5**2), abs=0.06)  # the share of variance that the noise leaves
    assert known.low < known.value < known.high
    assert known.p == pytest.approx(1 / 201, abs=1e-4)
    assert log.value == pytest.approx(known.value, abs=1e-3)
    for none in (unknown, nothing):
        assert none.value < 0.05
        assert none.p > 0.05
        assert none.null < 0.1


def test_a_class_has_an_auc(tmp_path):
    good, blind, table = _tables(tmp_path)
    known, unknown = (
        probe_features({"good": good}, table, ["grade"])[0],
        probe_features({"blind": blind}, table, ["grade"])[0],
    )
    assert known.metric == "AUC"
    assert known.value > 0.7 > unknown.value  # the middle of three is not told by a line
    assert known.p < 0.05 < unknown.p
    assert 0.5 < known.null < 0.75


def test_images_of_one_patient_are_never_on_both_sides(tmp_path):
    """Codes that name the patient and say nothing of the measurement: with patients divided they would look good."""
    rng = np.random.default_rng(0)
    person = np.arange(200) // 5
    table = {"file": [str(i) for i in range(200)], "patient": [f"p{p}" for p in person]}
    names = rng.normal(size=(40, WIDTH))
    table |= {f"z{i:04d}": names[person, i] for i in range(WIDTH)}
    parquet.write_table(pa.table(table), tmp_path / "f.parquet")
    values = rng.normal(size=40)
    (tmp_path / "t.csv").write_text("file,value\n" + "".join(f"{i},{values[p]}\n" for i, p in enumerate(person)))
    (found,) = probe_features({"f": tmp_path / "f.parquet"}, tmp_path / "t.csv", ["value"])
    assert (found.images, found.patients) == (200, 40)
    assert found.value < 0.2


def test_the_command_compares_tables_and_writes_json(tmp_path, capsys):
    good, blind, table = _tables(tmp_path)
    line = f"probe {good} {table} --target value --target grade --beside blind={blind} --out {tmp_path / 'r.json'}"
    assert main(line.split()) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in told] == ["good", "good", "blind", "blind"]
    rows = json.loads((tmp_path / "r.json").read_text())
    assert [(row["features"], row["metric"]) for row in rows] == [
        ("good", "R2"),
        ("good", "AUC"),
        ("blind", "R2"),
        ("blind", "AUC"),
    ]
    again = probe_features({"good": good}, table, ["value"])[0]
    assert again.model_dump() == rows[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"targets": ["weight"]}, "has no column weight; its columns are file, value"),
        ({"targets": ["log:value"]}, "without a logarithm"),
        ({"targets": ["empty"]}, "0 patients have both"),
        ({"key": "name"}, "has no column name|no latent code, name"),
        ({"features": "measured.csv"}, "has no latent code"),
        ({"features": "none.parquet"}, "cannot be read"),
        ({"table": "none.csv"}, "cannot be read as CSV"),
    ],
)
def test_mistakes_are_named(options, words, tmp_path):
    good, _, table = _tables(tmp_path)
    path = tmp_path / options.get("features", good.name)
    with pytest.raises(Refused, match=words):
        probe_features(
            {"x": path},
            tmp_path / options.get("table", table.name),
            options.get("targets", ["value"]),
            key=options.get("key", "file"),
        )


def test_few_labels_tell_more_when_there_are_more(tmp_path, capsys):
    good, blind, table = _tables(tmp_path, 200, repeats=2)
    found = probe_features({"good": good}, table, ["value", "grade"], few=(10, 100))
    numbers, grades = found[:3], found[3:]
    assert [one.labelled for one in numbers[1:]] == [10, 100]
    assert numbers[1].value < numbers[2].value < numbers[0].value + 0.02
    assert numbers[2].value == pytest.approx(0.8, abs=0.12)
    assert [one.metric for one in grades] == ["AUC"] * 3
    assert 0.4 < grades[1].value < grades[2].value
    unknown = probe_features({"blind": blind}, table, ["value"], few=(100,))[1]
    assert unknown.low < 0.02
    assert unknown.value < 0.05
    assert main(["probe", str(good), str(table), "--target", "value", "--few", "10"]) == 0
    assert "R2 of value from 10 labelled patients" in capsys.readouterr().out
    with pytest.raises(Refused, match="give 4 to 196 of 200 patients"):
        probe_features({"good": good}, table, ["value"], few=(198,))
