"""Every metric against closed forms and invariances: what must be zero is, what must grow does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganatomy.errors import Refused
from ganatomy.evaluation.metrics import kernel, ms_ssim, spectrum
from ganatomy.evaluation.metrics.distributions import compare_distributions
from ganatomy.evaluation.metrics.frechet import compute_frechet_distance, compute_frechet_infinity
from ganatomy.evaluation.metrics.inception_score import compute_inception_score
from ganatomy.evaluation.metrics.kid import compute_cubic_kernel, compute_kid
from ganatomy.evaluation.metrics.mmd import compute_gaussian_kernel, compute_mmd
from ganatomy.evaluation.metrics.moments import compute_moments, compute_support_overlap
from ganatomy.evaluation.metrics.precision_recall import compute_precision_recall
from ganatomy.evaluation.metrics.two_sample import compute_classifier_auc, compute_neighbour_accuracy
from ganatomy.evaluation.metrics.vendi import compute_vendi_score
from ganatomy.phantoms.fields import draw_power_law_field


def _normal(n, d, seed=0, scale=1.0, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, d)) * scale + shift


# ----------------------------------------------------------------------------------------------------------------------
# Frechet distance.


def test_frechet_of_equal_sets_is_zero():
    for n in (20, 200):  # fewer and more images than dimensions
        assert compute_frechet_distance(_normal(n, 64), _normal(n, 64)) == pytest.approx(0, abs=1e-9)


def test_frechet_of_diagonal_gaussians_is_the_closed_form():
    scales = np.linspace(0.5, 3, 8)
    found = compute_frechet_distance(_normal(400_000, 8), _normal(400_000, 8, 1) * scales + 1)
    assert found == pytest.approx(8 + ((scales - 1) ** 2).sum(), rel=0.01)


@given(st.integers(0, 50))
def test_frechet_does_not_turn_with_the_axes(seed):
    x, y = _normal(30, 6, seed), _normal(40, 6, seed + 1, 1.4, 0.3)
    turn = np.linalg.qr(_normal(6, 6, seed + 2))[0]
    assert compute_frechet_distance(x @ turn, y @ turn) == pytest.approx(compute_frechet_distance(x, y), rel=1e-9)
    assert compute_frechet_distance(x, y) == pytest.approx(compute_frechet_distance(y, x), rel=1e-9)


def test_frechet_infinity_takes_the_bias_of_few_images_away():
    x, y = _normal(600, 32), _normal(600, 32, 1)
    assert compute_frechet_distance(x, y) > 0.5
    assert abs(compute_frechet_infinity(x, y)) < 0.25
    with pytest.raises(Refused, match="needs 256 images"):
        compute_frechet_infinity(_normal(200, 64), _normal(200, 64, 1))


# ----------------------------------------------------------------------------------------------------------------------
# Kernels.


@pytest.mark.parametrize("metric", [compute_kid, compute_mmd])
def test_kernel_distances_are_unbiased(metric):
    same = [metric(_normal(40, 4, s), _normal(40, 4, 1000 + s)) for s in range(60)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(60)
    wider = metric(_normal(100, 4), _normal(100, 4, 1, 3.0))
    assert wider > 5 * np.std(same)


@pytest.mark.parametrize("matrix", [compute_cubic_kernel, compute_gaussian_kernel])
def test_permutation_p_values_are_uniform_under_the_null_and_small_otherwise(matrix):
    null = [
        kernel.compute_permutation_p(matrix(_normal(20, 3, s), _normal(20, 3, 500 + s)), 20, rounds=99)
        for s in range(200)
    ]
    assert np.mean(np.asarray(null) <= 0.1) == pytest.approx(0.1, abs=0.06)
    assert kernel.compute_permutation_p(matrix(_normal(60, 3), _normal(60, 3, 1, 2.5)), 60, rounds=199) <= 0.01


def test_a_kernel_distance_without_a_scale_is_refused():
    with pytest.raises(Refused, match="the median distance, is zero"):
        compute_mmd(np.ones((9, 3)), np.ones((3, 3)))
    with pytest.raises(Refused, match="at least 2 images per side"):
        compute_kid(_normal(1, 3), _normal(5, 3))


# ----------------------------------------------------------------------------------------------------------------------
# Variety and coverage.


def test_inception_score_of_known_probabilities():
    assert compute_inception_score(np.eye(7)) == pytest.approx(7)
    assert compute_inception_score(np.full((5, 7), 1 / 7)) == pytest.approx(1)
    with pytest.raises(Refused, match="sum to 1"):
        compute_inception_score(np.ones((2, 2)))


def test_precision_and_recall_change_places_with_the_sets():
    x, y = _normal(200, 4), _normal(200, 4, 1, 0.5)
    one, other = compute_precision_recall(x, y), compute_precision_recall(y, x)
    assert (one.precision, one.recall) == (other.recall, other.precision)
    assert one.precision > 0.9 > one.recall  # fakes of half the width are real enough and cover too little


def test_coverage_of_one_distribution():
    assert compute_precision_recall(_normal(1000, 8), _normal(1000, 8, 1)).coverage == pytest.approx(
        1 - 2**-5, abs=0.03
    )
    with pytest.raises(Refused, match="need 6 images"):
        compute_precision_recall(_normal(5, 2), _normal(9, 2))


def test_vendi_counts_what_is_different():
    assert compute_vendi_score(np.eye(12)) == pytest.approx(12)
    assert compute_vendi_score(np.repeat(np.eye(3), 4, axis=0)) == pytest.approx(3)
    assert compute_vendi_score(np.ones((9, 4))) == pytest.approx(1)


def test_ms_ssim_of_equal_and_noisier_images():
    rng = np.random.default_rng(0)
    image = draw_power_law_field(rng, (176, 176), 3.0) * 0.1 + 0.5
    found = [ms_ssim.compute_ms_ssim(image, image + rng.normal(size=image.shape) * s) for s in (0, 0.02, 0.1)]
    assert found[0] == pytest.approx(1)
    assert found[0] > found[1] > found[2]
    assert [ms_ssim.count_scales(s) for s in ((176, 176), (80, 64), (32, 32, 32), (12, 12))] == [5, 3, 2, 1]
    with pytest.raises(Refused, match="at least 11 voxels per axis"):
        ms_ssim.count_scales((10, 80))


def test_pairs_are_different_images_once():
    for n, most in ((5, 100), (300, 20)):
        drawn = ms_ssim.draw_pairs(n, most)
        assert len(drawn) == len(set(drawn)) == min(most, n * (n - 1) // 2)
        assert all(0 <= j < i < n for i, j in drawn)


# ----------------------------------------------------------------------------------------------------------------------
# Texture, values, telling apart.


@pytest.mark.parametrize("exponent", [2.0, 3.0, 3.5])
@pytest.mark.parametrize("shape", [(256, 256), (64, 64, 64)])
def test_the_exponent_of_a_power_law(exponent, shape):
    found = []
    for seed in range(6):
        frequencies, power = spectrum.compute_radial_power(
            draw_power_law_field(np.random.default_rng(seed), shape, exponent)
        )
        found.append(spectrum.fit_exponent(frequencies, power, shape[0]))
    assert np.mean(found) == pytest.approx(exponent, abs=0.12)


def test_regions_lie_within_the_mask():
    image = np.arange(80 * 64, dtype=np.float32).reshape(80, 64)
    mask = np.zeros(image.shape, bool)
    mask[4:70, :40] = True
    found = spectrum.find_regions(image, mask)
    assert 1 <= len(found) <= spectrum.MAX_REGIONS
    size = spectrum.compute_region_size(image.shape)
    for region in found:
        assert region.shape == (size, size)
        assert np.isin(region, image[mask]).mean() > 0.94
    assert spectrum.measure_spectrum(image, np.zeros_like(mask)) is None


def test_moments_of_known_values():
    values = np.random.default_rng(0).gamma(4, size=(3, 300, 300)).astype(np.float32)
    found = compute_moments(values).mean(0)
    np.testing.assert_allclose(found, (4, 2, 1, 1.5), rtol=0.05)
    assert compute_moments([np.zeros((4, 4), np.float32)])[0].tolist() == [0, 0, 0, 0]


def test_overlap_of_supports():
    rng = np.random.default_rng(0)
    assert compute_support_overlap(rng.random(5000), rng.random(5000)) > 0.95
    assert compute_support_overlap(rng.random(500), rng.random(500) + 2) == 0
    assert compute_support_overlap(np.ones(3), np.ones(4)) == 1


def test_distributions_are_compared_in_their_own_unit():
    x = np.random.default_rng(0).normal(size=4000)
    found = compare_distributions(x, x + 1.5)
    assert found["wasserstein"] == pytest.approx(1.5)
    assert found["ks_p"] < 1e-6
    assert compare_distributions(x, x)["ks"] == 0


def test_a_classifier_tells_a_shift_and_a_neighbour_a_change_of_width():
    groups = np.arange(400)
    x = _normal(200, 4)
    assert compute_classifier_auc(x, _normal(200, 4, 1), groups) == pytest.approx(0.5, abs=0.1)
    assert compute_classifier_auc(x, _normal(200, 4, 1, 1, 1.0), groups) > 0.9
    wider = _normal(200, 4, 1, 4.0)
    assert compute_classifier_auc(x, wider, groups) < 0.65
    assert compute_neighbour_accuracy(x, wider) > 0.7
    assert compute_neighbour_accuracy(x, _normal(200, 4, 1)) == pytest.approx(0.5, abs=0.1)
    with pytest.raises(Refused, match="5 patients"):
        compute_classifier_auc(x, x, np.r_[np.zeros(200), np.arange(200)])


# ----------------------------------------------------------------------------------------------------------------------
# Golden values: a change of a definition changes them. Sets: 60 x 12 normal numbers, and 60 wider and shifted ones.

GOLDEN = {
    "frechet": 4.327022395589086,
    "kid": 0.4499302430006771,
    "mmd": 0.03953896614293595,
    "precision": 0.6166666666666667,
    "density": 0.4033333333333333,
    "vendi": 10.756800603782768,
    "ms_ssim": 0.27153629420815156,
    "beta": 2.6087140932693584,
}


@pytest.mark.parametrize("name", ["frechet", "kid", "mmd", "precision", "density", "vendi", "ms_ssim", "beta"])
def test_golden_values(name):
    x, y = _normal(60, 12), _normal(60, 12, 1, 1.3, 0.2)
    image, other = (draw_power_law_field(np.random.default_rng(s), (80, 64), 2.8) * 0.1 + 0.5 for s in (0, 1))
    values = {
        "frechet": lambda: compute_frechet_distance(x, y),
        "kid": lambda: compute_kid(x, y),
        "mmd": lambda: compute_mmd(x, y),
        "precision": lambda: compute_precision_recall(x, y).precision,
        "density": lambda: compute_precision_recall(x, y).density,
        "vendi": lambda: compute_vendi_score(x),
        "ms_ssim": lambda: ms_ssim.compute_ms_ssim(image, other),
        "beta": lambda: spectrum.measure_spectrum(image, np.ones(image.shape, bool))[1],
    }
    assert values[name]() == pytest.approx(GOLDEN[name], rel=1e-5)
