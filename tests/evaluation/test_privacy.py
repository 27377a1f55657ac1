"""The audit on sets of which it is known what was copied: what must be found is, and what must not is not."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from ganatomy.evaluation.images.image_set import PixelImages
from ganatomy.evaluation.privacy import copying, planted
from ganatomy.evaluation.privacy.copying import (
    PrivacyDistances,
    _compute_share,
    audit_space,
    count_expected,
    describe_verdict,
    list_failed_tests,
)
from ganatomy.evaluation.privacy.distances import (
    PixelDistance,
    centre_image,
    compute_mirror_distances,
    compute_reach,
    encode_mirrors,
)
from ganatomy.evaluation.privacy.transformed import TRANSFORMATIONS
from ganatomy.phantoms.fields import draw_power_law_field

D, N = 16, 150


def _looked(make_fake, seed=0):
    """150 training and 150 held-out patients, 300 synthetic images, as Gaussian vectors."""
    rng = np.random.default_rng(seed)
    train, test = rng.normal(size=(N, D)), rng.normal(size=(N, D))
    fake = make_fake(rng, train)
    among = cdist(train, train)
    np.fill_diagonal(among, np.inf)
    patients = [[f"{side} {i}" for i in range(N)] for side in ("train", "test")]
    return PrivacyDistances(
        "vectors", cdist(fake, train), cdist(fake, test), cdist(test, train), among, cdist(train, test), *patients
    )


def _fresh(rng, train):
    return rng.normal(size=(2 * N, D))


def _overfitted(rng, train):
    return train[rng.integers(N, size=2 * N)] + rng.normal(size=(2 * N, D)) * 0.5


def _collapsed(rng, train):
    """All alike and near to nobody in particular: no copies, though every distance is small."""
    return rng.normal(size=(2 * N, D)) * 0.3


def _some_copies(share):
    def make(rng, train):
        fake = rng.normal(size=(2 * N, D))
        count = round(share * len(fake))
        fake[:count] = train[rng.choice(N, count, replace=False)] + rng.normal(size=(count, D)) * 0.05
        return fake

    return make


def test_fresh_samples_pass():
    wrong = [list_failed_tests([audit_space(_looked(_fresh, seed), seed)]) for seed in range(8)]
    assert sum(map(bool, wrong)) <= 1
    one = audit_space(_looked(_fresh))
    assert one["distance_share"]["value"] == pytest.approx(0.5, abs=0.08)
    assert one["membership"]["auc"] == pytest.approx(0.5, abs=0.08)


def test_a_collapsed_model_is_not_taken_for_a_copying_one():
    looked = _looked(_collapsed)
    one = audit_space(looked)
    assert one["nearer_than_any_held_out"]["count"] >= 0
    assert list_failed_tests([one]) == []


def test_overfitting_fails():
    one = audit_space(_looked(_overfitted))
    assert one["distance_share"]["value"] > 0.8
    assert one["membership"]["auc"] > 0.8
    assert one["membership"]["tpr_at_1_percent_fpr"] > 0.3
    assert len(list_failed_tests([one])) >= 2


def test_two_percent_of_copies_are_found_though_every_average_looks_well():
    one = audit_space(_looked(_some_copies(0.02)))
    assert one["membership"]["auc"] < 0.6
    assert one["suspects"]["count"] == 6
    assert any("ratio" in words for words in list_failed_tests([one]))
    assert {pair["synthetic"] for pair in one["pairs"][:6]} == set(range(6))


def test_chances_of_small_ratios():
    usual = np.array([0.5, 0.8, 1.0, 1.2] * 25)
    np.testing.assert_allclose(
        count_expected(np.array([0.5, 0.25, 0.9] * 10), usual)[:3], 30 / 101 * np.array([1, 1 / 8, 1])
    )


@pytest.mark.parametrize("dimensions", [4, 8, 32])
def test_clean_sets_are_rarely_suspect_whatever_the_dimension(dimensions):
    """Fresh samples of a Gaussian, 60 training and 60 held-out ones: the test of ratios at 5 %."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(100):
        train, test, fake = (rng.normal(size=(60, dimensions)) for _ in range(3))
        own = cdist(train, train)
        np.fill_diagonal(own, np.inf)
        usual = own.min(1) / cdist(train, test).min(1)
        ratios = cdist(fake, train).min(1) / cdist(fake, test).min(1)
        alarms += count_expected(ratios, usual).min() < 0.05
    assert alarms <= 10


def test_few_held_out_images_have_no_rate_of_one_percent():
    looked = _looked(_fresh)
    few = PrivacyDistances(
        "vectors",
        looked.fake_train,
        looked.fake_test[:, :40],
        looked.test_train[:40],
        looked.train_train,
        looked.train_test[:, :40],
        looked.train_patients,
        looked.test_patients[:40],
    )
    told = audit_space(few)["membership"]
    assert told["tpr_at_1_percent_fpr"] is None
    assert "needs 100" in told["why"]


