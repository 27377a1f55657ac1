"""Walks along a direction: found where there is one, measured again, told with monotony and leakage."""

import json

import numpy as np
import pytest
import torch

from ganatomy import exploration
from ganatomy.checkpoint import open_snapshot
from ganatomy.cli import main
from ganatomy.exploration import explore
from ganatomy.image import Image
from ganatomy.refused import Refused


@pytest.fixture(scope="module")
def snapshot(hagan):
    return open_snapshot(hagan.snapshots()[-1])


@pytest.fixture
def known(monkeypatch):
    """A generator of thoraces whose tissue is brighter by the first number of the code and wider by the second."""

    def decoded(snapshot, codes, facts, device=None):
        _, y, x = np.indices((16, 16, 16))
        for code in codes.numpy():
            radius = 5 + code[1]
            inside = (y - 8) ** 2 + (x - 8) ** 2 < radius**2
            yield Image(np.where(inside, 0.7 + 0.08 * code[0], -1).astype(np.float32), (5.0, 5.0, 5.0))

    monkeypatch.setattr(exploration, "decoded", decoded)


def test_a_known_direction_is_found_and_the_walk_grows_on_every_step(snapshot, known, tmp_path):
    told = explore(snapshot, "body_volume", tmp_path / "out", n=80, walks=2, steps=5)
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
    told = explore(snapshot, "body volume", tmp_path / "out", n=80, walks=2, steps=5)
    assert abs(told["leakage"].get("bone density (HU)", 0)) < 0.3  # brightness, which the first number alone decides
    told = explore(snapshot, "bone density", tmp_path / "bone", n=80, walks=2, steps=5)
    assert np.abs(np.load(tmp_path / "bone" / "direction.npy")).argmax() == 0


def test_a_walk_sets_the_component_and_keeps_all_else():
    z, direction = torch.randn(8), np.zeros(8)
    direction[3] = 1
    moved = exploration._moved(z, direction, 2.5)
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
        ({"attribute": "b"}, "give the beginning of one"),
        ({"n": 3}, "give at least 20"),
        ({"steps": 1}, "give at least 20, 1 and 2"),
        ({"condition": {"age": "3"}}, "not conditioned on 'age'"),
    ],
)
def test_mistakes_are_named_and_leave_nothing(snapshot, options, words, tmp_path):
    given = {"attribute": "body volume", "n": 20, "walks": 1, "steps": 2} | options
    with pytest.raises(Refused, match=words):
        explore(snapshot, out=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()
