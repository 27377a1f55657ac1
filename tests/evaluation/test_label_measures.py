"""Label maps in a report: volumes of classes beside the real ones, and agreement with what the images show."""

import numpy as np
import pytest

from ganatomy.data.prepare import prepare
from ganatomy.evaluation.image_statistics import measure_images
from ganatomy.evaluation.images.comparison import Comparison
from ganatomy.evaluation.images.sample_cache import SampleCache
from ganatomy.evaluation.images.sets import select_real_images
from ganatomy.evaluation.label_measures import compute_dice
from ganatomy.imaging.image import Image
from ganatomy.modalities.chest_ct import ChestCT
from ganatomy.phantoms.cohort import write_cohort

SHAPE = (32, 32, 32)
CLASSES = ("background", "lungs", "bone")
LUNGS, BONE = "lungs of the label map (ml)", "bone of the label map (ml)"
DICE = "Dice of lungs with what the image shows"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    write_cohort("chest_ct", folder / "raw", 12, shape=SHAPE, to="nifti", workers=1, labels=True)
    labels = {"lungs": "{stem}_labels.nii.gz:1,2,3", "bone": "{stem}_labels.nii.gz:4"}
    # 3 are the airways, which a threshold counts to the lungs
    return prepare(folder / "raw", "chest_ct", folder / "store", 0, shape=SHAPE, labels=labels)


def _compare(store, shift=0, classes=CLASSES):
    """The store's images as if a model had made them, with label maps that are shifted by some planes to the left."""
    real = select_real_images(store, "train", SHAPE)
    samples = []
    for i in range(len(real)):
        labels = np.roll(real.read_labels(i), shift, 2)
        shares = np.stack([labels == n for n in range(len(CLASSES))]).astype(np.float32)
        samples.append((Image(real[i], None, {}, shares=shares, classes=classes), {"index": i}))
    fakes = SampleCache(samples, len(samples), SHAPE)
    return Comparison(ChestCT(), real, real, real, fakes, list(range(len(real))), {}, None, None)


def test_the_volumes_of_classes_stand_beside_the_real_ones(pairs):
    measures = measure_images(_compare(pairs))["measures"]
    assert measures[LUNGS]["synthetic"] == measures[LUNGS]["test"]
    assert 1500 < measures[LUNGS]["test"]["median"] < 6500
    assert 300 < measures[BONE]["test"]["median"] < 2000
    assert measures[DICE]["test"]["median"] > 0.85


def test_a_shift_of_four_voxels_shows(pairs):
    measures = measure_images(_compare(pairs, shift=4))["measures"]
    assert measures[LUNGS]["synthetic"]["median"] == pytest.approx(measures[LUNGS]["test"]["median"], rel=0.02)
    assert max(measures[DICE]["synthetic"]["values"]) < min(measures[DICE]["test"]["values"]) - 0.05


def test_label_maps_of_other_classes_are_not_compared(pairs):
    measures = measure_images(_compare(pairs, classes=("background", "lungs", "heart")))["measures"]
    assert not {LUNGS, BONE, DICE} & set(measures)


def test_dice():
    a, b = np.array([1, 1, 0, 0], bool), np.array([0, 1, 1, 0], bool)
    assert compute_dice(a, b) == 0.5
    assert np.isnan(compute_dice(a & ~a, a & ~a))
