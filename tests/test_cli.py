"""The front door: flags held, help committed, mistakes answered with one sentence and exit code 2."""

import re
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

from ganatomy.cli import main
from ganatomy.cli.app import commands

ROOT = Path(__file__).resolve().parents[1]


def _help(verb, capsys):
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)


@pytest.mark.skipif(
    Version(version("tyro")) < Version("1.0.17"), reason="earlier versions of tyro lay out help in another way"
)
def test_the_committed_help_is_what_is_printed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    printed = "\n".join(_help(verb, capsys) for verb in list(commands))
    committed = ROOT / "docs" / "reference" / "cli.txt"
    assert printed == committed.read_text(), "run: python docs/reference/make_cli.py"


@pytest.mark.parametrize("verb", list(commands))
def test_every_verb_has_dry_run_and_quiet(verb, capsys):
    text = _help(verb, capsys)
    assert "--dry-run" in text
    assert "--quiet" in text


def test_the_whole_line_by_its_commands(tmp_path, capsys):
    at = {name: str(tmp_path / name) for name in ("raw", "store", "runs", "png", "dicom", "report")}
    run = at["runs"] + "/00000-gan-mammogram"
    for line in (
        f"phantom mammogram --out {at['raw']} --patients 10 --shape 80,64",
        f"prepare {at['raw']} --modality mammogram --out {at['store']} --shape 80,64 --workers 1",
        f"train gan-mammogram {at['store']} --out {at['runs']} --tiny --snapshot-kimg 0.1 --tick-kimg 0.1",
        f"select {run}",
        f"sample {run} --out {at['png']} --n 8 --seed 2",
        f"export {at['png']} --to dicom --out {at['dicom']}",
        f"evaluate {run} --out {at['report']}",
    ):
        assert main(line.split()) == 0, line
        assert capsys.readouterr().out, line
        dry = line.replace("--out " + at["report"], "--out " + str(tmp_path / "x"))
        assert main([*dry.split(), "--dry-run"]) == 0
        assert capsys.readouterr().out
    assert len(list((tmp_path / "dicom").rglob("*.dcm"))) == 8
    assert (tmp_path / "report" / "report.html").exists()
    assert not (tmp_path / "x").exists()
    assert main(f"train gan-mammogram {at['store']} --out {at['runs']} --tiny --quiet".split()) == 0
    assert capsys.readouterr().out == ""


