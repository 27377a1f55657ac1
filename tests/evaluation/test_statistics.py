"""Intervals that hold what they promise, and scores that say all that defines them."""

import numpy as np
import pytest

from ganatomy.evaluation.evidence import Evidence
from ganatomy.evaluation.extractors.random_resnet import RandomResNet
from ganatomy.evaluation.images.sets import pair_facts
from ganatomy.evaluation.metrics.frechet import compute_frechet_distance
from ganatomy.evaluation.metrics.kid import compute_kid
from ganatomy.evaluation.metrics.table import score_features
from ganatomy.evaluation.statistics import MissingScore, Score, compute_jackknife_interval, draw_one_per_group


def test_the_interval_of_a_mean_is_the_textbooks():
    x = np.random.default_rng(0).normal(size=200)
    low, high = compute_jackknife_interval(lambda a, b: x[a].mean(), [str(i) for i in range(200)], ["all"], parts=200)
    assert (high - low) / 2 == pytest.approx(1.96 * x.std(ddof=1) / np.sqrt(200), rel=1e-4)


def test_patients_leave_as_one():
    x = np.repeat(np.random.default_rng(0).normal(size=40), 5)  # five equal images a patient
    patients = [str(i // 5) for i in range(200)]
    by_patient = np.diff(compute_jackknife_interval(lambda a, b: x[a].mean(), patients, ["all"], 40))
    by_image = np.diff(compute_jackknife_interval(lambda a, b: x[a].mean(), [str(i) for i in range(200)], ["all"], 200))
    assert by_patient[0] == pytest.approx(by_image[0] * np.sqrt(5), rel=0.1)


@pytest.mark.parametrize(("metric", "shift"), [(compute_frechet_distance, 0.5), (compute_kid, 0.5)])
def test_intervals_of_distances_hold_the_mean_of_redraws(metric, shift):
    """95 % intervals at N = 80 in 6 dimensions, against the mean over many redraws at the same N."""

    def redraw(s):
        rng = np.random.default_rng(s)
        return rng.normal(size=(80, 6)), rng.normal(size=(80, 6)) * 1.2 + shift

    truth = np.mean([metric(*redraw(1000 + s)) for s in range(400)])
    names = [str(i) for i in range(80)]
    inside = 0
    for s in range(60):
        x, y = redraw(s)
        low, high = compute_jackknife_interval(lambda a, b, x=x, y=y: metric(x[a], y[b]), names, names)
        inside += low <= truth <= high
    assert inside >= 52  # 95 % of 60 is 57; fewer than 52 has a chance of 1 in 300


def test_one_image_of_each_patient():
    groups = ["a", "a", "b", "c", "c", "c"]
    places = draw_one_per_group(groups)
    assert [groups[i] for i in places] == ["a", "b", "c"]


def test_pairs_have_the_same_facts_and_no_image_twice():
    wanted = [{"v": "CC", "l": "L"}, {"v": "CC", "l": "R"}, {"v": "MLO", "l": "L"}]
    there = [{"v": "MLO"}, {"v": "CC"}, {"v": "CC", "l": "R"}]
    assert pair_facts(wanted, there) == [1, 2, 0]
    assert pair_facts(wanted, there[:1]) == [None, None, 0]
    assert pair_facts([{}, {}], [{}]) == [0, None]


def _gather_evidence(n, d=64, fake_scale=1.5):
    rng = np.random.default_rng(0)
    draw = lambda k, s=1.0: (rng.normal(size=(k, d)) * s).astype(np.float32)  # noqa: E731
    patients = [str(i) for i in range(n)]
    return Evidence(
        RandomResNet(2), draw(n), draw(n, fake_scale), draw(n), draw(300), patients, [f"t{i}" for i in range(n)]
    )


def test_every_score_says_what_defines_it():
    found = score_features(_gather_evidence(250))
    scores = [one for one in found if isinstance(one, Score)]
    assert {one.metric for one in scores} >= {
        "Frechet distance",
        "KID",
        "MMD",
        "precision",
        "recall",
        "density",
        "coverage",
        "Vendi score",
        "classifier AUC",
        "nearest-neighbour accuracy",
    }
    for one in scores:
        assert one.images == 250
        assert one.floor is not None
        assert one.extractor.startswith("random df57f7ca")
        assert one.definition
    frechet = next(one for one in scores if one.metric == "Frechet distance")
    assert frechet.dimensions == 64
    assert frechet.low < frechet.value < frechet.high
    assert frechet.excess > 5 * (frechet.high - frechet.value)
    assert next(one for one in scores if one.metric == "KID").p < 0.05
    endless = next(one for one in found if one.metric == "FID-infinity")
    assert isinstance(endless, MissingScore)
    assert "256 images" in endless.why


@pytest.mark.parametrize(("n", "dimensions"), [(100, 16), (40, 16), (20, None)])
def test_few_images_get_few_dimensions_or_a_number_of_what_is_needed(n, dimensions):
    found = {one.metric: one for one in score_features(_gather_evidence(n))}
    frechet = found["Frechet distance"]
    assert getattr(frechet, "dimensions", None) == dimensions
    if dimensions is None:
        assert "needs 32 images per side; there are 20" in frechet.why
    else:
        assert "principal axes of other training images" in frechet.definition


def test_equal_distributions_have_no_excess():
    found = {one.metric: one for one in score_features(_gather_evidence(250, fake_scale=1.0))}
    frechet = found["Frechet distance"]
    assert abs(frechet.excess) < 2 * (frechet.high - frechet.low)
    assert found["KID"].p > 0.01
    assert found["classifier AUC"].value == pytest.approx(0.5, abs=0.1)
