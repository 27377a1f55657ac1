"""Trackers: what they are told, that a faulty one stops nothing, and that nothing leaves the machine unasked."""

import errno
import getpass
import json
import socket
import time

import pytest

from ganatomy.errors import Refused
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.training import log
from ganatomy.training.callbacks import Intervals
from ganatomy.training.tracking import table
from ganatomy.training.tracking.tracker import Tracker
from ganatomy.training.train import train

OFTEN = Intervals(tick_kimg=0.04, grid_kimg=0.08, snapshot_kimg=0.08, checkpoint_kimg=0.08)
SHORT = change_recipe(get_recipe("pggan-mammogram").make_tiny(), {"total_kimg": 0.16})


class Recorder(Tracker):
    def __init__(self):
        self.told = []

    def begin(self, run, images, settings):
        self.told.append(("begin", images, settings["recipe"]["name"], settings["seed"]))

    def write_scalars(self, images, values):
        self.told.append(("scalars", images, sorted(values)))

    def write_picture(self, images, name, pixels):
        self.told.append(("picture", images, name, pixels.ndim))

    def write_snapshot(self, images, folder):
        assert (folder / "meta.json").exists()
        self.told.append(("snapshot", images, folder.name))

    def close(self):
        self.told.append(("close",))


class Faulty(Tracker):
    def __init__(self, error):
        self.error, self.calls = error, 0

    def write_scalars(self, images, values):
        self.calls += 1
        raise self.error


def test_a_tracker_is_told_what_is_logged_drawn_and_saved(store, tmp_path):
    recorder = Recorder()
    run = train(SHORT, store, tmp_path, 7, "cpu", OFTEN, trackers=[recorder])
    kinds = [one[0] for one in recorder.told]
    assert recorder.told[0] == ("begin", 0, "pggan-mammogram", 7)
    assert kinds[-1] == "close"
    rows = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert [one[1] for one in recorder.told if one[0] == "scalars"] == [row["images"] for row in rows]
    assert [one[2] for one in recorder.told if one[0] == "snapshot"] == [path.name for path in run.list_snapshots()]
    assert {one[2] for one in recorder.told if one[0] == "picture"} == {"fakes"}
    assert not (run.path / "tensorboard").exists()
    again = Recorder()
    train(SHORT, store, tmp_path, 7, "cpu", OFTEN, trackers=[again])
    assert again.told[0] == ("begin", SHORT.total_images, "pggan-mammogram", 7)


def test_a_tracker_that_fails_is_left_out_and_said_once(store, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(log.progress, "say", said.append)
    faulty, recorder = Faulty(ConnectionError("no server")), Recorder()
    run = train(SHORT, store, tmp_path, 0, "cpu", OFTEN, trackers=[faulty, recorder])
    assert faulty.calls == 1
    assert recorder.told[-1] == ("close",)
    assert len(run.list_snapshots()) == 2
    (told,) = [one for one in said if "has failed" in one]
    assert told.startswith("Faulty has failed (ConnectionError: no server); the training goes on")


def test_a_full_disk_ends_the_training(store, tmp_path):
    with pytest.raises(OSError, match="full"):
        train(SHORT, store, tmp_path, 0, "cpu", OFTEN, trackers=[Faulty(OSError(errno.ENOSPC, "full"))])


def test_an_unknown_or_missing_tracker_is_one_sentence(store, tmp_path, monkeypatch):
    with pytest.raises(
        Refused, match=r"--track comet: there is no such tracker; choose one of tensorboard, mlflow, wandb, none\."
    ):
        train(SHORT, store, tmp_path, 0, "cpu", OFTEN, trackers=["comet"])
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    with pytest.raises(Refused, match=r"--track wandb needs .* pip install 'ganatomy\[wandb\]'"):
        train(SHORT, store, tmp_path, 0, "cpu", OFTEN, trackers=["wandb"])
    assert not list(tmp_path.iterdir())
    assert table.make_trackers(None) == []
    assert table.make_trackers(["none"]) == []


def read_all(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def assert_names_no_machine(folder):
    told = read_all(folder)
    assert socket.gethostname().encode() not in told or len(socket.gethostname()) < 4
    assert getpass.getuser().encode() + b"@" not in told
    assert b"pytest" not in told.replace(str(folder.resolve().parent).encode(), b"")


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore")  # of other packages
def test_mlflow_keeps_a_run_in_the_run_folder_and_goes_on_in_it(store, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = train(SHORT, store, tmp_path, 0, "cpu", OFTEN, trackers=["mlflow"])
    train(SHORT, store, tmp_path, 0, "cpu", OFTEN, trackers=["mlflow"])
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{run.path / 'mlflow' / 'mlflow.db'}")
    (experiment,) = [one for one in client.search_experiments() if one.name == "ganatomy"]
    (told,) = client.search_runs([experiment.experiment_id])
    assert told.info.status == "FINISHED"
    assert told.info.run_name == run.path.name
    assert told.data.params == {"recipe": "pggan-mammogram", "seed": "0"}
    history = client.get_metric_history(told.info.run_id, "discriminator/gradient_penalty")
    rows = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert [(one.step, round(one.value, 6)) for one in history] == [
        (row["images"], row["discriminator/gradient_penalty"]) for row in rows
    ]
    assert list((run.path / "mlflow").rglob("*.png"))
    assert_names_no_machine(run.path / "mlflow")


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore")  # of other packages
def test_weights_and_biases_stays_offline_in_the_run_folder(store, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    run = train(SHORT, store, tmp_path, 0, "cpu", OFTEN, trackers=["wandb"])
    (file,) = (run.path / "wandb").rglob("*.wandb")
    assert file.parent.name.startswith("offline-run-")
    end = time.monotonic() + 60
    while b"discriminator/gradient_penalty" not in (told := file.read_bytes()) and time.monotonic() < end:
        time.sleep(0.1)  # a process of W&B's own writes it
    assert b"discriminator/gradient_penalty" in told
    assert list(file.parent.rglob("fakes*.png"))
    assert_names_no_machine(file.parent)
    assert socket.gethostname().encode() not in told
