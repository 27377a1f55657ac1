"""The score for artefacts: real images are ordinary, broken ones are not, and the worst can be left out."""

import json

import numpy as np
import pytest

from ganatomy.checkpoint import open_snapshot
from ganatomy.cli import main
from ganatomy.errors import Refused
from ganatomy.evaluation.failures import QualityScorer, find_best_and_worst
from ganatomy.evaluation.images.sample_cache import SampleCache
from ganatomy.evaluation.images.sets import select_real_images
from ganatomy.evaluation.rejection import reject_samples_above, reject_worst_samples
from ganatomy.imaging.image import Image
from ganatomy.modalities import table as modalities
from ganatomy.modalities.anatomy import find_largest_piece, measure_breast
from ganatomy.phantoms.breast import make_breasts
from ganatomy.phantoms.head import make_brain
from ganatomy.phantoms.mammogram import make_mammogram
from ganatomy.phantoms.thorax import make_thorax
from ganatomy.sampling import sample

SHAPE = (80, 64)


def _broken(image, how):
    pixels = image.copy()
    if how == "two breasts":
        pixels[-20:, -20:] = 0.2
    elif how == "broken outline":
        pixels[30:36, :] = -1
    elif how == "noise":
        pixels += np.random.default_rng(0).normal(size=pixels.shape).astype(np.float32) * 0.4
    return np.clip(pixels, -1, 1)


@pytest.mark.parametrize(
    "how", ["broken outline", *(pytest.param(how, marks=pytest.mark.ci) for how in ("two breasts", "noise"))]
)
def test_broken_images_score_worse_than_the_real_ones_they_were_made_of(store, how):
    judge = QualityScorer(store, SHAPE, None)
    test = select_real_images(store, "test", SHAPE)
    samples = [
        (Image(image, None, facts), {"index": i})
        for i, (image, facts) in enumerate(zip(test, test.facts(), strict=True))
    ]
    broken = [(image.copy_with(pixels=_broken(image.pixels, how)), record) for image, record in samples]
    judged = judge(SampleCache(samples + broken, 2 * len(samples)))
    best, worst = find_best_and_worst(judged, len(samples))
    assert sum(i >= len(samples) for i in worst) >= len(samples) - 1
    assert set(best) | set(worst) == set(range(2 * len(samples)))
    assert judged.describe_worst_part(worst[0]).split()[0] in judged.parts


def test_the_discriminator_takes_part_where_there_is_one(run, store, hagan, volumes):
    for one, its in ((run, store), (hagan, volumes)):
        snapshot = open_snapshot(one.list_snapshots()[-1], ("generator", "discriminator"))
        shape = snapshot.recipe.shape
        judged = QualityScorer(its, shape, snapshot)(select_real_images(its, "test", shape))
        assert set(judged.parts) == {"manifold", "anatomy", "discriminator"}  # too few images for the learned part
        assert np.isfinite(judged.scores).all()
        assert (judged.scores >= 0).all()
        assert (judged.scores < 10).all()


def test_the_worst_are_left_out_within_each_view(run, store):
    snapshot = open_snapshot(run.list_snapshots()[-1], ("generator", "discriminator"))
    kept = list(reject_worst_samples(snapshot, store, 12, 0.25, lambda n: sample(snapshot, n, 3)))
    assert len(kept) == 12
    assert all(record["rejected_worst"] == "25 %" for _, record in kept)
    indices = [record["index"] for _, record in kept]
    assert indices == sorted(indices)
    assert max(indices) < 16
    views = [image.facts["view_position"] for image, _ in kept]
    assert abs(views.count("CC") - views.count("MLO")) <= 2
    (plain, _), *_ = sample(snapshot, 1, 3, first=indices[0], condition=dict(kept[0][0].facts))
    assert (plain.pixels == kept[0][0].pixels).all()


def test_rejecting_from_the_command_line(run, tmp_path, capsys):
    out = tmp_path / "samples"
    assert main(["sample", str(run.path), "--n", "4", "--reject-worst", "20%", "--out", str(out), "--quiet"]) == 0
    rows = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
    assert [row["record"]["rejected_worst"] for row in rows] == ["20 %"] * 4
    assert main(["sample", str(run.path), "--reject-worst", "all", "--out", str(tmp_path / "x")]) == 2
    assert "share between 0 and 1" in capsys.readouterr().err