def test_power_grows_with_the_share_of_copies_and_falls_with_their_jitter():
    looked = _looked(_fresh)
    near, far = np.full(60, 0.05), np.full(60, 0.9)
    rows = planted.estimate_power([looked], [near])
    assert [row["copies"] for row in rows] == [3, 2, 1]
    assert rows[0]["detected"] >= rows[1]["detected"] >= rows[2]["detected"]
    assert rows[2]["detected"] > 0.9
    assert all(row["among_pairs_shown"] == 1 for row in rows)
    assert planted.estimate_power([looked], [far])[0]["detected"] < 0.2


def test_the_verdict_says_its_power_and_never_more():
    power = [
        {"share": 1.0, "detected": 0.9, "copies": 6, "of": 600},
        {"share": 0.1, "detected": 0.2, "copies": 1, "of": 600},
    ]
    told = describe_verdict([], power, 40)
    assert "No copies found at this sensitivity" in told
    assert "90 % of sets with 6 copies among 600, 20 % of sets with 1 copy among 600" in told
    assert "does not guarantee" in told.replace("\n", " ")
    assert "anonym" not in told
    assert "Signs of copied training images" in describe_verdict(["distance share (pixels), p = 0.002"], power, 40)


def test_jittered_mirrored_copies_are_found_among_low_resolution_pixels():
    rng = np.random.default_rng(0)
    blob = np.exp(-(((np.mgrid[:80, :64] - np.array([40, 20])[:, None, None]) / 18) ** 2).sum(0))
    textures = (draw_power_law_field(np.random.default_rng(i), (80, 64), 2.5) for i in range(30))
    train = [(np.clip(blob * (1 + 0.5 * texture), 0, 1) * 2 - 1).astype(np.float32) for texture in textures]
    copies = [planted.jitter_image(image, rng) for image in train[:10]]
    space = PixelDistance()
    apart = compute_mirror_distances(
        space, encode_mirrors(space, PixelImages(copies), "copies"), space.encode_images(PixelImages(train), "train")
    )
    assert (apart.argmin(1) == np.arange(10)).all()
    assert copying.SIGNIFICANCE_LEVEL == 0.05


def test_registration_moves_the_brightness_to_the_middle():
    image = np.full((40, 40), -1, np.float32)
    image[2:8, 30:36] = 1
    moved = centre_image(image)
    assert moved[17:23, 17:23].mean() > 0.9
    assert (centre_image(np.zeros((4, 4), np.float32)) == 0).all()


def test_the_reach_of_an_image_leaves_its_own_patient_out():
    rows = np.array([[0.0], [0.1], [1.0], [3.0], [6.0]], dtype=np.float32)

    class Line:
        description = ""

        def compute_distances(self, queries, keys):
            return np.abs(queries - keys.T)

    found = compute_reach(Line(), rows, ["a", "a", "b", "c", "d"])
    np.testing.assert_allclose(found, [6, 5.9, 2, 3, 5.9], rtol=1e-5)
    assert compute_reach(Line(), rows[:2], ["a", "a"]).tolist() == pytest.approx([1e-12] * 2)


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_a_transformed_copy_is_another_image_of_the_same_kind(name):
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(rng.normal(size=(40, 32)), 3).astype(np.float32)
    image /= np.abs(image).max()
    changed = TRANSFORMATIONS[name](image, rng)
    assert changed.shape == image.shape
    assert changed.dtype == np.float32
    assert np.abs(changed).max() <= 1
    assert np.corrcoef(changed.ravel(), image.ravel())[0, 1] > 0.3
    assert np.abs(changed - image).max() > 0.05


def test_every_training_image_is_asked_by_the_distance_share():
    """One held-out image and three training images of three patients, of which only the last is near to the samples."""
    apart = np.array([[5.0, 9.0, 9.0, 1.0]])
    held_out = np.array([True, False, False, False])
    shares = {_compute_share(apart, held_out, np.random.default_rng(seed)) for seed in range(20)}
    assert shares == {1 / 3}
    two = np.array([[5.0, 5.0, 9.0, 9.0, 1.0]])  # blocks of two, the last of which overlaps the first
    held_out = np.array([True, True, False, False, False])
    assert all(_compute_share(two, held_out, np.random.default_rng(seed)) > 0 for seed in range(20))


def test_a_sets_own_suspects_do_not_make_the_audit_look_strong():
    far = np.full(60, 0.9)
    clean, copied = (planted.estimate_power([_looked(make)], [far])[0] for make in (_fresh, _some_copies(0.02)))
    assert copied["detected"] == pytest.approx(clean["detected"], abs=0.1)


def test_suspects_are_listed_with_what_they_are_near_to():
    one = audit_space(_looked(_some_copies(0.02)))
    rows = one["suspects"]["images"]
    assert {row["synthetic"] for row in rows} == set(range(6))
    assert [row["ratio"] for row in rows] == sorted(row["ratio"] for row in rows)


def test_a_copy_counts_as_detected_when_one_space_suspects_it():
    looked = _looked(_fresh)
    near, far = np.array([0.01, 1.0, 0.01]), np.array([0.01, 1.0, 1.0])
    assert planted.count_detected([looked, looked], [near, far]) == 2
