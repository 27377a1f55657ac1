"""One odd file never stops the others: every verb that reads a folder names it, and goes on or says a sentence."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path

import numpy as np
import odd_files
import pytest
from cohorts import volumes as write_volumes
from odd_files import Odd, copy_as, write_brain, write_dicom_bomb, write_nifti_bomb, write_odd_files
from stores import content, same

from ganatomy.data import parts as preparing
from ganatomy.data.prepare import prepare, preview_store
from ganatomy.data.samples import read_samples
from ganatomy.errors import Refused
from ganatomy.evaluation.images import foreign
from ganatomy.exporting.export import export
from ganatomy.exporting.verify import verify
from ganatomy.imaging import sandbox
from ganatomy.imaging.image import UnusableImage
from ganatomy.imaging.nifti import read_nifti
from ganatomy.imaging.sandbox import reading_sandbox
from ganatomy.machine.durable import read_lines
from ganatomy.machine.limits import LIMITS, Limits
from ganatomy.machine.places import get_temporary_path
from ganatomy.modalities.brain_mri import BrainMRI
from ganatomy.modalities.chest_ct import ChestCT
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.mammogram import Mammogram

SMALL = Limits(memory=96 * 2**20, memory_per_byte=16, seconds=30)
FACTS = FactSource(constants={"view_position": "CC", "laterality": "L"})
MODALITIES = {
    "mammogram": Mammogram(FACTS, shape=(80, 64)),
    "chest_ct": ChestCT(shape=(32, 32, 32)),
    "brain_mri": BrainMRI(shape=(32, 32, 32)),
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd") / "raw"
    return folder, write_odd_files(folder)


@pytest.fixture
def small(monkeypatch):
    """Limits that a bomb of 160 MB exceeds, wherever files are read."""
    monkeypatch.setattr(preparing, "LIMITS", SMALL)
    monkeypatch.setattr(sandbox, "LIMITS", SMALL)


def _reasons(folder):
    return {row["file"]: (row["reason"], row["detail"]) for row in read_lines(folder / "quarantine.jsonl")}


# ----------------------------------------------------------------------------------------------------------------------
# The corpus, through every verb that reads a folder.


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.ci)])
@pytest.mark.parametrize("modality", MODALITIES)
def test_every_modality_names_every_odd_file_and_stores_the_good_ones(
    modality, workers, odd, cohort, thoraces, tmp_path, small
):
    folder, names = odd
    raw = tmp_path / "raw"
    shutil.copytree(folder, raw, symlinks=True)
    good = {"mammogram": cohort / "PHA-000001", "chest_ct": thoraces, "brain_mri": None}[modality]
    if good is None:
        write_brain(raw / "good.nii.gz")
    else:
        shutil.copytree(good, raw / "good")
    store = prepare(raw, MODALITIES[modality], tmp_path / "store", workers=workers)
    reasons = _reasons(store.path)
    assert set(reasons) == set(names)
    assert store.manifest.cases == {"mammogram": 4, "chest_ct": 16, "brain_mri": 1}[modality]
    assert all(all(told) for told in reasons.values()), reasons
    assert not [name for name, (kind, _) in reasons.items() if kind == sandbox.UNFORESEEN]
    bombs = {"bomb_mg.dcm"} if modality == "mammogram" else {"bomb.nii.gz", "bomb.dcm"}
    for bomb in bombs:
        assert reasons[bomb][0] == sandbox.TOO_MUCH_MEMORY, reasons[bomb]
    if modality != "mammogram":
        assert "CRC" in reasons["flipped.nii.gz"][1] or "decompress" in reasons["flipped.nii.gz"][1]
        assert "end-of-stream" in reasons["cut.nii.gz"][1]
    else:
        assert reasons["postscript.png"][0] == "not readable as a picture"
    assert sum(store.manifest.quarantined.values()) == len(names)


def test_a_preview_reads_odd_files(odd, small):
    assert "takes too much memory" in preview_store(odd[0], MODALITIES["chest_ct"])


def test_verify_names_every_odd_file(odd, small):
    findings = {finding.file: finding for finding in verify(odd[0])}
    assert set(findings) == {*odd[1]} - {"empty.dcm"}  # which nothing but its name calls DICOM
    assert not any(finding.is_sound for finding in findings.values())
    assert sandbox.TOO_MUCH_MEMORY in findings["bomb.dcm"].describe()


def test_evaluate_refuses_odd_images_by_name(odd, store, tmp_path, small):
    for name in odd[1]:
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        shutil.copy(odd[0] / name, folder, follow_symlinks=False)
        with pytest.raises(Refused, match="cannot be compared") as told:
            list(foreign.read_foreign_images(folder, store, FACTS, None, 10)[2])
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        assert shown.replace("\u2028", "\\u2028") in str(told.value), told.value


def test_samples_that_have_come_to_harm_are_a_sentence(tmp_path, small):
    write_volumes(tmp_path / "samples", "chest_ct", 2)
    rows = read_lines(tmp_path / "samples" / "samples.jsonl")
    for spoil in (lambda path: write_nifti_bomb(path, 160), lambda path: write_brain(path, cut=True)):
        spoil(tmp_path / "samples" / rows[1]["file"])
        with pytest.raises(Refused, match=rows[1]["file"]):
            list(read_samples(tmp_path / "samples")[1])
        with pytest.raises(Refused, match=rows[1]["file"]):
            export(tmp_path / "samples", tmp_path / "out")


def test_postscript_starts_no_other_program(odd, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    candidate = next(c for c in MODALITIES["mammogram"].list_candidates(odd[0]) if c.name == "postscript.png")
    with pytest.raises(UnusableImage, match="not readable as a picture"):
        MODALITIES["mammogram"].read(candidate)
    assert not (tmp_path / "started").exists()


def test_a_fact_with_a_line_separator_is_kept(cohort, tmp_path):
    facts = FactSource(constants={"patient": "a\u2028b\x85c"})
    shutil.copytree(cohort / "PHA-000001", tmp_path / "raw")
    store = prepare(tmp_path / "raw", Mammogram(facts, shape=(80, 64)), tmp_path / "store", workers=0)
    assert (store.manifest.cases, store.manifest.patients) == (4, 1)


# ----------------------------------------------------------------------------------------------------------------------
# Checksums.


def test_every_flipped_bit_of_a_compressed_volume_is_found(tmp_path):
    write_brain(tmp_path / "whole.nii.gz")
    whole, silent = read_nifti(tmp_path / "whole.nii.gz")[0], []
    for percent in range(100):
        write_brain(tmp_path / "a.nii.gz", flip=percent)
        with suppress(UnusableImage):
            if not np.array_equal(read_nifti(tmp_path / "a.nii.gz")[0], whole):
                silent.append(percent)
    assert silent == []


# ----------------------------------------------------------------------------------------------------------------------
# Limits.


def _sleep_stubbornly():
    for _ in range(2):
        with suppress(Exception):  # as a library that swallows what it does not know
            time.sleep(60)


def test_limits_are_as_before_afterwards_and_grow_with_the_file(tmp_path):
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGALRM)
    (tmp_path / "a").write_bytes(bytes(2**20))
    with (
        pytest.raises(UnusableImage, match=r"more than 0\.1 GiB"),
        reading_sandbox([tmp_path / "a"], Limits(2**26, 16)),
    ):
        np.ones(2**33, np.uint8)  # more than any earlier test can have left to this process
    with pytest.raises(UnusableImage, match="more than 1 s"), reading_sandbox([tmp_path / "a"], Limits(seconds=0.0)):
        _sleep_stubbornly()
    with reading_sandbox([tmp_path / "a"], Limits(2**26, 256)):
        np.ones(2**27, np.uint8)
    assert (resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGALRM)) == before
    assert LIMITS.scale_memory(10**9) == 4 * 2**30 + 16 * 10**9
    assert LIMITS.scale_seconds(10**9) == 1120


def test_sentences_for_the_user_and_requests_to_stop_pass(tmp_path):
    for error in (Refused("no"), KeyboardInterrupt()):
        with pytest.raises(type(error)), reading_sandbox([]):
            raise error
    told = r"unforeseen error: ZeroDivisionError: .*test_odd_files.py, line \d+"
    with pytest.raises(UnusableImage, match=told), reading_sandbox([]), reading_sandbox([]):
        _ = 1 / 0


# ----------------------------------------------------------------------------------------------------------------------
# Files that end the process that reads them.

HARMLESS = ("assertion", "panic", "sleep", "eater")  # that end no process


@pytest.fixture
def quick(monkeypatch):
    limits = Limits(memory=2**29, seconds=2.0)
    monkeypatch.setattr(preparing, "LIMITS", limits)
    monkeypatch.setattr(sandbox, "LIMITS", limits)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_nobody_thought_of_is_a_row(workers, cohort, tmp_path, quick):
    copy_as(sorted(cohort.rglob("*.dcm")), tmp_path / "raw", (*HARMLESS, "good1", "good2"))
    store = prepare(tmp_path / "raw", Odd(shape=(80, 64)), tmp_path / "store", workers=workers)
    kinds = {name: kind for name, (kind, _) in _reasons(store.path).items()}
    assert kinds == {
        "assertion.dcm": sandbox.UNFORESEEN,
        "panic.dcm": sandbox.UNFORESEEN,
        "sleep.dcm": sandbox.TOO_LONG,
        "eater.dcm": sandbox.TOO_MUCH_MEMORY,
    }
    assert store.manifest.cases == 2


@pytest.mark.ci
@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_ends_its_reader_is_found_and_the_others_are_stored(workers, cohort, tmp_path, quick, capfd):
    names = [f"{i:02d}good" for i in range(36)]
    for place, word in ((3, "segfault"), (17, "abort"), (33, "killed"), (34, "killed")):
        names[place] = f"{place:02d}{word}"
    raw = tmp_path / "raw"
    copy_as(sorted(cohort.rglob("*.dcm")), raw, names)
    store = prepare(raw, Odd(shape=(80, 64)), tmp_path / "store", workers=workers)
    reasons = _reasons(store.path)
    assert set(reasons) == {"03segfault.dcm", "17abort.dcm", "33killed.dcm", "34killed.dcm"}
    assert {kind for kind, _ in reasons.values()} == {"ends the process that reads it"}
    for word in ("SIGSEGV", "SIGABRT", "SIGKILL"):
        assert any(told.startswith(word) for _, told in reasons.values())
    assert store.manifest.cases == 32
    for name in reasons:
        (raw / name).unlink()
    other = prepare(raw, Odd(shape=(80, 64)), tmp_path / "other", workers=0)
    assert [case["pixels"] for case in store.cases] == [case["pixels"] for case in other.cases]
    assert not list(store.path.rglob("*.part"))


@pytest.mark.ci
def test_a_file_that_hangs_where_no_signal_is_heard_is_found(cohort, tmp_path, quick, monkeypatch):
    monkeypatch.setattr("ganatomy.data.culprits.GRACE_SECONDS", 4.0)  # the worker's own watchdog waits 30 s
    copy_as(sorted(cohort.rglob("*.dcm")), tmp_path / "raw", ("hang", "good1", "good2"))
    store = prepare(tmp_path / "raw", Odd(shape=(80, 64)), tmp_path / "store", workers=1)
    assert {name: kind for name, (kind, _) in _reasons(store.path).items()} == {"hang.dcm": sandbox.TOO_LONG}
    assert store.manifest.cases == 2


@pytest.mark.ci
def test_two_parts_that_end_workers_in_turn_are_both_searched(cohort, tmp_path, monkeypatch):
    """A part that ends the pool's worker ends the others' before they begin: which part is marked is chance."""
    names = [f"{i:02d}good" for i in range(36)]
    names[5], names[20] = "05segfault", "20abort"
    copy_as(sorted(cohort.rglob("*.dcm")), tmp_path / "raw", names)
    turns, run_jobs = iter((0, 1, 1, 0)), preparing._run_jobs

    def end_in_turn(work, todo, workers, dask):
        if (part := next(turns, None)) is None:
            return run_jobs(work, todo, 0, dask)
        get_temporary_path(tmp_path / "store" / "parts" / f"{part:06d}.begun").touch()
        raise BrokenProcessPool

    monkeypatch.setattr(preparing, "_run_jobs", end_in_turn)
    store = prepare(tmp_path / "raw", Odd(shape=(80, 64)), tmp_path / "store", workers=2)
    assert set(_reasons(store.path)) == {"05segfault.dcm", "20abort.dcm"}
    assert store.manifest.cases == 34


KILLED = """
import sys
from odd_files import Odd
from ganatomy.data.prepare import prepare
if __name__ == "__main__":
    prepare(sys.argv[1], Odd(shape=(80, 64)), sys.argv[2], workers=2)
