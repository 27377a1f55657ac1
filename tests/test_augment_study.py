"""Augmentation studies: the classifier learns, pairs are paired, an interrupted study goes on, wrong input is named."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from ganatomy.cli import main
from ganatomy.data.store import dequantise_pixels
from ganatomy.errors import Refused
from ganatomy.evaluation.statistics import compute_mean_auc
from ganatomy.exporting.export import write_samples
from ganatomy.imaging.image import Image
from ganatomy.machine.durable import read_lines, write_lines
from ganatomy.studies import augment as augment_study
from ganatomy.studies import classifying
from ganatomy.studies.study_task import StudyImages

CPU = torch.device("cpu")
LINE = "--share 0.5 --share 1 --seeds 2 --steps 4 --shape 16,16,16"


@pytest.fixture(scope="module")
def samples(volumes, tmp_path_factory):
    """The training images, said to be synthetic ones of the classes that they have."""
    folder = tmp_path_factory.mktemp("made") / "samples"
    rows = volumes.split("train")
    images = dequantise_pixels(volumes.read([case["row"] for case in rows], (32, 32, 32)))
    made = (
        (Image(x, None, case["facts"]), {"seed": 0, "index": i, **case["facts"]})
        for i, (x, case) in enumerate(zip(images, rows, strict=True))
    )
    write_samples(made, len(rows), "chest_ct", folder, "npy")
    return folder


def test_the_classifier_learns_and_does_so_again():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = rng.normal(scale=0.1, size=(60, 16, 16, 16)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 4] += 0.5
    networks = [classifying.train_classifier(images[:45], labels[:45], 3, 40, 0, CPU) for _ in range(2)]
    told = [classifying.predict_probabilities(network, images[45:], CPU) for network in networks]
    assert (told[0] == told[1]).all()
    assert told[0].sum(1) == pytest.approx(1)
    assert classifying.compute_accuracy(told[0], labels[45:]) > 0.9
    assert compute_mean_auc(told[0], labels[45:], range(3)) > 0.95


def test_accuracy_and_area_by_hand():
    told = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.7, 0.3]])
    labels = np.array([0, 0, 1, 1])
    assert classifying.compute_accuracy(told, labels) == 0.75
    assert compute_mean_auc(told, labels, range(2)) == 0.75  # 3 of 4 pairs are in order
    assert np.isnan(compute_mean_auc(told, np.zeros(4, int), range(2)))


def test_a_study_goes_on_where_it_was(volumes, samples, tmp_path, capsys):
    line = f"augment-study {volumes.path} --target emphysema --samples copies={samples} {LINE} --out"
    assert main([*line.split(), str(tmp_path / "whole")]) == 0
    assert "real + copies: accuracy" in capsys.readouterr().out
    cells = read_lines(tmp_path / "whole" / "cells.jsonl")
    assert len(cells) == 2 * (2 * 3 + 1)
    content = json.loads((tmp_path / "whole" / "study.json").read_text())
    assert content["training_images"] == content["synthetic_images"]["copies"] == len(volumes.split("train"))
    table = (tmp_path / "whole" / "study.md").read_text()
    assert table.count("\n| real") == 6
    assert "| copies | none |" in table
    assert (tmp_path / "whole" / "study.png").stat().st_size > 1000

    assert main([*line.split(), str(tmp_path / "parts")]) == 0
    write_lines(tmp_path / "parts" / "cells.jsonl", cells[:5])
    (tmp_path / "parts" / "study.json").unlink()
    assert main([*line.split(), str(tmp_path / "parts")]) == 0
    assert read_lines(tmp_path / "parts" / "cells.jsonl") == cells
    assert json.loads((tmp_path / "parts" / "study.json").read_text()) == content


def test_a_test_set_of_one_class_is_a_sentence(volumes, tmp_path):
    one = volumes.cases[0]["facts"]["emphysema"]
    same = [case for case in volumes.split("train") if case["facts"]["emphysema"] == one]
    with pytest.raises(Refused, match=rf"of emphysema {one}, and the area under the curve needs two classes"):
        augment_study.run_augment_study(
            volumes, {}, "emphysema", tmp_path / "out", replace(volumes, cases=same), shape=(16, 16, 16)
        )


def _cell(name, share, seed, value):
    return {"trained_on": name, "share": share, "seed": seed, "accuracy": value, "auc": value / 2}


def test_gains_are_of_the_same_seed_and_share():
    plan = augment_study.StudyPlan(
        store="",
        held_out=None,
        samples={"a": ""},
        target="t",
        classes=("x", "y"),
        shares=(0.5, 1.0),
        seeds=(0, 1),
        steps=1,
        shape=(8, 8),
    )
    real = {(0.5, 0): 0.5, (0.5, 1): 0.7, (1.0, 0): 0.8, (1.0, 1): 0.6}
    cells = [_cell("real", *key, value) for key, value in real.items()]
    cells += [_cell("real + a", share, seed, value + 0.1 + 0.02 * seed) for (share, seed), value in real.items()]
    cells += [_cell("a", 0.0, 0, 0.4), _cell("a", 0.0, 1, 0.4)]
    rows = {
        (row["trained_on"], row["share"]): row
        for row in augment_study._summarise_cells(plan, ["accuracy", "auc"], cells)
    }
    reach = 12.7062 * 0.01 * np.sqrt(2) / np.sqrt(2)  # of two differences 0.02 apart
    gain = rows["real + a", 0.5]["accuracy_gain"]
    assert gain["value"] == pytest.approx(0.11)
    assert (gain["low"], gain["high"]) == (pytest.approx(0.11 - reach, abs=1e-4), pytest.approx(0.11 + reach, abs=1e-4))
    assert rows["real", 1.0]["accuracy"] == pytest.approx(0.7)
    assert rows["real", 1.0]["accuracy_gain"] is None
    assert rows["a", 0.0]["accuracy_gain"]["value"] == pytest.approx(-0.3)  # over all real images
    assert augment_study.compute_gain(np.array([[0.2]]))["low"] is None


def test_a_smaller_share_is_a_part_of_a_larger_one_and_patients_stay_together():
    patients = [f"p{i // 2}" for i in range(40)]
    every = StudyImages(np.arange(40, dtype=np.float32), np.zeros(40, int), patients)
    parts = {share: augment_study._take_share(every, share, seed=3) for share in (0.1, 0.5, 1.0)}
    assert [len(set(part.patients)) for part in parts.values()] == [2, 10, 20]
    assert set(parts[0.1].images) < set(parts[0.5].images) < set(parts[1.0].images)
    assert all(len(part.images) == 2 * len(set(part.patients)) for part in parts.values())
    assert set(augment_study._take_share(every, 0.1, seed=4).images) != set(parts[0.1].images)


def test_jittered_copies_keep_labels_and_change_images():
    rng = np.random.default_rng(0)
    real = StudyImages(rng.uniform(-1, 1, (3, 8, 8)).astype(np.float32), np.array([0, 1, 2]), ["a", "b", "c"])
    copies = classifying.make_jittered_copies(real, 5, seed=0)
    assert copies.targets.tolist() == [0, 1, 2, 0, 1]
    assert all(0.001 < np.abs(copies.images[i] - real.images[i % 3]).mean() < 0.5 for i in range(5))
    assert (copies.images[0] != copies.images[3]).any()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{store} --target fev1", "has no such fact; its facts are emphysema"),
        ("{store} --target emphysema --share 1.5", "above 0 and at most 1"),
        ("{store} --target emphysema --shape 24,24,24", "the sizes of the store are"),
        ("{store} --target emphysema --samples a={unlabelled}", "says emphysema=None"),
        ("{store} --target emphysema --samples a={samples} --out {other}", "is neither empty nor a study"),
        ("{store} --target emphysema --seeds 0", "above zero"),
    ],
)
def test_wrong_studies_are_refused(line, words, volumes, samples, tmp_path, capsys):
    unlabelled, other = tmp_path / "unlabelled", tmp_path / "other"
    made = [(Image(np.random.default_rng(0).uniform(-1, 1, (32, 32, 32)).astype(np.float32)), {"seed": 0, "index": 0})]
    write_samples(iter(made), 1, "chest_ct", unlabelled, "npy")
    other.mkdir()
    (other / "mine.txt").write_text("")
    given = line.format(store=volumes.path, samples=samples, unlabelled=unlabelled, other=other)
    out = [] if "--out" in line else ["--out", str(tmp_path / "out")]
    assert main(["augment-study", *given.split(), *out]) == 2
    assert words in capsys.readouterr().err


def test_a_study_of_others_is_refused(volumes, samples, tmp_path, capsys):
    line = ["augment-study", str(volumes.path), "--target", "emphysema", *LINE.split(), "--out", str(tmp_path / "out")]
    assert main([*line, "--share", "1"]) == 0
    assert main([*line, "--samples", f"copies={samples}"]) == 2
    assert "holds a study with another samples, shares" in capsys.readouterr().err
