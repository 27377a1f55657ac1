"""The learned two-sample test, single measures that separate, faults of a set, and the verdicts made of them."""

import numpy as np
import pytest
import torch

from ganatomy.errors import Refused
from ganatomy.evaluation.images.comparison import Comparison
from ganatomy.evaluation.images.image_set import PixelImages
from ganatomy.evaluation.images.sample_cache import SampleCache
from ganatomy.evaluation.images.sets import select_real_images
from ganatomy.evaluation.learned.judges import fit_judges
from ganatomy.evaluation.learned.network import InputScaling, SmallClassifier
from ganatomy.evaluation.learned.two_sample import run_learned_test
from ganatomy.evaluation.learned.views import list_views, show_images
from ganatomy.evaluation.metrics.artefacts import compute_grid_texture, measure_artefacts
from ganatomy.evaluation.metrics.variety import compute_mean_distance
from ganatomy.evaluation.separations import find_separations
from ganatomy.evaluation.set_faults import find_set_faults
from ganatomy.evaluation.verdicts import judge_report, list_warnings
from ganatomy.imaging.image import Image
from ganatomy.modalities.mammogram import Mammogram

SIZE = (32, 32)


@pytest.fixture(autouse=True)
def trained_for_a_moment(monkeypatch):
    monkeypatch.setattr("ganatomy.evaluation.learned.judges.STEPS", 60)


