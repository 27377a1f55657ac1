"""Augmentation studies of pairs: U-Nets learn label maps, and controls keep images and label maps together."""

import json
from typing import get_args

import numpy as np
import pytest
import torch
from label_maps import prepare_chests, write_breasts

import ganatomy
from ganatomy.channels import split_arrays
from ganatomy.cli import main
from ganatomy.data.store import dequantise_pixels
from ganatomy.errors import Refused
from ganatomy.evaluation.label_measures import compute_dice
from ganatomy.exporting.export import write_samples
from ganatomy.imaging.image import Image
from ganatomy.machine.choices import StudyTaskName
from ganatomy.machine.durable import read_lines, write_lines
from ganatomy.studies import segmenting
from ganatomy.studies.augment import TASKS, compute_gain
from ganatomy.studies.strong_augmentation import augment_strongly
from ganatomy.studies.study_task import StudyImages

CPU = torch.device("cpu")
NAMES = ("background", "body", "lesion")
LINE = "--task segmentation --share 0.5 --share 1 --seeds 2 --steps 6"


@pytest.fixture(scope="module")
def chests(tmp_path_factory):
    return prepare_chests(tmp_path_factory.mktemp("chests"), 12)


@pytest.fixture(scope="module")
def pairs(chests, tmp_path_factory):
    """The training pairs, said to be synthetic."""
    folder = tmp_path_factory.mktemp("made") / "samples"
    rows = [case["row"] for case in chests.split("train")]

    def make():
        for i, row in enumerate(rows):
            values = dequantise_pixels(chests.read_arrays(row, (16, 16, 16)))
            pixels, shares = split_arrays(values, chests.manifest.channels)
            yield Image(pixels, shares=shares, classes=NAMES), {"seed": 0, "index": i}

    write_samples(make(), len(rows), "chest_ct", folder, "npy")
    return folder


def _draw_squares(n, shape, rng):
    """Bright squares, or cubes, in noise, with their label maps."""
    images = rng.normal(-0.5, 0.1, (n, *shape)).astype(np.float32)
    labels = np.zeros((n, *shape), np.int64)
    for image, label in zip(images, labels, strict=True):
        start = rng.integers(1, shape[0] // 2, len(shape))
        part = tuple(slice(s, s + shape[0] // 3) for s in start)
        image[part] += 1
        label[part] = 1
    return StudyImages(images.clip(-1, 1), labels, [f"p{i}" for i in range(n)])


@pytest.mark.parametrize("shape", [(24, 16), (16, 16, 16)])
def test_a_segmenter_learns_and_does_so_again(shape):
    rng = np.random.default_rng(0)
    training, tested = _draw_squares(24, shape, rng), _draw_squares(6, shape, rng)
    networks = [segmenting.train_segmenter(training, 2, 100, 0, CPU) for _ in range(2)]
    with torch.inference_mode():
        told = [network(torch.from_numpy(tested.images)[:, None]) for network in networks]
    assert torch.equal(*told)
    drawn = told[0].argmax(1).numpy() == 1
    assert min(segmenting.measure_patients(drawn, tested.targets == 1, tested.patients)) > 0.8


def test_the_loss_is_that_of_its_formula():
    told, labels = torch.zeros(1, 2, 2, 2), torch.tensor([[[1, 0], [0, 0]]])  # both classes have a half everywhere
    dice = (2 * 0.5 + 1) / (2 + 1 + 1)
    assert segmenting.compute_loss(told, labels).item() == pytest.approx(np.log(2) + 1 - dice)


def test_dice_of_patients_by_hand():
    true = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]], bool)
    drawn = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]], bool)
    assert segmenting.measure_patients(drawn, true, ["b", "b", "a"]) == [0.0, round((2 / 3 + 1) / 2, 5)]


