"""Markers in every header, name and path of the training data: none reaches a sample, report, log, card or bundle."""

import base64
import csv
import getpass
import gzip
import platform
import socket
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from markers import DATE, MARK, find_markers, plant_in_dicom, plant_in_nifti, plant_in_picture
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from ganatomy.cli import main
from ganatomy.data.store import open_store
from ganatomy.machine.sealed_zip import write_sealed_zip
from ganatomy.phantoms.cohort import write_cohort
from ganatomy.training.run import describe_environment

HOST = "ZEBRAHOST"  # the name of the machine and of its user, as the commands see it


def plant_mammograms(raw, cohort):
    """DICOM files and, of the last three patients, pictures; returns the UIDs."""
    uids, rows = set(), []
    with (cohort / "truth.csv").open() as file:
        for number, row in enumerate(csv.DictReader(file)):
            source, patient = cohort / row["file"], f"{MARK}-{row['patient']}"
            target = raw / patient / f"{MARK}{number}{'.png' if number >= 28 else '.dcm'}"
            if number >= 28:
                plant_in_picture(source, target)
            else:
                uids |= plant_in_dicom(source, target, patient)
            rows.append([str(target.relative_to(raw)), patient, row["view_position"], row["laterality"], MARK])
    write_facts(raw, ["file", "patient", "view_position", "laterality", MARK], rows)
    return uids


def plant_thoraces(raw, cohort):
    """DICOM series and, of every fourth patient, a NIfTI file; returns the UIDs."""
    uids, rows = set(), []
    with (cohort / "truth.csv").open() as file:
        for number, row in enumerate(csv.DictReader(file)):
            patient = f"{MARK}-{row['patient']}"
            target = raw / patient / (f"{MARK}.nii.gz" if number % 4 == 3 else f"{MARK}series")
            if number % 4 == 3:
                plant_in_nifti(cohort / row["file"], target)
            else:
                for slice_, source in enumerate(sorted((cohort / row["file"]).glob("*.dcm"))):
                    uids |= plant_in_dicom(source, target / f"{MARK}{slice_}.dcm", patient)
            rows.append([str(target.relative_to(raw)), patient, row["emphysema"], MARK])
    write_facts(raw, ["file", "patient", "emphysema", MARK], rows)
    return uids


