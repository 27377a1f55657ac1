"""Raw folder to store: nothing lost, nothing done twice, nothing silent."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import zarr
from pydicom import dcmread
from stores import KIND, content, same

from ganatomy.data import parts as preparing
from ganatomy.data.balance import REPORT_FILES, read_balance
from ganatomy.data.keys import load_key
from ganatomy.data.prepare import prepare, prepare_shard
from ganatomy.data.split import assign_splits, make_pseudonym
from ganatomy.data.store import dequantise_pixels, open_store, quantise_pixels
from ganatomy.errors import Refused
from ganatomy.machine.durable import read_lines
from ganatomy.machine.places import hold_output
from ganatomy.modalities.chest_ct import ChestCT
from ganatomy.modalities.mammogram import Mammogram


def test_one_row_a_file_and_patients_stay_together(store, cohort):
    assert store.manifest.cases == 40
    assert store.manifest.patients == 10
    assert sum(store.manifest.splits.values()) == 40
    by_patient = {}
    for case in store.cases:
        by_patient.setdefault(case["patient"], set()).add(case["split"])
    assert all(len(splits) == 1 for splits in by_patient.values())
    assert {case["split"] for case in store.cases} == {"train", "validation", "test"}
    text = (store.path / "cases.safetensors").read_bytes().decode("latin-1")
    assert "ganatomy/PHA" not in text
    secret = load_key().secret
    assert make_pseudonym("PHA-000001", secret) in text
    texts = "".join(path.read_bytes().decode("latin-1") for path in store.path.rglob("*") if path.is_file())
    for plain in (make_pseudonym("ganatomy/PHA-000001"), make_pseudonym("PHA-000001"), secret.hex()):
        assert plain not in texts


def test_levels_are_means_of_the_level_above(store):
    assert store.manifest.levels == ((10, 8), (20, 16), (40, 32), (80, 64))
    rows = [case["row"] for case in store.cases[:5]]
    for low, high in zip(store.manifest.levels, store.manifest.levels[1:], strict=False):
        fine = store.read(rows, high).astype(float)
        mean = (fine[:, ::2, ::2] + fine[:, 1::2, ::2] + fine[:, ::2, 1::2] + fine[:, 1::2, 1::2]) / 4
        assert np.abs(mean - store.read(rows, low)).max() <= 0.5


def test_the_store_is_readable_without_this_package(store):
    array = zarr.open_array(store.path / "arrays" / "80x64", mode="r")
    assert array.dtype == np.uint16
    assert json.loads((store.path / "manifest.json").read_text())["modality"] == "mammogram"


def test_encoding_keeps_sixteen_bits():
    values = np.linspace(-1, 1, 1001, dtype=np.float32)
    np.testing.assert_allclose(dequantise_pixels(quantise_pixels(values)), values, atol=2e-5)


def test_workers_do_not_change_the_store(cohort, store, tmp_path):
    prepare(cohort, KIND, tmp_path / "two", workers=2)
    same(content(store.path), content(tmp_path / "two"))


def test_an_interrupted_store_is_completed_without_doing_parts_twice(cohort, store, tmp_path, monkeypatch):
    done, real = [], preparing._write_part

    def some(out, kind, plan, key, limits, culprits, part, files):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(part)
        real(out, kind, plan, key, limits, culprits, part, files)

    monkeypatch.setattr(preparing, "_write_part", some)
    with pytest.raises(KeyboardInterrupt):
        prepare(cohort, KIND, tmp_path / "store", workers=0)
    with pytest.raises(Refused, match="not finished"):
        open_store(tmp_path / "store")
    again = []

    def noted(out, kind, plan, key, limits, culprits, part, files):
        again.append(part)
        real(out, kind, plan, key, limits, culprits, part, files)

    monkeypatch.setattr(preparing, "_write_part", noted)
    prepare(cohort, KIND, tmp_path / "store", workers=0)
    assert not set(done) & set(again)
    same(content(store.path), content(tmp_path / "store"))
    again.clear()
    prepare(cohort, KIND, tmp_path / "store", workers=0)
    assert not again


@pytest.mark.ci
def test_killed_at_any_moment_the_same_command_completes_it(cohort, store, tmp_path):
    command = [
        sys.executable,
        "-m",
        "ganatomy",
        "prepare",
        str(cohort),
        "--modality",
        "mammogram",
        "--shape",
        "80,64",
        "--out",
        str(tmp_path / "store"),
        "--workers",
        "2",
    ]
    for pause in (0.6, 0.9, 1.2):
        process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
        time.sleep(pause)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0
    same(content(store.path), content(tmp_path / "store"))
    assert not multiprocessing.active_children()


def test_files_that_cannot_serve_are_listed_with_their_reason(cohort, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(cohort, raw)
    files = sorted(raw.rglob("*.dcm"))
    whole = files[0].read_bytes()
    (raw / "truncated.dcm").write_bytes(whole[: len(whole) // 3])
    (raw / "notes.txt").write_text("no image")
    shutil.copy(files[1], raw / "copy.dcm")
    ds = dcmread(files[2])
    ds.Modality = "CT"
    ds.save_as(raw / "ct.dcm")
    store = prepare(raw, KIND, tmp_path / "store", workers=0)
    assert store.manifest.cases == 40
    reasons = {row["file"]: row["reason"] for row in read_lines(store.path / "quarantine.jsonl")}
    twin = "copy.dcm" if "copy.dcm" in reasons else files[1].relative_to(raw).as_posix()
    assert reasons == {
        "truncated.dcm": "pixels cannot be decoded",
        "notes.txt": "not an image file",
        "ct.dcm": "wrong modality",
        twin: "copy",
    }
    assert sum(store.manifest.quarantined.values()) == 4


def test_nothing_usable_leaves_the_reasons_and_the_next_try_may_use_the_name(cohort, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").write_text("x")
    (tmp_path / "raw" / "b.csv").write_text("x")
    for _ in range(2):
        with pytest.raises(Refused, match=r"1 x not an image file.* 1 paths were skipped"):
            prepare(tmp_path / "raw", KIND, tmp_path / "store")
        assert sorted(path.name for path in (tmp_path / "store").iterdir()) == sorted(REPORT_FILES)
        (row,) = read_lines(tmp_path / "store" / "quarantine.jsonl")
        assert (row["file"], row["reason"]) == ("a.txt", "not an image file")
        balance = read_balance(tmp_path / "store")
        assert [balance[name] for name in ("paths", "used", "left_out", "skipped", "cases")] == [2, 0, 1, 1, 0]
    shutil.copytree(cohort / "PHA-000001", tmp_path / "raw" / "more")
    assert prepare(tmp_path / "raw", KIND, tmp_path / "store", workers=0).manifest.cases == 4


def test_what_does_not_go_together_is_refused(cohort, store, tmp_path):
    with pytest.raises(Refused, match="not a store"):
        prepare(cohort, KIND, cohort)
    with pytest.raises(Refused, match="shape"):
        prepare(cohort, Mammogram(shape=(160, 128)), store.path)
    shutil.copytree(cohort / "PHA-000001", tmp_path / "fewer")
    with pytest.raises(Refused, match="has changed"):
        prepare(tmp_path / "fewer", KIND, store.path)


def test_a_store_is_made_by_one_process_at_a_time(cohort, tmp_path):
    with hold_output(tmp_path / "store"), pytest.raises(Refused, match="Another command is writing"):
        prepare(cohort, KIND, tmp_path / "store", workers=0)
    assert prepare(cohort, KIND, tmp_path / "store", workers=0).manifest.cases == 40
    assert not list(tmp_path.glob(".*"))


def test_a_newer_store_is_refused(store, tmp_path):
    shutil.copytree(store.path, tmp_path / "store")
    manifest = json.loads((tmp_path / "store" / "manifest.json").read_text())
    (tmp_path / "store" / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(Refused, match="format 99 and this version reads up to 2; update"):
        open_store(tmp_path / "store")
    (tmp_path / "store" / "manifest.json").write_text("{")
    with pytest.raises(Refused, match="damaged"):
        open_store(tmp_path / "store")


def test_a_full_disk_is_told_and_leaves_no_half_file(cohort, tmp_path, monkeypatch):
    real = preparing.write_lines

    def full(path, rows):
        if path.name == "000001.jsonl":
            path.with_name(f".{path.name}.{os.getpid()}.part").write_text("half")
            raise Refused("The disk is full: ...")
        real(path, rows)

    monkeypatch.setattr(preparing, "write_lines", full)
    with pytest.raises(Refused, match="disk is full"):
        prepare(cohort, KIND, tmp_path / "store", workers=0)
    monkeypatch.undo()
    store = prepare(cohort, KIND, tmp_path / "store", workers=0)
    assert store.manifest.cases == 40
    assert not list((tmp_path / "store").rglob("*.part"))


def test_the_split_is_by_patient_and_stable():
    patients = [f"p{i}" for i in range(100)]
    one = assign_splits(patients)
    assert one == assign_splits(patients[::-1] * 2)
    counts = {name: list(one.values()).count(name) for name in ("train", "validation", "test")}
    assert counts == {"train": 80, "validation": 10, "test": 10}
    assert set(assign_splits(["a", "b", "c"]).values()) == {"train", "validation", "test"}
    assert set(assign_splits(["a"]).values()) == {"train"}


def test_the_real_images_can_be_prepared(shared, tmp_path):
    from ganatomy.modalities.facts import FactSource

    store = prepare(shared / "dicom_mg_from_mayo", Mammogram(shape=(160, 128)), tmp_path / "dicom", workers=0)
    assert store.manifest.cases == 4
    assert store.manifest.facts == {"view_position": {"CC": 2, "MLO": 2}, "laterality": {"L": 2, "R": 2}}
    columns = {
        "laterality": "laterality_marker",
        "view_position": "view_marker",
        "chest_wall": "chest_wall_side_in_image",
    }
    facts = FactSource(shared / "mammo_mayo" / "labels.csv", columns)
    store = prepare(shared / "mammo_mayo", Mammogram(shape=(160, 128), facts=facts), tmp_path / "png", workers=0)
    assert store.manifest.cases == 10
    assert store.manifest.quarantined == {"view is not CC or MLO": 1, "not in the table of facts": 1}
    pixels = dequantise_pixels(store.read([case["row"] for case in store.cases], (160, 128)))
    assert (pixels[:, :, :16].mean((1, 2)) > pixels[:, :, -16:].mean((1, 2)) + 0.2).all()  # chest wall left


def test_the_same_command_reads_no_header_again(thoraces, tmp_path, monkeypatch):
    raw = tmp_path / "raw"
    shutil.copytree(thoraces, raw)
    kind, out = ChestCT(shape=(32, 32, 32)), tmp_path / "store"
    assert prepare_shard(raw, kind, out, (1, 2), workers=0) is None
    read = []
    real = ChestCT.group_files
    monkeypatch.setattr(ChestCT, "group_files", lambda self, listing: read.append(1) or real(self, listing))
    store = prepare(raw, kind, out, workers=0)
    assert (store.manifest.cases, read) == (16, [])
    assert prepare(raw, kind, out, workers=0).cases == store.cases
    assert not read
    shutil.rmtree(next(path for path in raw.iterdir() if path.is_dir()))
    with pytest.raises(Refused, match=r"has changed .* of its 16 images, 1 are gone"):
        prepare(raw, kind, out, workers=0)
    assert read