"""


@pytest.mark.ci
def test_killed_while_it_looks_for_the_culprit_it_ends_in_the_same_bits(cohort, tmp_path):
    names = [f"{i:02d}good" for i in range(36)]
    names[5], names[20] = "05segfault", "20abort"
    copy_as(sorted(cohort.rglob("*.dcm")), tmp_path / "raw", names)
    (tmp_path / "program.py").write_text(KILLED)
    whole = prepare(tmp_path / "raw", Odd(shape=(80, 64)), tmp_path / "whole", workers=2)
    assert len(_reasons(whole.path)) == 2
    words = [sys.executable, tmp_path / "program.py", tmp_path / "raw", tmp_path / "store"]
    env = os.environ | {"PYTHONPATH": str(Path(odd_files.__file__).parent)}
    for pause in (2.0, 4.0, 6.0, 9.0):
        process = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(pause)
        process.kill()
        process.wait()
    assert subprocess.run(words, env=env, check=False, stdout=subprocess.DEVNULL).returncode == 0
    same(content(whole.path), content(tmp_path / "store"))
    assert not list((tmp_path / "store").rglob("*.part"))
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".lock"]


@pytest.mark.ci
def test_real_bombs_of_four_megabytes_become_rows(tmp_path):
    (tmp_path / "raw").mkdir()
    write_nifti_bomb(tmp_path / "raw" / "bomb.nii.gz", 4200)
    write_dicom_bomb(tmp_path / "raw" / "bomb.dcm", 4080)
    assert max(path.stat().st_size for path in Path(tmp_path / "raw").iterdir()) < 5 * 2**20
    with pytest.raises(Refused, match="2 x takes too much memory"):
        prepare(tmp_path / "raw", MODALITIES["chest_ct"], tmp_path / "store", workers=1)
    assert set(_reasons(tmp_path / "store")) == {"bomb.nii.gz", "bomb.dcm"}