@pytest.mark.ci
def test_samples_above_a_score_are_drawn_anew(run, store):
    snapshot = open_snapshot(run.list_snapshots()[-1], ("generator", "discriminator"))

    def draw(count):
        return sample(snapshot, count, 3)

    quality = QualityScorer(store, snapshot.recipe.shape, snapshot)(SampleCache(draw(12), 12))
    limit = float(np.median(quality.scores))
    kept = list(reject_samples_above(snapshot, store, 6, limit, draw))
    assert [record["index"] for _, record in kept] == np.flatnonzero(quality.scores <= limit)[:6].tolist()
    assert all(record["rejected_above"] == limit for _, record in kept)
    with pytest.raises(Refused, match=r"Only 0 of 16 samples have a score for artefacts of at most 1e-09"):
        list(reject_samples_above(snapshot, store, 2, 1e-9, draw))


# ----------------------------------------------------------------------------------------------------------------------
# Measures against phantoms of known truth.


def test_breast_measures_agree_with_the_truth():
    area, density = [], []
    for n in range(16):
        side = make_breasts(0, n)[0]
        view = make_mammogram(side, "CC", (0, n, 0, False), (160, 128))
        found = measure_breast(view.pixels, view.spacing, 0)
        area.append((found["breast area (cm2)"], view.truth["breast_area_mm2"] / 100))
        density.append((found["density (% of area)"], view.truth["density_percent"]))
        assert found["pieces"] == 1
        assert found["background level (% of white)"] < 1
    np.testing.assert_allclose(*np.transpose(area), rtol=0.03)
    assert np.corrcoef(*np.transpose(density))[0, 1] > 0.85


def test_thorax_measures_agree_with_the_truth():
    kind = modalities.get_modality("chest_ct")()
    for n in range(4):
        made = make_thorax((0, n), (64, 64, 64))
        found = kind.measure_image(Image(made.voxels, made.spacing))
        assert found["lung volume (ml)"] == pytest.approx(made.truth["lung_ml"], rel=0.03)
        assert found["body volume (ml)"] == pytest.approx(made.truth["body_ml"], rel=0.01)
        assert found["mean lung density (HU)"] == pytest.approx(made.truth["mean_lung_hu"], abs=25)
        assert found["LAA-950 (% of lung)"] == pytest.approx(made.truth["laa950_percent"], abs=5)


def test_head_measures_agree_with_the_truth():
    made = make_brain((0, 0), (64, 64, 64))
    kind = modalities.get_modality("brain_mri")()
    found = kind.measure_image(Image(made.voxels, made.spacing))
    assert found["foreground volume (ml)"] == pytest.approx(made.truth["intracranial_ml"], rel=0.03)
    shares = [found[name] for name in found if name.endswith("tissue (% of foreground)")]
    truth = [100 * made.truth[f"{name}_ml"] / made.truth["intracranial_ml"] for name in ("csf", "grey", "white")]
    np.testing.assert_allclose(shares, truth, atol=4)
    assert sum(shares) == pytest.approx(100)
    assert found["left-right correlation"] > 0.9


@pytest.mark.parametrize("name", ["mammogram", "chest_ct", "brain_mri"])
def test_images_of_nothing_have_measures_that_are_not_numbers(name):
    kind = modalities.get_modality(name)()
    shape = (40, 32) if name == "mammogram" else (16, 16, 16)
    empty = kind.denormalise(Image(np.full(shape, -1, np.float32), (1.0,) * len(shape), {"laterality": "L"}))
    found = kind.measure_image(empty)
    assert any(np.isnan(value) or value == 0 for value in found.values())
    assert not kind.segment_foreground(empty).any()
    other = kind.measure_image(empty.copy_with(spacing=None))
    assert len(other) == len(found)


def test_specks_are_no_pieces():
    mask = np.zeros((60, 60), bool)
    mask[:30, :30] = True
    mask[40, 40] = True
    assert find_largest_piece(mask)[1] == 1
    mask[40:50, 40:50] = True
    assert find_largest_piece(mask)[1] == 2


def test_bad_images_are_refused():
    good = (Image(np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)), {"file": "a.png"})
    nan = (Image(np.full((8, 8), np.nan, np.float32)), {"file": "b.png"})
    for samples, words in (
        ([], "no image"),
        ([good, nan], r"b\.png contains values that are not finite"),
        ([good, (Image(np.zeros((8, 9), np.float32)), {"file": "c.png"})], "one shape: c.png is 8x9"),
        ([(Image(np.zeros((8, 8), np.float32)), {})] * 3, "All 3 images are constant"),
    ):
        with pytest.raises(Refused, match=words):
            SampleCache(samples, 4)
