"""Chest CT and brain MRI: to the grid and back, cases and labels, and what cannot serve."""

import csv

import numpy as np
import pytest

from ganatomy.data.prepare import prepare
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image, UnusableImage
from ganatomy.machine.durable import read_lines
from ganatomy.modalities.brain_mri import BrainMRI, threshold_foreground
from ganatomy.modalities.chest_ct import ChestCT
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.modality import Candidate
from ganatomy.modalities.resampling import resample_volume
from ganatomy.modalities.tissue import segment_body, segment_bone, segment_lungs
from ganatomy.phantoms.cohort import write_cohort
from ganatomy.phantoms.head import make_brain
from ganatomy.phantoms.thorax import make_thorax


def test_ct_to_the_grid_and_back_on_the_same_grid_loses_only_the_clip():
    made = make_thorax((0, 1), (32, 48, 64))
    kind = ChestCT(shape=(32, 48, 64))
    image = kind.normalise(Image(made.voxels, made.spacing))
    assert image.pixels.min() >= -1
    assert image.pixels.max() <= 1
    back = kind.denormalise(image)
    assert back.shape == made.voxels.shape
    assert back.spacing == pytest.approx(made.spacing)
    assert np.abs(back.pixels - np.clip(made.voxels, -1024, 600)).max() < 1


def test_ct_from_another_grid_comes_back_smoothed():
    made = make_thorax((0, 2), (48, 64, 80))
    kind = ChestCT(shape=(64, 64, 64))
    image = kind.normalise(Image(made.voxels, made.spacing))
    extent = [s * n for s, n in zip(image.spacing, image.shape, strict=True)]
    assert extent == pytest.approx([s * n for s, n in zip(made.spacing, made.voxels.shape, strict=True)])
    back = kind.denormalise(image)
    assert back.shape == made.voxels.shape
    assert np.abs(back.pixels - np.clip(made.voxels, -1024, 600)).mean() < 25


def test_blank_planes_are_trimmed_and_come_back():
    made = make_thorax((0, 3), (32, 32, 32))
    padded = np.pad(made.voxels, ((5, 3), (2, 0), (0, 7)), constant_values=-3000)
    kind = ChestCT(shape=(32, 32, 32))
    image = kind.normalise(Image(padded, made.spacing))
    assert image.geometry["kept"] == [(5, 37), (2, 34), (0, 32)]
    back = kind.denormalise(image).pixels
    assert back.shape == padded.shape
    assert (back[:5] == -1024).all()


def test_synthetic_ct_is_in_hounsfield_units_and_back():
    kind = ChestCT()
    image = Image(np.linspace(-1, 1, 64, dtype=np.float32).reshape(4, 4, 4), (1.0, 1.0, 1.0))
    shown = kind.denormalise(image)
    assert (shown.pixels.min(), shown.pixels.max()) == (-1024, 600)
    assert np.allclose(kind.canonicalise(shown).pixels, image.pixels, atol=1e-6)


def test_a_brain_to_the_grid_and_back():
    made = make_brain((0, 1), (64, 64, 64))
    voxels = made.voxels * 700  # a scanner's units
    kind = BrainMRI(shape=(64, 64, 64))
    image = kind.normalise(Image(voxels, made.spacing))
    assert image.spacing == (3, 3, 3)
    back = kind.denormalise(image)
    assert back.spacing == pytest.approx(made.spacing)
    assert np.abs(back.pixels - voxels).max() < 0.2 * voxels.max()  # the brightest voxels are clipped
    assert np.abs(back.pixels - voxels).mean() < 0.002 * voxels.max()


def test_a_brain_is_centred_and_its_size_kept():
    made = make_brain((0, 2), (64, 64, 64))
    shifted = np.roll(made.voxels, (4, -1, 7), (0, 1, 2))
    kind = BrainMRI(shape=(64, 64, 64))
    a, b = (kind.normalise(Image(v, made.spacing)).pixels for v in (made.voxels, shifted))
    assert np.abs(a - b).mean() < 1e-6
    larger = kind.normalise(Image(made.voxels, (3.3, 3.3, 3.3))).pixels
    assert (larger > -0.5).sum() > 1.2 * (a > -0.5).sum()


@pytest.mark.parametrize(
    ("kind", "image", "words"),
    [
        (ChestCT(), Image(np.full((16, 16, 16), -1024, np.float32), (1.0,) * 3), "nothing but air"),
        (ChestCT(), Image(np.zeros((12, 16, 16), np.float32), (1.0,) * 3), "enlarged 10.7 times"),
        (BrainMRI(), Image(np.zeros((16, 16, 16), np.float32), (1.0,) * 3), "no voxel is above zero"),
        (BrainMRI(), Image(np.ones((40, 40, 40), np.float32), (6.0,) * 3), "240 mm against 192 mm"),
        (BrainMRI(), Image(np.ones((40, 40, 40), np.float32), None), "no spacing"),
    ],
)
def test_volumes_that_cannot_serve_are_named(kind, image, words):
    with pytest.raises(UnusableImage, match=words):
        kind.normalise(image)