@pytest.mark.parametrize("shape", [(48, 40), (24, 24, 20)])
def test_an_image_and_its_label_map_never_come_apart(shape):
    """An asymmetric body in the image is the label map itself, so any difference between the two would show."""
    rng = np.random.default_rng(0)
    labels = np.zeros(shape, np.int64)
    labels[tuple(slice(n // 4, n // 2 + place) for place, n in enumerate(shape))] = 1
    labels[tuple(slice(n // 2, n // 2 + 4) for n in shape)] = 1
    image = (2 * labels - 1).astype(np.float32)
    overlaps, found = [], []
    for _ in range(12):
        changed, numbers = augment_strongly(image, labels, rng)
        assert changed.min() >= -1
        assert changed.max() <= 1
        overlaps.append(compute_dice(changed > 0, numbers == 1))
        found.append(compute_dice(labels, numbers))
    assert min(overlaps) > 0.93
    assert np.mean(found) < 0.85  # it has moved
    assert len(set(found)) == 12


def test_controls_repeat_or_change_the_real_pairs():
    real = _draw_squares(3, (24, 16), np.random.default_rng(0))
    same, strong = segmenting.repeat_images(real, 5, 0), segmenting.make_strong_copies(real, 5, 0)
    assert same.patients == strong.patients == ["p0", "p1", "p2", "p0", "p1"]
    assert (same.images[3] == real.images[0]).all()
    assert (strong.images[3] != strong.images[0]).any()
    assert (segmenting.make_strong_copies(real, 5, 0).images == strong.images).all()
    assert {*np.unique(strong.targets)} == {0, 1}


def test_intervals_hold_seeds_and_patients():
    same = compute_gain(np.full((2, 5), 0.25))
    assert same == {"value": 0.25, "low": 0.25, "high": 0.25}
    rng = np.random.default_rng(0)
    of_patients = rng.normal(0.1, 0.2, (1, 40)).repeat(3, 0)  # seeds agree, patients differ
    found = compute_gain(of_patients)
    deviation = of_patients[0].std() / np.sqrt(40)
    assert found["value"] - found["low"] == pytest.approx(1.96 * deviation, rel=0.15)
    of_seeds = np.array([[0.0], [0.2], [0.4]]).repeat(40, 1)
    assert compute_gain(of_seeds)["low"] < 0.07 < 0.33 < compute_gain(of_seeds)["high"]


def test_a_study_goes_on_where_it_was(chests, pairs, tmp_path, capsys):
    line = f"augment-study {chests.path} --samples made={pairs} {LINE} --out"
    assert main([*line.split(), str(tmp_path / "whole")]) == 0
    assert "real + strong augmentation: mean Dice" in capsys.readouterr().out
    cells = read_lines(tmp_path / "whole" / "cells.jsonl")
    assert len(cells) == 2 * (2 * 4 + 1)
    content = json.loads((tmp_path / "whole" / "study.json").read_text())
    assert all(len(cell["dice lesion"]) == content["tested_patients"] for cell in cells)
    assert content["training_images"] == content["synthetic_images"]["made"] == len(chests.split("train"))
    table = (tmp_path / "whole" / "study.md").read_text()
    assert "body, lesion drawn from images of 16x16x16" in table
    assert "| mean Dice | gain | Dice of body | gain | Dice of lesion | gain |" in table
    (same,) = [row for row in content["rows"] if row["trained_on"] == "made"]
    gain = same["dice_gain"]
    assert gain["low"] <= gain["value"] <= gain["high"]

    assert main([*line.split(), str(tmp_path / "parts")]) == 0
    write_lines(tmp_path / "parts" / "cells.jsonl", cells[:5])
    assert main([*line.split(), str(tmp_path / "parts")]) == 0
    assert read_lines(tmp_path / "parts" / "cells.jsonl") == cells
    assert json.loads((tmp_path / "parts" / "study.json").read_text()) == content


def test_wrong_studies_are_refused(chests, volumes, pairs, tmp_path, capsys):
    write_breasts(tmp_path / "raw", 8)
    labels = {"mass": "{stem}.mask.png"}
    others = ganatomy.prepare(tmp_path / "raw", "mammogram", tmp_path / "store", 0, shape=(40, 32), labels=labels)
    plain = tmp_path / "plain"
    made = [(Image(np.random.default_rng(0).uniform(-1, 1, (16, 16, 16)).astype(np.float32)), {"seed": 0, "index": 0})]
    write_samples(iter(made), 1, "chest_ct", plain, "npy")
    for line, words in (
        (f"{volumes.path} --task segmentation", "has no label maps, which a study of segmentation needs"),
        (f"{chests.path} --task segmentation --target emphysema", "tells the classes of label maps; omit --target"),
        (f"{chests.path}", "needs the fact that classifiers tell: give --target, or --task segmentation"),
        (f"{chests.path} --task segmentation --samples a={plain}", "has no label maps, and the study is of body"),
        (
            f"{others.path} --task segmentation --samples a={pairs}",
            "label maps of body, lesion, and the study is of ma",
        ),
        (f"{chests.path} --task segmentation --samples copies={pairs}", "real + copies is a control of every study"),
        (f"{chests.path} --task drawing", "invalid choice 'drawing'"),
    ):
        assert main(["augment-study", *line.split(), "--out", str(tmp_path / "out")]) == 2
        told = capsys.readouterr().err
        assert words in told
        assert told.count("\n") == 1


def test_the_command_line_knows_every_task():
    assert set(get_args(StudyTaskName)) == set(TASKS)


def test_images_that_cannot_be_halved_are_refused():
    with pytest.raises(Refused, match="7x7 cannot be halved"):
        segmenting.train_segmenter(_draw_squares(2, (7, 7), np.random.default_rng(0)), 2, 1, 0, CPU)
