"""A metric and an extractor that the package does not know, registered by one line each, reach the report."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from ganatomy.data.store import open_store
from ganatomy.evaluation.evaluate import evaluate
from ganatomy.evaluation.evidence import gather_evidence
from ganatomy.evaluation.extractors import table as extractors
from ganatomy.evaluation.extractors.extractor import Extractor
from ganatomy.evaluation.extractors.random_resnet import RandomResNet
from ganatomy.evaluation.images.comparison import ComparisonRequest, gather_comparison
from ganatomy.evaluation.metrics.metric import Metric, PairMetric
from ganatomy.evaluation.metrics.table import METRICS, score_features
from ganatomy.evaluation.statistics import MissingScore

# All of a new metric of features: a file of this length below `evaluation/metrics/`, and one line in its table.
MEAN_GAP = PairMetric(
    name="mean gap",
    better="lower",
    bounds=(0, np.inf),
    compute=lambda x, y: float(np.linalg.norm(x.mean(0) - y.mean(0))),
    definition="|m1 - m2|",
)


class BrightestPixel(Metric):
    """A metric of the images themselves."""

    def measure(self, evidence, seed):
        real, fake = (
            float(np.mean([image.max() for image in s])) for s in (evidence.test_images, evidence.fake_images)
        )
        return self.make_score(evidence, fake, floor=real)


BRIGHTEST = BrightestPixel(name="brightest pixel", better="reals", needs=("images",), definition="mean of maxima")
GREEDY = PairMetric(
    name="greedy", better="higher", min_images=10**6, compute=lambda x, y: 0.0, definition="needs a million"
)


class Corners(Extractor):
    """Four numbers an image, and two classes of its own."""

    name, digest, description, class_description = "corners", "c" * 64, "means of the four quarters", "bright or dark"

    def __init__(self, weights=None):
        self.seen = []

    def __call__(self, images):
        self.seen += [image.tobytes() for image in images]
        half = [n // 2 for n in images[0].shape]
        return np.array([[q.mean() for s in np.split(i, [half[0]]) for q in np.split(s, [half[1]], 1)] for i in images])

    def compute_probabilities(self, features):
        bright = 1 / (1 + np.exp(-features.mean(1)))
        return np.stack([bright, 1 - bright], 1)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    corners = Corners()
    monkeypatch.setitem(extractors.PRETRAINED, "corners", (2, lambda weights: corners))
    for metric in (MEAN_GAP, BRIGHTEST, GREEDY):
        monkeypatch.setitem(METRICS, metric.name, metric)
    return corners


@pytest.fixture
def own_store(store, tmp_path):
    """Without features of earlier reports."""
    shutil.copytree(store.path, tmp_path / "store", ignore=shutil.ignore_patterns("features"))
    return open_store(tmp_path / "store")


def test_a_new_metric_and_a_new_extractor_reach_the_report(run, own_store, tmp_path):
    content = evaluate(run.path, own_store, tmp_path / "report", extractor="corners")
    scores = {(row["metric"], (row["extractor"] or "").split(" ")[0]): row for row in content["scores"]}
    gap = scores["mean gap", "corners"]
    assert gap["value"] > gap["floor"] >= 0
    assert gap["low"] is None  # the images are of one held-out patient
    assert (gap["better"], gap["dimensions"], gap["definition"]) == ("lower", 4, "|m1 - m2|")
    assert ("mean gap", "handcrafted") in scores
    assert -1 <= scores["brightest pixel", ""]["value"] <= 1
    assert [key for key in scores if key[0] == "brightest pixel"] == [("brightest pixel", "")]
    assert "classes: bright or dark" in scores["inception score", "corners"]["definition"]
    absent = {(row["metric"], row["extractor"]): row["why"] for row in content["not_computed"]}
    assert absent["greedy", "corners"].startswith("needs 1000000 images per side; there are ")
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("mean gap") == 2
    assert "near the floor" in page
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == content


@pytest.mark.ci
@pytest.mark.parametrize("extractor", ["corners", "random"])
def test_no_extractor_looks_at_an_image_twice_in_one_report(
    extractor, run, own_store, registered, tmp_path, monkeypatch
):
    """Scores, artefacts, audit and mirrored images share what was extracted."""
    seen = registered.seen
    if extractor == "random":
        usual = RandomResNet.__call__

        def counted(self, images):
            seen.extend(image.tobytes() for image in images)
            return usual(self, images)

        monkeypatch.setattr(RandomResNet, "__call__", counted)
    evaluate(run.path, own_store, tmp_path / "report", extractor=extractor)
    assert len(seen) > 100
    assert len(set(seen)) == len(seen)
    before = len(seen)
    evaluate(run.path, own_store, tmp_path / "again", extractor=extractor, seed=2000)
    reals = len(own_store.split("train")) + len(own_store.split("test"))
    assert before - (len(seen) - before) >= reals  # real images are known from the first report


def test_every_metric_says_what_it_needs_and_keeps_its_bounds(run, own_store):
    comparison = gather_comparison(run.path, own_store, ComparisonRequest())
    evidence = gather_evidence(comparison, RandomResNet(2))
    for metric, score in zip(METRICS.values(), [m.score(evidence) for m in METRICS.values()], strict=True):
        assert score.metric == metric.name
        assert metric.better in ("lower", "higher", "reals")
        if isinstance(score, MissingScore):
            assert len(score.why.split()) > 3  # a reason
        else:
            low, high = metric.bounds
            assert low <= score.value <= high
            assert score.better == metric.better
    bare = replace(evidence, classes=None, test_images=None, fake_images=None)
    absent = {one.metric: one.why for one in score_features(bare) if isinstance(one, MissingScore)}
    assert absent["inception score"].startswith("needs classes: a fact with at least two values")
    assert METRICS["MS-SSIM of pairs"].score(bare).why == "needs the images themselves"
