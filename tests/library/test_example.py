"""The example model: what is shipped is whole, small and of phantoms, and `sample` without a run uses it."""

import json
import zipfile

import pytest

import ganatomy
from ganatomy.cli import main
from ganatomy.errors import Refused
from ganatomy.library import example
from ganatomy.machine.sealed_zip import check_sealed_zip


def test_the_shipped_bundle_is_whole_small_and_of_phantoms():
    path = ganatomy.get_example_model()
    check_sealed_zip(path, "bundle")
    assert path.stat().st_size < 6e6
    card = json.loads((zipfile.Path(path) / "card.json").read_text())
    assert card["licence"] == {"weights": "Apache-2.0", "training_data": "phantoms drawn by this package, Apache-2.0"}
    assert card["audit"]["passed"]


def test_sample_without_a_run_draws_from_it_and_is_verified(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sample", "--n", "3"]) == 0
    samples = ganatomy.open("samples")
    model = ganatomy.open(ganatomy.get_example_model())
    assert [one.facts["view_position"] for one in samples] == [one.facts["view_position"] for one in model.sample(3)]
    for written, drawn in zip(samples, model.sample(3), strict=True):
        assert written.pixels == pytest.approx(drawn.pixels, abs=1e-4)  # 16 bits
        assert 0.1 < (drawn.pixels > -0.9).mean() < 0.9  # a breast, and air beside it
    findings = ganatomy.verify("samples", snapshot=model.snapshot)
    assert all(finding.is_sound for finding in findings)


def test_an_installation_without_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(example, "EXAMPLE_FILE", tmp_path / "phantom-mammograms.zip")
    with pytest.raises(Refused, match="not part of this installation; give a run"):
        example.get_example_model()
