"""croissant.json of stores and samples: it names what is there and no patient, and MLCommons' reader takes it."""

import hashlib
import importlib.util
import json
from dataclasses import astuple, replace

import cohorts
import pytest

from ganatomy.cli import main
from ganatomy.data.prepare import prepare
from ganatomy.data.samples import read_samples
from ganatomy.exporting.croissant import Statement, _describe_store, write_croissant
from ganatomy.exporting.export import export
from ganatomy.machine.durable import read_lines
from ganatomy.modalities.chest_ct import ChestCT
from ganatomy.modalities.facts import FactSource

STATED = Statement("brains", "https://creativecommons.org/licenses/by/4.0/", "https://example.org/data", "Nobody 2026")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return cohorts.mammograms(tmp_path_factory.mktemp("samples") / "png", 6)


@pytest.fixture(scope="module")
def labelled(thoraces, tmp_path_factory):
    """A store with a class and a number."""
    facts = FactSource(thoraces / "truth.csv", {"emphysema": "emphysema", "lung_ml": "lung_ml"})
    return prepare(thoraces, ChestCT(facts, (32, 32, 32)), tmp_path_factory.mktemp("store") / "store", workers=0)


def check_files(folder, told):
    """Every file that is named lies in the folder and has the hash and size that are told."""
    files = [part for part in told["distribution"] if part["@type"] == "cr:FileObject"]
    for part in files:
        content = (folder / part["contentUrl"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == part["sha256"]
        assert part["contentSize"] == f"{len(content)} B"
    for part in told["distribution"]:
        if part["@type"] == "cr:FileSet":
            assert all(any(folder.glob(pattern)) for pattern in part["includes"])
    return {part["name"] for part in files}


def test_samples_say_that_they_are_synthetic_and_how_they_were_made(samples, capsys):
    line = f"croissant {samples} --licence CC0-1.0 --name phantoms"
    assert main([*line.split(), "--dry-run"]) == 0
    assert not (samples / "croissant.json").exists()
    assert main(line.split()) == 0
    assert "7 files and sets of files; not stated: url, citeAs" in capsys.readouterr().out
    told = json.loads((samples / "croissant.json").read_text())
    rows, _ = read_samples(samples)
    assert check_files(samples, told) == {"samples.jsonl", *(row["file"] for row in rows)}
    assert (told["name"], told["license"], told["datePublished"]) == ("phantoms", "CC0-1.0", "2026-01-02")
    assert (
        "6 synthetic mammogram images that a generative model has made; no image shows a patient" in told["description"]
    )
    assert cohorts.SNAPSHOTS["mammogram"] in told["prov:wasGeneratedBy"]["prov:label"]
    fields = {field["name"] for field in told["recordSet"][0]["field"]}
    assert fields == {"file", "seed", "index", "snapshot_sha256", "view_position", "laterality"}


def test_series_of_slices_are_a_set_of_files(tmp_path):
    volumes = cohorts.volumes(tmp_path / "nifti", "chest_ct", 2)
    assert export(volumes, tmp_path / "dicom", "dicom") == 2
    told = write_croissant(tmp_path / "dicom")
    assert check_files(tmp_path / "dicom", told) == {"samples.jsonl"}
    series = told["distribution"][-1]
    assert series["encodingFormat"] == "application/dicom"
    assert sum(len(list((tmp_path / "dicom").glob(pattern))) for pattern in series["includes"]) == 2 * cohorts.SHAPE[0]


def test_a_store_tells_counts_and_names_and_nothing_of_patients(labelled):
    told = write_croissant(labelled.path, *astuple(STATED))
    assert read_lines(labelled.path / "cases.jsonl") == labelled.cases
    assert (told["name"], told["license"], told["url"], told["citeAs"]) == (
        STATED.name,
        STATED.licence,
        STATED.url,
        STATED.citation,
    )
    text = (labelled.path / "croissant.json").read_text()
    for case in labelled.cases:
        hidden = (case["patient"], case["file"], case["pixels"], f'"{case["facts"]["lung_ml"]}"')
        assert not [word for word in hidden if word in text]
    assert str(labelled.path) not in text
    assert "16 chest_ct images of 16 patients" in told["description"]
    assert labelled.manifest.fingerprint in told["description"]
    arrays = {f"arrays/{'x'.join(map(str, level))}/zarr.json" for level in labelled.manifest.levels}
    assert check_files(labelled.path, told) == {"manifest.json", "cases.safetensors", "cases.jsonl", *arrays}
    kinds = {field["name"]: field["dataType"] for field in told["recordSet"][0]["field"]}
    assert kinds["emphysema"] == "sc:Text"
    assert kinds["lung_ml"] == "sc:Float"


def test_it_is_said_whether_a_store_shows_patients(labelled):
    told = "rai:personalSensitiveInformation"
    assert "all images say that they are synthetic" in _describe_store(labelled, STATED)[told]
    patients = replace(labelled, manifest=labelled.manifest.replace(synthetic=0))
    assert "must not be handed on" in _describe_store(patients, STATED)[told]


def test_what_is_no_data_is_refused(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "gone"):
        assert main(f"croissant {folder}".split()) == 2
        told = capsys.readouterr().err
        assert "is neither a store nor a folder of samples; give one that" in told
        assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(importlib.util.find_spec("mlcroissant") is None, reason="mlcroissant is not installed")
@pytest.mark.filterwarnings("ignore")  # of the reader and of what it imports
def test_the_reader_of_mlcommons_finds_no_fault_and_reads_the_records(samples, labelled):
    import mlcroissant

    for folder, name, count in ((samples, "samples", 6), (labelled.path, "cases", 16)):
        write_croissant(folder, *astuple(STATED))
        dataset = mlcroissant.Dataset(folder / "croissant.json")
        assert not dataset.metadata.issues.errors
        assert not [words for words in dataset.metadata.issues.warnings if "datePublished" not in str(words)]
        records = list(dataset.records(name))
        assert len(records) == count
    rows, _ = read_samples(samples)
    read = list(mlcroissant.Dataset(samples / "croissant.json").records("samples"))
    assert [one["samples/index"] for one in read] == [row["record"]["index"] for row in rows]
    assert read[0]["samples/file"].decode() == rows[0]["file"]
    assert records[0]["cases/lung_ml"] == float(labelled.cases[0]["facts"]["lung_ml"])