def blobs(n, seed, change=lambda pixels, rng: pixels, shape=SIZE):
    """Bright discs of different size and place on a black ground, with texture inside."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        grid = np.indices(shape)
        centre = [rng.uniform(0.4, 0.6) * n for n in shape]
        inside = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) < (rng.uniform(0.2, 0.35) * shape[0]) ** 2
        pixels = np.where(inside, rng.uniform(0, 0.4) + 0.1 * rng.normal(size=shape), -1)
        found.append(np.clip(change(pixels, rng), -1, 1).astype(np.float32))
    return PixelImages(found)


def ask(fakes, seed=0, shape=SIZE):
    train, held_out = blobs(48, 1, shape=shape), blobs(32, 2, shape=shape)
    judges = fit_judges(train, fakes, seed)
    return judges, run_learned_test(judges, held_out, fakes, list(range(len(fakes))), seed)


def light_a_corner(pixels, rng):
    lit = pixels.copy()
    lit[(slice(0, 3),) * pixels.ndim] += 0.06
    return lit


def draw_a_grid(pixels, rng):
    return pixels + 0.15 * (np.indices(pixels.shape)[1] % 2 - 0.5) * (pixels > -1)


@pytest.mark.parametrize("change", [light_a_corner, draw_a_grid], ids=["a lit corner", "a grid"])
def test_a_fault_is_told_by_the_finest_size(change):
    _, test = ask(blobs(48, 3, change))
    assert test.p < 0.01
    assert {row.view: row.auc for row in test.results}["full"] > 0.8
    assert all(row.low <= row.auc <= row.high for row in test.results)


def test_images_of_one_distribution_are_not_told_apart():
    _, test = ask(blobs(48, 3))
    assert test.p > 0.05
    assert all(row.low < 0.5 < row.high for row in test.results)


def test_a_grid_begins_at_full_size_and_not_before():
    areas = {row.view: row for row in ask(blobs(48, 3, draw_a_grid))[1].results}
    assert areas["a quarter"].low < 0.5
    assert areas["full"].low > 0.5


def test_volumes_are_told_apart_by_the_same_network():
    _, test = ask(blobs(24, 3, light_a_corner, (16, 16, 16)), shape=(16, 16, 16))
    assert test.p < 0.01


def test_the_test_is_one_of_its_seed():
    first, again = (ask(blobs(24, 3, draw_a_grid)) for _ in range(2))
    assert first[1] == again[1]
    assert all((first[0].fake_scores[name] == again[0].fake_scores[name]).all() for name in first[0].fake_scores)


def test_each_sample_is_scored_by_the_classifier_that_was_not_trained_on_it():
    fakes = blobs(24, 3)
    judges, _ = ask(fakes)
    assert sorted(judges.folds[0] + judges.folds[1]) == list(range(24))
    scores = judges.score_images(fakes, "all")
    for name, own in judges.fake_scores.items():
        for fold, places in enumerate(judges.folds):
            np.testing.assert_allclose(own[places], scores[name][fold][places], atol=1e-5)
            seen = judges.folds[1 - fold]
            assert scores[name][fold][seen].mean() > own[places].mean()  # what it was trained on looks worse to it


def test_more_images_than_fit_are_scored_a_part_at_a_time(monkeypatch):
    fakes = blobs(40, 3, draw_a_grid)
    monkeypatch.setattr("ganatomy.evaluation.learned.views.MAX_VALUES", 16 * 32 * 32)
    judges, test = ask(fakes)
    assert test.p < 0.05
    assert all(np.isfinite(own).all() and (own != 0).all() for own in judges.fake_scores.values())


def test_the_map_adds_up_to_the_score():
    torch.manual_seed(0)
    x = torch.rand(3, 1, 32, 24) * 2 - 1
    network = SmallClassifier(2, InputScaling(x, by_place=True)).eval()
    torch.testing.assert_close(network.map_scores(x).sum((1, 2)) + network.head.bias, network(x))


def test_large_images_are_shown_small_and_as_patches():
    assert [view.name for view in list_views((160, 128))] == ["an eighth", "a quarter", "half", "full", "patches"]
    assert [view.name for view in list_views((1280, 1024))] == ["an eighth", "a quarter", "patches"]
    assert [view.name for view in list_views((16, 16))] == ["half", "full"]
    large = PixelImages([np.zeros((256, 320), np.float32)])
    assert show_images(large, list_views((256, 320)), "one")["patches"].pixels.shape == (24, 1, 32, 32)


class Aged(PixelImages):
    """Each image with a view, which is a class, and an age of its own, which is a number."""

    def facts(self):
        return [{"view": "AB"[i % 2], "age": f"{60 + len(self) + i / 7:.3f}"} for i in range(len(self))]


def test_a_number_is_no_class_that_partners_must_share():
    train, fakes = Aged(blobs(16, 1).pixels), Aged(blobs(17, 2, draw_a_grid).pixels)
    judges = fit_judges(train, fakes, numbers={"age"})
    assert sorted(judges.folds[0] + judges.folds[1]) == list(range(17))
    with pytest.raises(Refused, match=r"needs training images with the facts .*'age'"):
        fit_judges(train, fakes)


def test_the_mixture_of_samples_is_that_of_the_classes(store, monkeypatch):
    monkeypatch.setattr(Comparison, "numbers", frozenset({"age"}))
    test = select_real_images(store, "test", (40, 32))
    facts = [{**fact, "age": f"{i}.5"} for i, fact in enumerate(3 * test.facts())]
    stack = SampleCache([(Image(test[i % len(test)], None, fact), {}) for i, fact in enumerate(facts)], len(facts))
    sides = Comparison(Mammogram(), test, test, test, stack, list(range(len(test))), {}, None, None)
    assert sides.balanced_indices == list(range(len(facts)))


@pytest.mark.parametrize(("train", "fakes"), [(7, 20), (20, 7)])
def test_too_few_images_are_said_so(train, fakes):
    with pytest.raises(Refused, match="needs 8 training patients"):
        fit_judges(blobs(train, 1), blobs(fakes, 2))


def test_the_texture_of_a_grid_has_its_power_along_the_axes():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(64, 64)).astype(np.float32) * 0.02
    grid = noise + 0.1 * (np.indices((64, 64))[1] % 2).astype(np.float32)
    assert 0.7 < compute_grid_texture(noise) < 1.4
    assert compute_grid_texture(grid) > 10
    assert np.isnan(compute_grid_texture(np.full((64, 64), 0.5, np.float32)))


def test_levels_of_corners_and_borders_are_percent_of_full_scale():
    image = np.full((32, 48), -1, np.float32)
    image[:2, :3] = 0  # one corner of four, half of full scale
    image[:, -3:] = 1
    found = measure_artefacts(image)
    assert found["corner level (%)"] == pytest.approx((50 + 0 + 100 + 100) / 4)
    assert found["last 3 of axis 1, level (%)"] == pytest.approx(100)
    assert found["first 2 of axis 0, level (%)"] == pytest.approx((3 * 50 + 3 * 100) / 48)


def test_variety_counts_pairs_of_different_patients_with_the_same_facts():
    rows = np.array([[0.0], [10.0], [1.0], [30.0]], np.float32)
    assert compute_mean_distance(rows, ["a", "a", "b", "c"], ["CC", "MLO", "CC", "MLO"]) == pytest.approx(10.5)
    assert np.isnan(compute_mean_distance(rows, ["a"] * 4, ["CC"] * 4))


def test_the_measure_that_separates_comes_first_and_chance_does_not():
    rng = np.random.default_rng(0)
    patients = [f"patient {i}" for i in range(40)]
    real = {"level": rng.normal(size=40), "area": rng.normal(size=40), "unknown": np.full(40, np.nan)}
    fake = {"level": rng.normal(size=60) - 3, "area": rng.normal(size=60), "unknown": np.full(60, np.nan)}
    first, second = find_separations(real, fake, patients)
    assert (first.measure, first.direction, second.measure) == ("level", "lower", "area")
    assert first.auc > 0.95
    assert first.p < 0.01 < second.p


def test_measures_of_one_distribution_rarely_separate():
    rng = np.random.default_rng(1)
    patients = [f"patient {i // 2}" for i in range(40)]
    accused = 0
    for _ in range(100):
        sides = ({str(i): rng.normal(size=n) for i in range(10)} for n in (40, 30))
        accused += find_separations(*sides, patients)[0].p <= 0.05
    assert accused <= 12  # 5 expected


def test_faint_saturated_and_collapsed_sets_are_named():
    held_out = blobs(20, 1)
    assert find_set_faults(blobs(20, 2), held_out) == []
    faint = PixelImages([-1 + 0.01 * (image + 1) for image in blobs(20, 2)])
    assert "20 of 20 synthetic images are nearly constant" in " ".join(find_set_faults(faint, held_out))
    white = PixelImages([np.where(image > -1, 1, image).astype(np.float32) for image in blobs(20, 2)])
    assert "saturated" in " ".join(find_set_faults(white, held_out))
    alike = PixelImages([*([blobs(1, 2)[0]] * 15), *blobs(5, 3)])
    assert "only 6 of 20 synthetic images are different" in " ".join(find_set_faults(alike, held_out))


def report(**changes):
    """What verdicts are made of, for a set without faults."""
    views = [{"view": "full", "auc": 0.52, "low": 0.42, "high": 0.62, "p": 0.4}]
    learned = {"views": views, "p": 0.4, "patients": 60, "samples": 120, "chance_interval": [0.41, 0.59]}
    content = {
        "learned": learned,
        "separations": [],
        "set_faults": [],
        "scores": [{"metric": "variety (% of reals)", "value": 98, "low": 92, "high": 104}],
        "privacy": {"passed": True, "verdict": "No copies found.", "power": [{"detected": 0.9}]},
        "compared": {"patients": 60, "validation_images": 60},
    }
    return content | changes


SEPARATION = {"measure": "corner level (%)", "auc": 0.97, "p": 0.0005, "direction": "higher"}
SEPARATION |= {"synthetic": 8.0, "held_out": 0.0}


@pytest.mark.parametrize(
    ("question", "answer", "changes"),
    [
        ("likeness", "good", {}),
        ("likeness", "poor", {"learned": report()["learned"] | {"p": 0.0005}}),
        ("likeness", "poor", {"separations": [SEPARATION]}),
        ("likeness", "poor", {"set_faults": ["12 of 12 synthetic images are nearly constant."]}),
        ("likeness", "cannot tell", {"learned": {"why": "needs 8 held-out patients"}}),
        ("variety", "good", {}),
        ("variety", "poor", {"scores": [{"metric": "variety (% of reals)", "value": 78, "low": 74, "high": 83}]}),
        (
            "variety",
            "cannot tell",
            {"scores": [{"metric": "variety (% of reals)", "value": 88, "low": 60, "high": 120}]},
        ),
        ("variety", "cannot tell", {"scores": []}),
        ("copies", "good", {}),
        ("copies", "poor", {"privacy": {"passed": False, "verdict": "Signs of copies.", "power": [{"detected": 0.9}]}}),
        (
            "copies",
            "cannot tell",
            {"privacy": {"passed": True, "verdict": "No copies found.", "power": [{"detected": 0.63}]}},
        ),
        ("ability", "good", {}),
        ("ability", "poor", {"compared": {"patients": 12, "validation_images": 12}}),
        ("ability", "poor", {"learned": {"why": "needs 8 held-out patients"}}),
    ],
)
def test_each_verdict_follows_from_the_figures(question, answer, changes):
    found = {one.question: one for one in judge_report(report(**changes))}
    assert found[question].answer == answer
    assert len(found[question].reason) > 5


def test_a_single_measure_that_separates_is_said_in_red():
    assert list_warnings(report()) == []
    (line,) = list_warnings(report(separations=[SEPARATION]))
    assert "corner level (%) is higher in 97 % of pairs" in line