def write_facts(raw, header, rows):
    with (raw / "facts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def run_commands(lines, monkeypatch):
    for line in lines:
        words = line.split()
        monkeypatch.setattr(sys, "argv", ["ganatomy", *words])  # as the front door has them
        assert main(words) == 0, line


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The training data lie in marked folders, which the commands are given relative to a folder, and outputs not."""
    data, out = tmp_path / "data" / MARK, tmp_path / "out"
    data.mkdir(parents=True)
    out.mkdir()
    monkeypatch.chdir(data.parent)
    for place, name in ((socket, "gethostname"), (platform, "node"), (getpass, "getuser")):
        monkeypatch.setattr(place, name, lambda: HOST)
    monkeypatch.setenv("USER", HOST)
    return data, out


@pytest.mark.ci
def test_no_marker_of_mammograms_is_found(cohort, folders, monkeypatch):
    data, out = folders
    uids = plant_mammograms(data / "raw", cohort)
    store, run, back = f"{MARK}/{MARK}store", "../out/runs/00000-pggan-mammogram", "../out/samples"
    lines = [
        f"prepare {MARK}/raw --modality mammogram --shape 80,64 --out {store} --workers 1",
        f"train pggan-mammogram {store} --tiny --out ../out/runs",
        f"sample {run} --n 24 --out {back}/png",
        *(f"sample {run} --n 4 --to {to} --out {back}/{to}" for to in ("npy", "dicom", "hanging")),
        f"evaluate {back}/png {store} --out ../out/report",
        f"export {back}/png --to dicom --compress rle --secondary-capture --despite-audit --out ../out/export",
        f"publish {run} --report ../out/report --unaudited --with discriminator --out ../out/model.zip",
        f"card {run} --report ../out/report --out ../out/card",
        f"croissant {back}/png",
        f"explore {run} --attribute component_1 --n 20 --walks 1 --steps 2 --out ../out/walk",
    ]
    run_commands(lines, monkeypatch)
    check(out, data / f"{MARK}store", uids)


@pytest.mark.ci
def test_no_marker_of_volumes_is_found(thoraces, folders, tmp_path, monkeypatch):
    data, out = folders
    write_cohort("chest_ct", tmp_path / "others", 6, seed=1, shape=(32, 32, 32), workers=1)
    uids = plant_thoraces(data / "raw", thoraces) | plant_thoraces(data / "raw2", tmp_path / "others")
    store, run, back = f"{MARK}/{MARK}store", "../out/runs/00000-hagan-2022", "../out/samples"
    lines = [
        *(
            f"prepare {MARK}/raw{end} --modality chest_ct --shape 32,32,32 --out {store}{end} --workers 1"
            for end in ("", "2")
        ),
        f"train hagan-2022 {store} --tiny --set total_kimg=0.008 --out ../out/runs",
        f"sample {run} --n 24 --out {back}/nifti",
        *(f"sample {run} --n 2 --to {to} --out {back}/{to}" for to in ("npy", "dicom")),
        f"evaluate {back}/nifti {store} --held-out {store}2 --out ../out/report",
        f"export {back}/nifti --to dicom --enhanced --despite-audit --out ../out/export",
        f"publish {run} --unaudited --out ../out/model.zip",
        f"encode {run} {store} --out ../out/features.parquet",
        f"card {run} --out ../out/card",
    ]
    run_commands(lines, monkeypatch)
    check(out, data / f"{MARK}store", uids)


def check(out, store, uids):
    """Markers are found in the files that have to name the store or its cases, and in no other."""
    patients = {case["patient"] for case in open_store(store).cases}
    assert MARK in (store / "cases.safetensors").read_bytes().decode("latin-1")  # they were in what was read
    assert len(uids) > 20
    found = find_markers(out, {MARK, DATE, HOST, *uids, *patients})
    assert {Path(one.partition(": ")[0]).name for one in found} <= {"store.json", "suspects.csv", "features.parquet"}
    assert any("store.json: ZEBRAMARK" in one for one in found)
    assert not find_markers(out, {DATE, HOST, *uids})


def test_a_run_keeps_the_words_of_its_command_without_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / MARK).mkdir()
    words = ["train", "hagan", MARK, f"{MARK}/raw", "--set", "total_kimg=1", f"--out={MARK}/x", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["ganatomy", *words])
    told = describe_environment(0)["arguments"]
    assert told == ["train", "hagan", "PATH", "PATH", "--set", "total_kimg=1", "--out=PATH", "PATH"]


def test_the_search_finds_markers_in_every_kind_of_file(tmp_path):
    """The tests above would pass if the search saw nothing."""
    text = PngInfo()
    text.add_itxt("Comment", MARK, zip=True)
    picture = tmp_path / "in" / "a.png"
    picture.parent.mkdir()
    Pillow.new("L", (2, 2)).save(picture, pnginfo=text)
    assert MARK.encode() not in picture.read_bytes()
    volume = nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    volume.header["descrip"] = MARK.encode()
    nib.save(volume, tmp_path / "in" / "b.nii.gz")
    (tmp_path / "in" / "c.gz").write_bytes(gzip.compress(gzip.compress(MARK.encode())))
    parquet.write_table(pa.table({"x": [MARK, MARK]}), tmp_path / "in" / "d.parquet", compression="zstd")
    (tmp_path / "in" / "e.html").write_text(
        f'<img src="data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}">'
    )
    (tmp_path / "in" / MARK).write_text("{}")
    (tmp_path / "in" / "clean.json").write_text("{}")
    write_sealed_zip(tmp_path / "out" / "f.zip", tmp_path / "in")
    found = find_markers(tmp_path, {MARK})
    assert len(found) == 7
    assert "out/f.zip: ZEBRAMARK" in found
    assert not find_markers(tmp_path, {"OTHERMARK"})
