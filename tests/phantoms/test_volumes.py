"""Phantom volumes: the same key gives the same bits, the truth is in range and agrees with the voxels."""

import csv

import nibabel as nib
import numpy as np
import pytest

from ganatomy.data.prepare import prepare
from ganatomy.errors import Refused
from ganatomy.phantoms.cohort import write_cohort
from ganatomy.phantoms.head import FLUID, TISSUES, make_brain
from ganatomy.phantoms.thorax import EMPHYSEMA_SHARES, STRUCTURES, make_thorax


@pytest.mark.parametrize("make", [make_thorax, make_brain])
def test_the_same_key_gives_the_same_volume(make):
    a, b, other = make((0, 5), (32, 32, 32)), make((0, 5), (32, 32, 32)), make((0, 6), (32, 32, 32))
    assert np.array_equal(a.voxels, b.voxels)
    assert a.truth == b.truth
    assert not np.array_equal(a.voxels, other.voxels)


def test_truth_of_thoraces_is_in_the_range_of_adults():
    for number in range(8):
        truth = make_thorax((0, number), (48, 48, 48)).truth
        assert 2000 < truth["lung_ml"] < 6500
        assert truth["lung_ml"] == pytest.approx(truth["right_lung_ml"] + truth["left_lung_ml"], abs=0.2)
        assert 700 < truth["bone_ml"] < 2000
        low, high = EMPHYSEMA_SHARES[truth["emphysema"]]
        assert 100 * low - 3 <= truth["emphysema_percent"] <= 100 * high + 3
        assert -900 < truth["mean_lung_hu"] < -780


def test_emphysema_lowers_the_density_of_the_lung():
    found = [make_thorax((2, number), (48, 48, 48)).truth for number in range(24)]
    mean = {s: np.mean([t["laa950_percent"] for t in found if t["emphysema"] == s]) for s in EMPHYSEMA_SHARES}
    assert mean["none"] < mean["mild"] < mean["severe"]


def test_brains_shrink_and_ventricles_grow_with_age():
    found = [make_brain((0, number), (48, 48, 48)).truth for number in range(24)]
    age = [t["age"] for t in found]
    ventricles = [t["ventricle_ml"] / t["intracranial_ml"] for t in found]
    fluid = [t["csf_ml"] / t["intracranial_ml"] for t in found]
    assert np.corrcoef(age, ventricles)[0, 1] > 0.8
    assert np.corrcoef(age, fluid)[0, 1] > 0.8
    for truth in found:
        assert 1000 < truth["intracranial_ml"] < 2100
        parts = truth["grey_ml"] + truth["white_ml"] + truth["csf_ml"]
        assert parts == pytest.approx(truth["intracranial_ml"], abs=0.3)


def test_the_volume_of_a_brain_is_that_of_its_voxels():
    made = make_brain((0, 9), (64, 64, 64))
    counted = (made.voxels > FLUID / 3).sum() * float(np.prod(made.spacing)) / 1000
    assert counted == pytest.approx(made.truth["intracranial_ml"], rel=0.03)


def test_a_thorax_is_upright():
    made = make_thorax((0, 1), (48, 48, 48))
    lungs = made.voxels < -500
    inside = lungs & (np.abs(np.indices(lungs.shape)[2] - 23.5) < 17)
    z = np.indices(lungs.shape)[0]
    middle = made.voxels[:, :, 23:25]
    assert middle[:, 30:, :].max() > middle[:, 12:24, :].max()  # the spine is behind
    assert made.voxels[:10, 16:32, 16:32].mean() > made.voxels[24:40, 16:32, 8:40].mean()  # belly below, lungs above
    assert z[inside].mean() > 15


def test_any_number_of_workers_gives_the_same_files(tmp_path):
    for workers in (1, 2):
        made = write_cohort("brain_mri", tmp_path / str(workers), 2, seed=4, shape=(16, 16, 16), workers=workers)
        assert made == 2
    files = sorted(p.relative_to(tmp_path / "1") for p in (tmp_path / "1").rglob("*") if p.is_file())
    assert len(files) == 2 * 16 + 1
    assert all((tmp_path / "1" / f).read_bytes() == (tmp_path / "2" / f).read_bytes() for f in files)
    rows = list(csv.DictReader((tmp_path / "1" / "truth.csv").read_text().splitlines()))
    assert [row["file"] for row in rows] == ["PHA-s4-000001", "PHA-s4-000002"]  # another seed, other persons


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": (20, 16, 16)}, "multiples of 16"),
        ({"to": "png"}, "dicom or nifti"),
        ({"kind": "knee"}, "choose one of mammogram, chest_ct, brain_mri"),
        ({"kind": "mammogram", "shape": None, "to": "nifti"}, "written as dicom"),
    ],
)
def test_impossible_cohorts_are_refused(tmp_path, change, words):
    with pytest.raises(Refused, match=words):
        write_cohort(**({"kind": "chest_ct", "out": tmp_path, "patients": 1, "shape": (16, 16, 16)} | change))


@pytest.mark.parametrize(("kind", "classes"), [("chest_ct", STRUCTURES), ("brain_mri", TISSUES)])
def test_label_maps_are_the_truth_and_are_prepared_with_their_images(kind, classes, tmp_path):
    write_cohort(kind, tmp_path / "raw", 3, shape=(32, 32, 32), to="nifti", workers=1, labels=True)
    labels = {name: f"{{stem}}_labels.nii.gz:{number}" for number, name in enumerate(classes, 1)}
    store = prepare(tmp_path / "raw", kind, tmp_path / "store", 0, shape=(32, 32, 32), labels=labels)
    assert store.manifest.cases == 3
    assert store.manifest.quarantined == {}
    assert store.manifest.synthetic == 3
    for path in sorted((tmp_path / "raw").glob("*_labels.nii.gz")):
        image = nib.load(str(path).replace("_labels", ""))
        values, numbers = np.asarray(image.dataobj), np.asarray(nib.load(path).dataobj)
        assert set(np.unique(numbers)) <= set(range(len(classes) + 1))
        means = {name: values[numbers == i].mean() for i, name in enumerate(("none", *classes)) if (numbers == i).any()}
        if kind == "chest_ct":
            assert means["right lung"] < -700 > means["left lung"]
            assert means["bone"] > 200
        else:
            assert means["fluid"] < means["grey matter"] < means["white matter"]


def test_label_maps_of_other_kinds_and_formats_are_refused(tmp_path):
    with pytest.raises(Refused, match="give --to nifti"):
        write_cohort("chest_ct", tmp_path / "raw", 1, shape=(16, 16, 16), labels=True)
    with pytest.raises(Refused, match="phantom mammograms have no label maps"):
        write_cohort("mammogram", tmp_path / "raw", 1, shape=(80, 64), labels=True)
