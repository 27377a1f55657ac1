"""Places that cannot be written, two commands at once, and what a killed command leaves beside its output."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ganatomy.cli import main
from ganatomy.errors import Refused
from ganatomy.machine.places import check_writable, describe_system_error, hold_output
from ganatomy.recipes import get_recipe
from ganatomy.training.run import hold_run

NOWHERE = Path("/proc/ganatomy")  # nobody can make a file there, the administrator neither
WRITING = {
    "phantom": "phantom chest_ct --out OUT",
    "fetch": "fetch --collection lctsc --out OUT",
    "prepare": "prepare RAW --modality mammogram --out OUT",
    "train": "train pggan-mammogram STORE --out OUT",
    "select": "select OUT",
    "sample": "sample RUN --out OUT",
    "encode": "encode RUN STORE --out OUT.csv",
    "evaluate": "evaluate RUN --out OUT",
    "reader study": "evaluate RUN --reader-study OUT",
    "export": "export SAMPLES --out OUT",
    "verify": "verify DICOM --out OUT.jsonl",
    "benchmark": "benchmark --store STORE --tiny --out OUT",
    "probe": "probe FEATURES TABLE --target x --out OUT.json",
    "explore": "explore RUN --attribute density --out OUT",
    "augment-study": "augment-study STORE --target x --out OUT",
    "outliers": "outliers RUN STORE --out OUT",
    "transfer": "transfer RUN STORE --to a=b --out OUT",
}


@pytest.mark.parametrize("verb", WRITING)
@pytest.mark.parametrize("place", ["not ours", "below a file"])
def test_a_place_that_cannot_be_written_is_a_sentence_before_the_work_begins(verb, place, tmp_path, capsys):
    (tmp_path / "file").write_text("a")
    out = NOWHERE if place == "not ours" else tmp_path / "file" / "out"
    assert main(WRITING[verb].replace("OUT", str(out)).split()) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert ("cannot be used" if place == "not ours" else "is a file and not a folder") in told
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path):
    (tmp_path / "file").write_text("a")
    with pytest.raises(Refused, match="is a file and not a folder"):
        check_writable(tmp_path / "file")
    with pytest.raises(Refused, match="is a folder and not a file"):
        check_writable(tmp_path, folder=False)


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied", "a.png"), IsADirectoryError(21, "x", "a.png")]
)
def test_any_error_of_the_system_with_a_path_is_a_sentence(error, monkeypatch, capsys):
    from ganatomy.cli import app

    def fails(**options):
        raise error

    monkeypatch.setattr(app, "cli", fails)
    assert main(["recipes"]) == 2
    assert "a.png cannot be used" in capsys.readouterr().err
    assert "The disk is full (b)" in describe_system_error(OSError(28, "No space left", "b"))


HOLDER = """
import sys, time
from pathlib import Path
from ganatomy.machine.places import hold_output
with hold_output(Path(sys.argv[1])):
    folder = Path(sys.argv[1]).with_name(f".{Path(sys.argv[1]).name}.1.part")
    folder.mkdir()
    (folder / "patient.png").write_bytes(b"x")
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / "new" / "out"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_command_is_refused_and_a_killed_one_holds_and_leaves_nothing(holder, tmp_path):
    out = tmp_path / "new" / "out"
    with pytest.raises(Refused, match="Another command is writing"), hold_output(out):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert {path.name for path in out.parent.iterdir()} == {".out.1.part", ".out.lock"}
    with hold_output(out):
        assert [path.name for path in out.parent.iterdir()] == [".out.lock"]
    assert not list(out.parent.iterdir())


def test_a_neighbours_leftovers_stay(tmp_path):
    for name in (".other.1.part", ".out2.1.part"):
        (tmp_path / name).mkdir()
    with hold_output(tmp_path / "out"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {".other.1.part", ".out2.1.part"}


def test_a_refused_command_leaves_no_folder(tmp_path):
    with pytest.raises(Refused), hold_output(tmp_path / "a" / "b" / "out"):
        raise Refused("no")
    assert not list(tmp_path.iterdir())


CONTENDER = """
import sys
from pathlib import Path
from ganatomy.machine.places import hold_lock
for _ in range(200):
    with hold_lock(Path(sys.argv[1]), "held", patience=60):
        count = Path(sys.argv[2])
        count.write_text(str(int(count.read_text()) + 1))
"""


def test_one_at_a_time_holds_a_lock_whose_file_goes_and_comes(tmp_path):
    (tmp_path / "count").write_text("0")
    words = [sys.executable, "-c", CONTENDER, tmp_path / "lock", tmp_path / "count"]
    contenders = [subprocess.Popen(words) for _ in range(3)]
    assert [process.wait() for process in contenders] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "600"


def test_a_run_is_trained_by_one_command_and_runs_beside_are_not_hindered(store, tmp_path):
    recipe = get_recipe("pggan-mammogram").make_tiny()
    with hold_run(tmp_path, recipe, store, 0) as first:
        with pytest.raises(Refused, match="is being trained by another command"), hold_run(tmp_path, recipe, store, 0):
            pass
        with hold_run(tmp_path, recipe, store, 1) as second:
            assert (first.path.name, second.path.name) == ("00000-pggan-mammogram", "00001-pggan-mammogram")
    with hold_run(tmp_path, recipe, store, 0) as again:
        assert again.path == first.path
    assert not list(tmp_path.rglob("*.lock"))


@pytest.mark.ci
def test_two_trainings_at_once_are_one_run(store, tmp_path):
    words = [sys.executable, "-m", "ganatomy", "train", "pggan-mammogram", store.path, "--tiny", "--out", tmp_path]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate() for process in both]
    assert sorted(process.returncode for process in both) in ([0, 2], [0, 0]), said
    assert [path.name for path in tmp_path.iterdir()] == ["00000-pggan-mammogram"]


def test_a_real_full_file_system_is_a_sentence(run, tmp_path):
    inside = f"mount -t tmpfs -o size=64k tmpfs {tmp_path} && exec {sys.executable} -m ganatomy"
    words = f"sample {run.path} --out {tmp_path / 'new'} --n 40 --to npy"
    told = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"{inside} {words}"], capture_output=True, text=True, check=False
    )
    if "unshare" in told.stderr or "mount" in told.stderr:
        pytest.skip("this system lets nobody mount a file system of his own")
    assert told.returncode == 2, told.stderr
    assert "disk is full" in told.stderr.lower()
    assert "Traceback" not in told.stderr


def _wait_for(path, process, pattern):
    while process.poll() is None and not list(path.glob(pattern)):
        time.sleep(0.01)


@pytest.mark.ci
@pytest.mark.parametrize("verb", ["evaluate", "reader study"])
def test_a_killed_report_or_study_leaves_no_pictures_of_patients(verb, run, store, tmp_path):
    flag = {"evaluate": "--out", "reader study": "--reader-study"}[verb]
    words = [sys.executable, "-m", "ganatomy", "evaluate", run.path, store.path, flag, tmp_path / "made"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for(tmp_path, process, ".made.*.part/*")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list(tmp_path.glob(".made.*.part"))
    with hold_output(tmp_path / "made"):  # what the same command does first
        assert [path.name for path in tmp_path.iterdir()] == [".made.lock"]
