"""Volumes through the whole line: samples as NIfTI and DICOM, features, reports, and what is refused."""

import gzip
import json
import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pyarrow import csv, parquet

from ganatomy.checkpoint import open_snapshot
from ganatomy.data.samples import read_samples
from ganatomy.dicom import series
from ganatomy.encoding import encode
from ganatomy.errors import Refused
from ganatomy.evaluation.evaluate import evaluate
from ganatomy.exporting.export import export, write_samples
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.sampling import sample
from ganatomy.selection import select
from ganatomy.training.train import train


@pytest.fixture(scope="module")
def snapshot(hagan):
    return open_snapshot(hagan.list_snapshots()[-1])


@pytest.fixture(scope="module")
def encoder(hagan, volumes, tmp_path_factory):
    recipe = change_recipe(get_recipe("hagan-encoder"), {"total_kimg": 0.04})
    return train(recipe, volumes, tmp_path_factory.mktemp("encoder"), generator=hagan.path)


def test_samples_by_planes_are_those_of_one_pass(snapshot):
    whole, pieces = (list(sample(snapshot, 2, seed=3, planes=planes)) for planes in (None, 8))
    for (a, record_a), (b, record_b) in zip(whole, pieces, strict=True):
        assert np.abs(a.pixels - b.pixels).max() < 1e-5
        assert record_a == record_b
    with pytest.raises(Refused, match="4 or more"):
        sample(snapshot, 1, planes=2)


def test_niftis_hold_hounsfield_units_and_are_read_back(snapshot, tmp_path):
    made = list(sample(snapshot, 2, seed=1))
    assert write_samples(made, 2, snapshot.modality, tmp_path / "out") == 2
    rows, images = read_samples(tmp_path / "out")
    image = nib.load(tmp_path / "out" / rows[0]["file"])
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    assert image.header.get_zooms() == pytest.approx(made[0][0].spacing[::-1], rel=1e-4)
    assert image.get_data_dtype() == np.int16
    for (a, _), (b, _) in zip(made, images, strict=True):
        assert np.abs(a.pixels - b.pixels).max() < 1e-3  # half a Hounsfield unit


def test_dicom_series_of_samples_are_read_by_our_own_reader(snapshot, tmp_path):
    made = list(sample(snapshot, 2, seed=1))
    write_samples(made, 2, snapshot.modality, tmp_path / "nifti")
    assert export(tmp_path / "nifti", tmp_path / "dicom", "dicom", date="20260101") == 2
    (folder,) = (tmp_path / "dicom").glob("SYN-*-000002")
    (voxels, spacing, *_), *_ = series.read_volume(tuple(sorted(folder.iterdir())), "CT")
    expected = np.rint((made[1][0].pixels + 1) * 812 - 1024)
    assert np.abs(voxels - expected).max() <= 1
    assert spacing == pytest.approx(made[1][0].spacing, rel=1e-4)


def test_no_header_of_a_training_image_reaches_an_output(thoraces, tmp_path):
    """Every text attribute of the raw series is marked; no file that is written later holds the mark."""
    from ganatomy.data.prepare import prepare
    from ganatomy.modalities.chest_ct import ChestCT

    raw = tmp_path / "raw"
    shutil.copytree(thoraces, raw)
    for number, path in enumerate(sorted(raw.rglob("*.dcm"))):
        ds = pydicom.dcmread(path)
        for name in ("PatientName", "AccessionNumber", "StudyDescription", "SeriesDescription", "Manufacturer"):
            setattr(ds, name, "ZEBRAMARK")
        ds.PatientID = f"ZEBRAMARK{path.parent.name}"
        ds.add_new("InstitutionName", "LO", "ZEBRAMARK")
        ds.add_new("RequestingPhysician", "PN", f"ZEBRAMARK{number}")
        ds.save_as(path)
    store = prepare(raw, ChestCT(shape=(32, 32, 32)), tmp_path / "store", workers=0)
    run = train(change_recipe(get_recipe("hagan").make_tiny(), {"total_kimg": 0.01}), store, tmp_path / "runs")
    snapshot = open_snapshot(run.list_snapshots()[-1])
    for to in ("nifti", "dicom", "npy"):
        write_samples(sample(snapshot, 1), 1, "chest_ct", tmp_path / to, to)
    export(tmp_path / "nifti", tmp_path / "enhanced", enhanced=True, compress="jpeg-ls")
    export(tmp_path / "nifti", tmp_path / "pictures", secondary_capture=True)
    places = ("store", "runs", "nifti", "dicom", "npy", "enhanced", "pictures")
    written = [p for place in places for p in (tmp_path / place).rglob("*") if p.is_file()]
    assert len(written) > 80
    contents = (gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes() for p in written)
    assert not [content for content in contents if b"ZEBRAMARK" in content]