def test_recipes_are_listed_one_a_line(capsys):
    assert main(["recipes"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "mammogram",
        "volume",
        "hagan-mammogram",
        "pggan-mammogram",
        "gan-mammogram",
        "wgan-mammogram",
        "hagan",
        "hagan-2022",
        "hagan-encoder",
        "hagan-no-low",
        "hagan-no-encoder",
        "hagan-deterministic",
        "wgan",
        "wgan-gp",
        "vae-gan",
        "alpha-gan",
        "cce-gan",
        "vae",
        "autoregressive",
        "latent-diffusion",
        "pggan",
        "stylegan2",
        "relativistic",
        "relativistic-mammogram",
    ]


def test_a_dry_run_of_train_needs_no_store(capsys):
    assert main(["train", "pggan-mammogram", "--dry-run", "--shape", "40,32", "--set", "strategy.fade_kimg=300"]) == 0
    text = capsys.readouterr().out
    assert "total" in text
    assert "40x32" in text
    assert "900       20x16" not in text


def test_a_dry_run_of_train_refuses_a_store_that_the_training_would_refuse(store, capsys, tmp_path):
    line = ["train", "pggan-mammogram", str(store.path), "--out", str(tmp_path / "runs"), "--dry-run"]
    assert main([*line, "--shape", "160,128"]) == 2
    refusal = capsys.readouterr().err
    assert "160x128" in refusal
    assert main([*line[:-1], "--shape", "160,128"]) == 2
    assert capsys.readouterr().err == refusal
    assert main([*line, "--shape", "80,64"]) == 0
    assert "would be created" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train nothing {store}", "There is no recipe 'nothing'; choose one of mammogram, volume, hagan-mammogram"),
        ("train pggan-mammogram", "No store is given"),
        ("train pggan-mammogram {store}", "The recipe makes 1280x1024 images and the store has"),
        ("train pggan-mammogram {store} --shape 81,64", "must be even"),
        ("train pggan-mammogram {store} --shape eighty", "whole numbers with commas"),
        ("train pggan-mammogram {store} --tiny --set latnt=3", "did you mean latent?"),
        ("train pggan-mammogram {store} --tiny --set latent", "--set latent: give PATH=VALUE"),
        ("train pggan-mammogram {store} --tiny --set latent=8 --set latent=9", "--set latent=... is given 2 times"),
        ("train pggan-mammogram {store} --tiny --set conditions.view_position=[CC]", "but the recipe accepts CC"),
        ("train pggan-mammogram {store} --tiny --set channels=3", "3 channels"),
        ("train pggan-mammogram {cohort}", "is not a store"),
        ("train {store} --recipe {store}/manifest.json", "must say 'base: NAME'"),
        ("train {store} --recipe {empty}/none.yaml", "cannot be read"),
        ("train wgan-mammogram {store} --tiny --out {run}", "is a run of another recipe"),
        ("prepare {empty} --modality mammogram --out {new}", "holds no file"),
        ("prepare {new} --modality mammogram --out {new}", "is not a folder"),
        ("prepare {cohort} --modality knee --out {new}", "There is no modality 'knee'"),
        ("prepare {cohort} --modality mammogram --out {cohort}", "is not empty and not a store"),
        ("prepare {cohort} --modality mammogram --out {new} --facts {new}.csv", "cannot be read"),
        ("sample {run} --out {new} --condition view_position=ML", "the model accepts CC, MLO"),
        ("sample {run} --out {new} --to gif", "is not written in this format; choose one of png, npy, dicom, hanging"),
        ("sample {store} --out {new}", "neither a snapshot nor a run"),
        ("sample {run} --out {cohort}", "is not empty; give a new folder"),
        ("select {store}", "is not a run folder"),
        ("select {run} --n -1", "--n -1: give a number above zero"),
        ("evaluate {run} --out {new} --n 0", "--n 0: give a number above zero"),
        ("prepare {cohort} --modality mammogram --out {new} --workers -1", "--workers -1: give a number above zero"),
        ("phantom mammogram --out {new} --seed -1", "--seed -1: give a whole number of zero or more"),
        ("train pggan-mammogram {store} --tiny --out {new} --tick-kimg 0", "--tick-kimg 0: give a number above zero"),
        ("train pggan-mammogram {store} --tiny --out {new} --threads -1", "--threads -1: give a number above zero"),
        (
            "train pggan-mammogram {store} --tiny --out {new} --device tpu",
            "--device tpu: give cpu, cuda or cuda:NUMBER",
        ),
        (
            "train pggan-mammogram {store} --tiny --out {new} --precision half",
            "invalid choice 'half' for argument '--precision'",
        ),
        ("trian {store}", "There is no command 'trian' (did you mean train?); choose one of phantom, fetch"),
        ("sample --truncate 1 --out {new}", "--truncation"),
        ("sample {run} --out {new} --device gpu0", "--device gpu0: give cpu, cuda or cuda:NUMBER"),
        ("sample {run} --out {new} --spacing -0.1", "--spacing -0.1: give a number above zero"),
        ("sample {run} --out {new} --to dicom --date tomorrow", "--date tomorrow: give eight digits"),
        ("evaluate {empty} {store} --out {new}", "holds no file"),
        ("evaluate {empty} --out {new}", "give the store of real images as well"),
        ("export {store} --out {new}", "holds no samples.jsonl"),
        ("phantom liver --out {new}", "There is no phantom 'liver'"),
        ("phantom mammogram --out {cohort}", "is not empty"),
        ("prepare {cohort} --modality mammogram --out {new} --shard 3", "--shard 3: give i/n, such as 3/100"),
        ("prepare {cohort} --modality mammogram --out {new} --shape 80", "--shape 80: give"),
        ("sample {run} --out {new} --condition MLO", "--condition MLO: give NAME=VALUE"),
        ("sample {run} --out {new} --n many", "--n many: give a number above zero, without a point"),
        ("import {store} --recipe hagan-2022 --shape 1,a", "--shape 1,a: give whole numbers with commas"),
        ("import x.pt --recipe hagan-2022 --shape 8,8 --value-range 3", "--value-range 3: give two numbers"),
    ],
)
def test_mistakes_get_one_sentence_and_exit_code_two(line, words, store, cohort, run, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    places = {
        "store": store.path,
        "cohort": cohort,
        "run": run.path,
        "empty": tmp_path / "empty",
        "new": tmp_path / "new",
    }
    assert main(line.format(**places).split()) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.startswith("ganatomy: ")
    assert told.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_an_unfinished_run_cannot_be_selected(store, tmp_path, capsys):
    line = f"train pggan-mammogram {store.path} --tiny --set total_kimg=0.1 --snapshot-kimg 0.05 --out {tmp_path}"
    assert main(line.split()) == 0
    assert main(["select", str(tmp_path / "00000-pggan-mammogram")]) == 2
    assert "No snapshot of" in capsys.readouterr().err


def test_a_moved_store_is_named(run, tmp_path, capsys, store):
    shutil.copytree(run.path, tmp_path / "run")
    assert main(["select", str(tmp_path / "run"), "--store", str(tmp_path)]) == 2
    assert "is not a store" in capsys.readouterr().err
