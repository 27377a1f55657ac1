"""Going on, stopping, and what a run leaves behind."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ganatomy import checkpoint
from ganatomy.errors import Diverged, Interrupted, Refused
from ganatomy.machine import durable
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.training import loop
from ganatomy.training.callbacks import Callbacks, Intervals
from ganatomy.training.plan import describe_recipe, estimate_memory
from ganatomy.training.run import open_run
from ganatomy.training.state import State
from ganatomy.training.train import train

OFTEN = Intervals(tick_kimg=0.04, grid_kimg=0.2, snapshot_kimg=0.08, checkpoint_kimg=0.08)
TINY = get_recipe("pggan-mammogram").make_tiny()


def _equal(a, b):
    (files, meta), (other, about) = a.load_newest_checkpoint(), b.load_newest_checkpoint()
    assert meta["counts"] == about["counts"]
    return all(torch.equal(files[f][k], other[f][k]) for f in files for k in files[f])


def test_a_run_folder_holds_what_it_should(run, store):
    names = {path.name for path in run.path.iterdir()}
    assert {
        "recipe.json",
        "environment.json",
        "store.json",
        "log.jsonl",
        "reals.png",
        "fakes",
        "snapshots",
        "checkpoints",
    } <= names
    assert len(run.list_checkpoints()) == 2
    rows = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["images"] == TINY.total_images
    assert {"discriminator/gradient_penalty", "generator/labels", "progress/alpha"} <= rows[-1].keys()
    meta = json.loads((run.list_snapshots()[-1] / "meta.json").read_text())
    assert meta["modality"] == "mammogram"
    assert meta["trained_on"]["fingerprint"] == store.manifest.fingerprint
    assert "path" not in meta["trained_on"]
    assert meta["spacing"] == pytest.approx([12.8, 12.8])
    assert list((run.path / "tensorboard").iterdir())


def test_the_same_command_on_a_complete_run_changes_nothing(run, store):
    before = {p: p.stat().st_mtime_ns for p in (run.path / "checkpoints").rglob("*.safetensors")}
    assert train(TINY, store, run.path.parent, intervals=OFTEN).path == run.path
    assert before == {p: p.stat().st_mtime_ns for p in (run.path / "checkpoints").rglob("*.safetensors")}


@pytest.mark.parametrize("removed_files", [0, 1, 3])
def test_a_kill_while_an_old_checkpoint_is_removed_leaves_nothing_for_long(
    run, store, tmp_path, removed_files, monkeypatch
):
    shutil.copytree(run.path, tmp_path / run.path.name)
    before = open_run(tmp_path / run.path.name)
    expected = before.list_checkpoints()
    old = expected[0].with_name(f"{int(expected[0].name) - 1:09d}")
    shutil.copytree(expected[0], old)

    def die(folder):
        for file in sorted(folder.iterdir(), reverse=True)[:removed_files]:  # the meta first
            file.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(durable.shutil, "rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            durable.remove_folder(old)
    train(TINY, store, tmp_path, intervals=OFTEN)
    assert sorted((before.path / "checkpoints").iterdir()) == expected


def test_an_old_checkpoint_that_was_not_removed_any_more_goes_with_the_same_command(run, store, tmp_path):
    shutil.copytree(run.path, tmp_path / run.path.name)
    expected = open_run(tmp_path / run.path.name).list_checkpoints()
    shutil.copytree(expected[0], expected[0].with_name(f"{int(expected[0].name) - 1:09d}"))
    assert train(TINY, store, tmp_path, intervals=OFTEN).list_checkpoints() == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_the_run_goes_on_bit_for_bit(run, store, tmp_path, number, monkeypatch):
    steps, note = [], Callbacks.record_losses

    def kill_at_seventeen(self, terms):
        note(self, terms)
        steps.append(1)
        if len(steps) == 17:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Callbacks, "record_losses", kill_at_seventeen)
    with pytest.raises(Interrupted, match="with a checkpoint; the same command continues"):
        train(TINY, store, tmp_path / "parts", intervals=OFTEN)
    monkeypatch.undo()
    parts = train(TINY, store, tmp_path / "parts", intervals=OFTEN)
    assert _equal(run, parts)
    logs = [(one.path / "log.jsonl").read_text().splitlines() for one in (run, parts)]
    assert [json.loads(line)["images"] for line in logs[0]] == [json.loads(line)["images"] for line in logs[1]]


@pytest.mark.ci
def test_killed_outright_the_run_goes_on_bit_for_bit(run, store, tmp_path):
    command = [
        sys.executable,
        "-m",
        "ganatomy",
        "train",
        "pggan-mammogram",
        str(store.path),
        "--tiny",
        "--out",
        str(tmp_path),
        "--tick-kimg",
        "0.04",
        "--grid-kimg",
        "0.2",
        "--snapshot-kimg",
        "0.08",
        "--checkpoint-kimg",
        "0.08",
        "--threads",
        "1",
    ]
    folder = tmp_path / "00000-pggan-mammogram" / "checkpoints"
    for wanted in (1, 2):
        process = subprocess.Popen(
            command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and len(list(folder.glob("[0-9]*"))) < wanted:
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
        process.wait()
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert _equal(run, open_run(tmp_path / "00000-pggan-mammogram"))
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("damage", ["flip", "truncate", "lose"])
def test_a_damaged_checkpoint_is_found_and_the_one_before_it_used(run, store, tmp_path, damage):
    shutil.copytree(run.path, tmp_path / run.path.name)
    copy = open_run(tmp_path / run.path.name)
    file = copy.list_checkpoints()[-1] / "generator.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    {
        "flip": lambda: file.write_bytes(content),
        "truncate": lambda: file.write_bytes(content[:100]),
        "lose": file.unlink,
    }[damage]()
    assert copy.load_newest_checkpoint()[1]["counts"]["images"] < TINY.total_images
    assert _equal(run, train(TINY, store, tmp_path, intervals=OFTEN))


def test_when_all_checkpoints_are_damaged_it_says_so(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    copy = open_run(tmp_path / "run")
    for folder in copy.list_checkpoints():
        (folder / "ema.safetensors").write_bytes(b"")
    with pytest.raises(Refused, match=r"All checkpoints .* are damaged"):
        copy.load_newest_checkpoint()


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(store, tmp_path, monkeypatch):
    real, calls = loop.run_update, []

    def poisoned(phase, state, draw, precision):
        calls.append(1)
        if len(calls) == 60:
            with torch.no_grad():
                state.networks["discriminator"].blocks[0].head.weight.fill_(float("nan"))
        return real(phase, state, draw, precision)

    monkeypatch.setattr(loop, "run_update", poisoned)
    with pytest.raises(Diverged, match=r"not finite. The checkpoint \d+ is kept. Try a lower"):
        train(TINY, store, tmp_path, intervals=OFTEN)
    files, meta = open_run(tmp_path / "00000-pggan-mammogram").load_newest_checkpoint()
    assert 0 < meta["counts"]["images"] < TINY.total_images
    assert all(torch.isfinite(t).all() for tensors in files.values() for t in tensors.values())


def test_a_run_folder_of_another_recipe_is_refused(run, store):
    with pytest.raises(Refused, match=r"another recipe \(pggan-mammogram: differs in latent\)"):
        train(change_recipe(TINY, {"latent": 8}), store, run.path)
    with pytest.raises(Refused, match=r"another seed \(0\)"):
        train(TINY, store, run.path, seed=1)
    with pytest.raises(Refused, match="it contains the runs 00000-pggan-mammogram"):
        open_run(run.path.parent)


def test_other_seeds_make_other_runs_beside_it(store, tmp_path):
    short = TINY.replace(total_kimg=0.016)
    paths = [train(short, store, tmp_path, seed=seed).path.name for seed in (0, 1, 0)]
    assert paths == ["00000-pggan-mammogram", "00001-pggan-mammogram", "00000-pggan-mammogram"]


def test_optimisers_start_anew_with_each_era():
    state = State(TINY, 0, torch.device("cpu"))
    state.optimizers["generator"].state["marker"] = 1
    state.restart_optimizers(3)
    assert not state.optimizers["generator"].state


def test_the_average_follows_with_its_half_life():
    state = State(TINY.replace(ema_half_life_kimg=1.0), 0, torch.device("cpu"))
    with torch.no_grad():
        for average, weight in zip(state.ema.parameters(), state.networks["generator"].parameters(), strict=True):
            average.zero_()
            weight.fill_(1)
    state.update_ema(1000)
    assert all(torch.allclose(p, torch.tensor(0.5)) for p in state.ema.parameters())


def test_the_plan_is_told_without_allocating():
    text = describe_recipe(get_recipe("pggan-mammogram"))
    assert "48,274,828" in text
    assert "9000      1280x1024" in text
    assert 5 < sum(estimate_memory(get_recipe("pggan-mammogram")).values()) < 30


def test_nothing_that_is_loaded_can_run_code():
    """No module calls what runs code that it reads, or writes files that only such calls read."""
    dangerous = {"pickle.load", "pickle.loads", "torch.load", "torch.save", "eval", "exec"}
    for file in Path(checkpoint.__file__).parent.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        words = [ast.unparse(call) for call in calls if ast.unparse(call.func) in dangerous]
        assert not [word for word in words if "weights_only=True" not in word], file


BROKEN = {
    "an unknown field": ("recipe.json", lambda text: text.replace('"latent"', '"latnt"')),
    "a format of the future": ("recipe.json", lambda text: text.replace('"format": 1', '"format": 99')),
    "a cut file": ("recipe.json", lambda text: text[: len(text) // 2]),
    "no object": ("recipe.json", lambda text: "[]"),
    "a cut store.json": ("store.json", lambda text: text[:9]),
    "no seed": ("environment.json", lambda text: "{}"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_neighbour_that_cannot_be_read_is_named_once_and_locks_nothing(what, store, run, tmp_path, monkeypatch):
    name, spoil = BROKEN[what]
    shutil.copytree(run.path, tmp_path / "00000-pggan-mammogram")
    shutil.copytree(run.path, tmp_path / "00001-pggan-mammogram")
    file = tmp_path / "00001-pggan-mammogram" / name
    file.write_text(spoil(file.read_text()))
    said = []
    monkeypatch.setattr("ganatomy.machine.progress.say", said.append)
    good = run.recipe
    assert train(good, store, tmp_path, intervals=OFTEN).path.name == "00000-pggan-mammogram"
    told = [line for line in said if "cannot be read and is ignored" in line]
    assert len(told) == 1
    assert "00001-pggan-mammogram" in told[0]
    assert train(good.replace(total_kimg=0.016), store, tmp_path, seed=1).path.name == "00002-pggan-mammogram"


def test_networks_that_cannot_be_built_leave_no_run(store, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no memory for the networks")

    monkeypatch.setattr("ganatomy.training.train.State", fail)
    with pytest.raises(RuntimeError, match="no memory"):
        train(get_recipe("pggan-mammogram").make_tiny(), store, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_whose_command_was_killed_before_its_recipe_was_written_is_used(store, tmp_path):
    (tmp_path / "00000-pggan-mammogram").mkdir()
    (tmp_path / "00000-pggan-mammogram" / "environment.json").write_text("{}")
    run = train(TINY.replace(total_kimg=0.016), store, tmp_path)
    assert run.path.name == "00000-pggan-mammogram"
    assert run.seed == 0
    assert run.list_checkpoints()