@pytest.mark.parametrize("shape", [(100, 96, 96), (64, 64), (8, 16, 16)])
def test_shapes_that_are_no_multiples_of_sixteen_are_refused(shape):
    with pytest.raises(Refused, match="multiples of 16"):
        ChestCT(shape=shape)


def test_resampling_keeps_the_mean_and_a_ramp():
    ramp = np.linspace(0, 1, 40, dtype=np.float32)[:, None, None] * np.ones((1, 30, 20), np.float32)
    down = resample_volume(ramp, (20, 10, 40))
    assert down.shape == (20, 10, 40)
    assert down.mean() == pytest.approx(0.5, abs=1e-3)
    assert np.allclose(np.diff(down[2:-2, 0, 0]), np.diff(down[2:-2, 0, 0])[0], atol=1e-3)


def test_tissue_of_a_phantom_is_its_truth():
    for number in range(3):
        made = make_thorax((1, number), (64, 64, 64))
        ml = float(np.prod(made.spacing)) / 1000
        assert segment_lungs(made.voxels).sum() * ml == pytest.approx(made.truth["lung_ml"], rel=0.05)
        assert segment_body(made.voxels).sum() * ml == pytest.approx(made.truth["body_ml"], rel=0.02)
        assert segment_bone(made.voxels).sum() * ml == pytest.approx(made.truth["bone_ml"], rel=0.35)
    assert not segment_body(np.full((8, 8, 8), -1000.0)).any()


def test_the_foreground_is_the_largest_bright_piece():
    values = np.zeros((20, 20, 20), np.float32)
    values[3:15, 3:15, 3:15] = 1
    values[18, 18, 18] = 1
    assert threshold_foreground(values).sum() == 12**3


# ----------------------------------------------------------------------------------------------------------------------
# Cases, labels, quarantine.


def _rewritten(table, change):
    rows = change(list(csv.DictReader(table.read_text().splitlines())))
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_mixed_folders_labels_and_reasons(tmp_path):
    raw = tmp_path / "raw"
    write_cohort("chest_ct", raw, 6, seed=1, shape=(32, 32, 32), workers=1)
    write_cohort("chest_ct", raw / "nifti", 2, seed=2, shape=(32, 32, 32), to="nifti", workers=1)
    sorted((raw / "PHA-s1-000002").iterdir())[9].unlink()
    (raw / "notes.txt").write_text("x")
    _rewritten(raw / "truth.csv", lambda rows: [row for row in rows if row["file"] != "PHA-s1-000003"])
    kind = ChestCT(FactSource(raw / "truth.csv", {"emphysema": "emphysema"}), (32, 32, 32))
    store = prepare(raw, kind, tmp_path / "store", workers=0)
    assert store.manifest.quarantined == {"missing slices": 1, "not in the table of facts": 4}
    assert store.manifest.cases == 4
    assert sum(store.manifest.facts["emphysema"].values()) == 4
    assert store.manifest.spacing == pytest.approx((300 / 32, 280 / 32, 380 / 32), rel=0.25)
    details = {row["file"]: row["detail"] for row in read_lines(store.path / "quarantine.jsonl")}
    assert details["PHA-s1-000003"] == "truth.csv has no row for it; add one to use it"


def test_nifti_and_dicom_of_one_phantom_agree(tmp_path):
    for to in ("dicom", "nifti"):
        write_cohort("chest_ct", tmp_path / to, 1, seed=3, shape=(32, 32, 32), to=to, workers=1)
    images = []
    for to in ("dicom", "nifti"):
        kind = ChestCT(shape=(32, 32, 32))
        (candidate,) = kind.list_candidates(tmp_path / to)
        images.append(kind.read(candidate)[0])
    assert np.array_equal(images[0].pixels, images[1].pixels)
    assert images[0].spacing == pytest.approx(images[1].spacing, abs=1e-5)


def test_real_brains_are_upright(shared):
    kind = BrainMRI(shape=(64, 64, 64))
    paths = sorted((shared / "mri_ixi").glob("*.nii.gz"))[:3]
    for path in paths:
        image, _ = kind.read(Candidate((path,), path.name, {}))
        inside = kind.normalise(image).pixels > -0.6
        widths = [inside.any(axis=tuple(a for a in range(3) if a != axis)).sum() for axis in range(3)]
        assert widths[1] > widths[0] > 0.8 * widths[2]  # longest from front to back
        z = np.indices(inside.shape)[0][inside]
        below = inside[: int(np.quantile(z, 0.15))].sum(axis=(1, 2)).mean()
        above = inside[int(np.quantile(z, 0.6))].sum()
        assert below < above  # the brainstem is narrow and below