def test_features_one_row_a_case(encoder, volumes, tmp_path):
    snapshot = open_snapshot(encoder.list_snapshots()[-1], None)
    assert encode(snapshot, volumes, tmp_path / "f.parquet", to="nifti") == len(volumes.cases)
    table = parquet.read_table(tmp_path / "f.parquet").to_pylist()
    assert {row["file"] for row in table} == {case["file"] for case in volumes.cases}
    assert {row["split"] for row in table} == {"train", "validation", "test"}
    assert all(row["emphysema"] in ("none", "mild", "severe") for row in table)
    codes = np.array([[row[f"z{i:04d}"] for i in range(16)] for row in table])
    assert codes.std(0).min() > 0
    assert all(-1 <= row["ssim"] <= 1 and 0 < row["psnr"] < 60 for row in table)
    assert (tmp_path / "f.png").stat().st_size > 1000
    assert len(list((tmp_path / "f").glob("*.nii.gz"))) == len(table)
    encode(snapshot, volumes, tmp_path / "f.csv", "test", 1)
    assert csv.read_csv(tmp_path / "f.csv").num_rows == 1


@pytest.mark.ci
def test_a_longer_training_of_the_encoder_reconstructs_better(hagan, volumes, tmp_path):
    quality = []
    for kimg in (0.004, 0.4):
        recipe = change_recipe(get_recipe("hagan-encoder"), {"total_kimg": kimg, "optimizers.high_encoder.lr": 2e-3})
        run = train(recipe, volumes, tmp_path / str(kimg), generator=hagan.path)
        log = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
        quality.append(log[-1]["high_encoder/high"])
    assert quality[1] < 0.9 * quality[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"out": "f.txt"}, "ends in .parquet or .csv"),
        ({"split": "all"}, "give train, validation, test"),
        ({"to": "png"}, "written as nifti"),
    ],
)
def test_wishes_for_features_are_checked(encoder, volumes, tmp_path, change, words):
    snapshot = open_snapshot(encoder.list_snapshots()[-1], None)
    with pytest.raises(Refused, match=words):
        encode(snapshot, volumes, **{"out": tmp_path / "f.csv", **change})


def test_a_generator_without_an_encoder_is_refused_with_the_command(hagan, volumes, tmp_path):
    with pytest.raises(Refused, match="ganatomy train hagan-encoder STORE --generator"):
        encode(open_snapshot(hagan.list_snapshots()[-1], None), volumes, tmp_path / "f.csv")


def test_a_class_that_was_never_seen_is_refused(snapshot, volumes, tmp_path):
    with pytest.raises(Refused, match="not conditioned on 'gold'"):
        sample(snapshot, 1, condition={"gold": "7"})
    recipe = change_recipe(get_recipe("hagan").make_tiny(), {"conditions": {"emphysema": ["none", "mild"]}})
    with pytest.raises(Refused, match="The store has emphysema severe"):
        train(recipe, volumes, tmp_path)


@pytest.mark.ci
def test_selection_and_report_of_volumes(hagan, volumes, tmp_path):
    many = tmp_path / "run"
    shutil.copytree(hagan.path, many)
    small = volumes.path
    with pytest.raises(Refused, match="too few"):  # two test patients say nothing
        evaluate(many, small, tmp_path / "report")
    best = select(many, small)
    assert json.loads((many / "selection.json").read_text())["protocol"].count("7x7x7") == 1
    assert best.path.exists()


@pytest.mark.ci
def test_a_report_of_volumes_has_planes_and_contours(hagan, volumes, tmp_path, monkeypatch):
    monkeypatch.setattr("ganatomy.evaluation.images.comparison.MIN_IMAGES", 2)
    content = evaluate(hagan.path, volumes, tmp_path / "report")
    assert {p.name for p in (tmp_path / "report").iterdir()} >= {
        "report.html",
        "report.json",
        "real_beside_synthetic.png",
        "masks.png",
        "synthetic_nearest_training.png",
    }
    assert content["swd"]["fake"]["average"] > 0
    assert "Lungs and bone" in (tmp_path / "report" / "report.html").read_text()


def test_any_recipe_with_an_encoder_gives_features(volumes, tmp_path):
    run = train(change_recipe(get_recipe("vae-gan").make_tiny(), {"total_kimg": 0.016}), volumes, tmp_path / "runs")
    snapshot = open_snapshot(run.list_snapshots()[-1], None)
    assert encode(snapshot, volumes, tmp_path / "f.csv", n=3) == 3
    table = csv.read_csv(tmp_path / "f.csv").to_pylist()
    assert {len([name for name in row if name[0] == "z"]) for row in table} == {snapshot.recipe.latent}
