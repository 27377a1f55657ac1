"""Walks along a direction: found where there is one, measured again, told with monotony and leakage."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ganatomy.checkpoint import open_snapshot
from ganatomy.cli import main
from ganatomy.directions import move_code
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image
from ganatomy.studies import explore as exploration
from ganatomy.studies.explore import explore_attribute


@pytest.fixture(scope="module")
def snapshot(hagan):
    return open_snapshot(hagan.list_snapshots()[-1])


@pytest.fixture
def known(monkeypatch):
    """A generator of thoraces whose tissue is brighter by the first number of the code and wider by the second."""

    def decoded(snapshot, codes, facts, device=None):
        _, y, x = np.indices((16, 16, 16))
        for code in codes.numpy():
            radius = 5 + code[1]
            inside = (y - 8) ** 2 + (x - 8) ** 2 < radius**2
            yield Image(np.where(inside, 0.7 + 0.08 * code[0], -1).astype(np.float32), (5.0, 5.0, 5.0))

    monkeypatch.setattr(exploration, "decode_codes", decoded)


def test_a_known_direction_is_found_and_the_walk_grows_on_every_step(snapshot, known, tmp_path):
    told = explore_attribute(snapshot, "body_volume", tmp_path / "out", n=80, walks=2, steps=5)
    direction = np.load(tmp_path / "out" / "direction.npy")
    assert told["attribute"] == "body volume (ml)"
    assert direction[1] > 0.95
    assert np.linalg.norm(direction) == pytest.approx(1, abs=1e-5)
    assert told["r2_of_the_direction"] > 0.8
    assert told["monotony"] == 1
    assert told["change_in_deviations"] > 4
    assert np.diff(told["values"]).min() > 0
    assert told == json.loads((tmp_path / "out" / "exploration.json").read_text())
    assert (tmp_path / "out" / "exploration.png").stat().st_size > 1000


def test_leakage_is_the_change_of_another_measure(snapshot, known, tmp_path):
    told = explore_attribute(snapshot, "body volume", tmp_path / "out", n=80, walks=2, steps=5)
    assert abs(told["leakage"].get("bone density (HU)", 0)) < 0.3  # brightness, which the first number alone decides
    told = explore_attribute(snapshot, "bone density", tmp_path / "bone", n=80, walks=2, steps=5)
    assert np.abs(np.load(tmp_path / "bone" / "direction.npy")).argmax() == 0


def test_a_walk_sets_the_component_and_keeps_all_else():
    z, direction = torch.randn(8), np.zeros(8)
    direction[3] = 1
    moved = move_code(z, direction, 2.5)
    assert moved[3] == 2.5
    keep = [0, 1, 2, 4, 5, 6, 7]
    assert torch.equal(moved[keep], z[keep])


def test_the_command_walks_through_a_real_model(hagan, tmp_path, capsys):
    line = f"explore {hagan.path} --attribute body_volume --n 24 --walks 2 --steps 3 --out {tmp_path / 'out'}"
    assert main([*line.split(), "--dry-run"]) == 0
    assert not (tmp_path / "out").exists()
    assert main(line.split()) == 0
    assert "R2 of the direction" in capsys.readouterr().out
    first = (tmp_path / "out" / "exploration.json").read_text()
    assert main(line.replace("/out", "/again").split()) == 0
    assert (tmp_path / "again" / "exploration.json").read_text() == first


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attribute": "weight"}, "this modality measures lung volume"),
        ({"attribute": "b"}, "give one of these"),
        ({"n": 3}, "give at least 20"),
        ({"steps": 1}, "give at least 20, 1 and 2"),
        ({"condition": {"age": "3"}}, "not conditioned on 'age'"),
    ],
)
def test_mistakes_are_named_and_leave_nothing(snapshot, options, words, tmp_path):
    given = {"attribute": "body volume", "n": 20, "walks": 1, "steps": 2} | options
    with pytest.raises(Refused, match=words):
        explore_attribute(snapshot, out=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_components_are_directions_that_nobody_named(snapshot, known, tmp_path):
    told = explore_attribute(snapshot, "component_1", tmp_path / "out", n=80, walks=2, steps=5)
    direction = np.load(tmp_path / "out" / "direction.npy")
    assert told["attribute"] == "component 1"
    assert (direction[:2] ** 2).sum() > 0.95  # the other numbers change nothing
    assert told["monotony"] == 1
    assert told["r2_of_the_direction"] > 0.8


class Reads:
    """An encoder for images that hold their code in a corner."""

    def __init__(self, snapshot, device=None):
        pass

    def encode(self, pixels, facts):
        return 10 * pixels[0, 0, :].astype(np.float32)


@pytest.fixture
def tables(tmp_path):
    """Codes of 60 images of 30 patients, and a lung function that their fourth number decides."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(60, 16))
    files = [f"{i}.nii" for i in range(60)]
    names = {"file": files, "patient": [str(i // 2) for i in range(60)]}
    pq.write_table(pa.table(names | {f"z{i:04d}": codes[:, i] for i in range(16)}), tmp_path / "features.parquet")
    rows = [f"{file},{2 + 0.5 * z[3] + 0.05 * rng.normal():.4f},words" for file, z in zip(files, codes, strict=True)]
    (tmp_path / "table.csv").write_text("\n".join(["file,fev1,smoker", *rows]))
    return exploration.TableColumn(tmp_path / "features.parquet", tmp_path / "table.csv")


def test_a_column_of_a_table_is_learnt_on_codes_and_told_of_images_on_the_way(snapshot, tables, monkeypatch, tmp_path):
    def decoded(snapshot, codes, facts, device=None):
        for code in codes.numpy():
            pixels = np.full((16, 16, 16), -1, np.float32)
            pixels[0, 0] = code / 10
            pixels[4:12, 4:12, 4:12] = 0.5
            yield Image(pixels, (5.0, 5.0, 5.0))

    monkeypatch.setattr(exploration, "decode_codes", decoded)
    monkeypatch.setattr(exploration, "Autoencoder", Reads)
    told = explore_attribute(snapshot, "fev1", tmp_path / "out", n=20, walks=2, steps=4, column=tables)
    direction = np.load(tmp_path / "out" / "direction.npy")
    assert direction[3] > 0.98
    assert told["r2_of_the_direction"] > 0.9
    assert told["monotony"] == 1
    assert np.ptp(told["values"][0]) == pytest.approx(6 * 0.5, rel=0.1)  # six deviations along the direction
    with pytest.raises(Refused, match="has no column weight"):
        explore_attribute(snapshot, "weight", tmp_path / "no", column=tables)
    with pytest.raises(Refused, match=r"0 of 60 images have a value of smoker"):
        explore_attribute(snapshot, "smoker", tmp_path / "no", column=tables)


def test_a_column_needs_an_encoder_and_codes_of_its_own(snapshot, tables, hagan, tmp_path, capsys):
    with pytest.raises(Refused, match="has no encoder"):
        explore_attribute(snapshot, "fev1", tmp_path / "no", column=tables)
    assert main(["explore", str(hagan.path), "--attribute", "fev1", "--table", str(tables.table)]) == 2
    assert "both --features and --table" in capsys.readouterr().err
