"""Whole or not there, also when the disk is full."""

import resource
import subprocess
import sys

import pytest

from ganatomy.errors import Refused
from ganatomy.machine.durable import new_file, new_folder, write_json


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1})
    before = (tmp_path / "a.json").read_text()

    def fail():
        with new_file(tmp_path / "a.json") as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert (tmp_path / "a.json").read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_folder_is_not_there(tmp_path):
    def fail():
        with new_folder(tmp_path / "snapshot") as temporary:
            (temporary / "half").write_text("x")
            raise OSError(28, "No space left on device")

    with pytest.raises(Refused, match="disk is full"):
        fail()
    assert not list(tmp_path.iterdir())


def _small_files(limit):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


VERBS = ("prepare", pytest.param("train", marks=pytest.mark.ci), pytest.param("sample", marks=pytest.mark.ci))


@pytest.mark.parametrize("verb", VERBS)
def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(verb, cohort, store, run, tmp_path):
    """A limit on the size of a file stands for the full disk: the same error, from the system itself."""
    words, limit = {
        "prepare": (
            f"prepare {cohort} --modality mammogram --out {tmp_path / 'new'} --shape 320,256 --workers 1",
            60_000,
        ),
        "train": (f"train pggan-mammogram {store.path} --tiny --out {tmp_path / 'new'} --checkpoint-kimg 0.1", 20_000),
        "sample": (f"sample {run.path} --out {tmp_path / 'new'} --n 2 --to npy", 500),
    }[verb]
    told = subprocess.run(
        [sys.executable, "-m", "ganatomy", *words.split()],
        preexec_fn=_small_files(limit),
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 2, told.stderr
    assert "disk is full" in told.stderr.lower()
    assert "Traceback" not in told.stderr
    assert not list(tmp_path.rglob("*.part"))
