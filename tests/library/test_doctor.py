"""`doctor`, `--version` and `--json`: what a program or a maintainer asks of an installation."""

import json
from importlib.metadata import version

import pytest

from ganatomy.cli import main
from ganatomy.library import doctor


def test_the_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ganatomy {version('ganatomy')}\n"


def test_a_sound_installation_passes(capsys):
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["outcome"] for one in found} <= {"good", "warning"}
    checks = {one["check"] for one in found}
    assert checks >= {"versions", "packages", "cpu", "DICOM rle", "DICOM jpeg2000", "store", "generator on cpu"}
    assert any("torch " in one["detail"] for one in found if one["check"] == "packages")


def test_what_is_missing_or_broken_is_named_and_the_other_checks_go_on(monkeypatch, capsys):
    monkeypatch.setattr(
        doctor, "requires", lambda name: ["numpy>=999", "nothing-of-this-name>=1", 'monai>=1; extra == "x"']
    )
    monkeypatch.setattr(doctor, "compress_dataset", lambda ds, name: 1 / 0)
    monkeypatch.setattr(doctor, "ROUNDING", -1)
    assert main(["doctor"]) == 1
    told = capsys.readouterr()
    assert "failed   numpy" in told.out
    assert "is installed and >=999 is needed; pip install 'numpy>=999'" in told.out
    assert "failed   nothing-of-this-name" in told.out
    assert "failed   dicom compression" in told.out
    assert "ZeroDivisionError" in told.out
    assert "failed   generator on cpu" in told.out
    assert "good     store" in told.out
    assert "4 of " in told.err


def test_a_faulty_cudnn_is_named(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.backends.cudnn.version", lambda: 91002)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    found = list(doctor._check_known_faults())
    assert [one.check for one in found] == ["cuDNN", "OpenMP"]
    assert all(one.outcome == "warning" for one in found)


@pytest.mark.parametrize(
    ("line", "keys"),
    [
        ("recipes", None),
        ("plan pggan-mammogram --shape 40,32 --memory 1GB", {"training_bytes", "training_fits", "sampling_fits"}),
        (
            "prepare {cohort} --modality mammogram --shape 80,64 --workers 1 --out {store}",
            {"store", "cases", "patients"},
        ),
        ("sample {run} --n 1 --out {out}", {"folder", "images", "snapshot_sha256"}),
    ],
)
def test_json_prints_one_value_and_nothing_else(line, keys, cohort, store, run, tmp_path, capsys):
    given = line.format(cohort=cohort, store=store.path, run=run.path, out=tmp_path / "out").split()
    assert main([*given, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    if keys is None:
        assert found[0]["name"] == "mammogram"
    else:
        assert keys <= found.keys()
    assert main([*given, "--json", "--dry-run"]) == 2
    assert "give one of them" in capsys.readouterr().err
