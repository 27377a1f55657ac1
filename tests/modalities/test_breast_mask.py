"""The breast is found before the background that the image shows, and not measured where it shows none."""

import numpy as np
import pytest

from ganatomy.imaging.image import Image
from ganatomy.modalities.anatomy import segment_breast
from ganatomy.modalities.breast_mask import BLACK, find_background
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.modalities.pictures import read_grey_picture

Y, X = np.mgrid[:400, :320]
FAR = np.hypot((Y - 200) / 160, X / 200)
BREAST = FAR < 1  # 39 % of the image


def _draw(background, grain=0.0, seed=0):
    noise = np.random.default_rng(seed).normal(0, grain, FAR.shape)
    return np.clip(np.where(BREAST, 0.85 - 0.3 * FAR, background) + noise, 0, 1).astype(np.float32)


def _agreement(mask):
    return 2 * (mask & BREAST).sum() / (mask.sum() + BREAST.sum())


PLATE = np.where(X < 250, 0.03, 0.004)  # the edge of the compression plate, and air beyond
FOG = 0.15 + 0.1 * Y / 400  # a film that is darker on top


@pytest.mark.parametrize(
    ("background", "grain"),
    [(0.0, 0.0), (0.1, 0.02), (0.2, 0.03), (0.3, 0.05), (0.03, 0.005), (PLATE, 0.002), (FOG, 0.02)],
)
@pytest.mark.parametrize("laterality", ["L", "R"])
def test_backgrounds_that_are_not_black_are_no_breast(background, grain, laterality):
    shown = _draw(background, grain)
    shown = np.ascontiguousarray(shown[:, ::-1]) if laterality == "R" else shown
    mask = segment_breast(shown)
    assert _agreement(mask[:, ::-1] if laterality == "R" else mask) > 0.97
    measured = Mammogram().measure_image(Image(shown, (0.5, 0.5), {"laterality": laterality}))
    assert measured["breast area (cm2)"] == pytest.approx(BREAST.sum() * 0.25 / 100, rel=0.05)
    assert measured["pieces"] == 1


@pytest.mark.parametrize("cut", [np.s_[:, :], np.s_[60:340, :190], np.s_[20:380, :200]])
def test_a_black_background_is_told_as_before_however_closely_the_image_is_cut(cut):
    assert find_background(_draw(0.0)[cut]) == BLACK
    assert np.array_equal(segment_breast(_draw(0.0)[cut]), BREAST[cut])


@pytest.mark.parametrize(
    "shown", [_draw(0.0)[150:250, :80], np.full((100, 80), 0.5, np.float32), _draw(0.25 + 0.3 * Y / 400, 0.01)]
)
def test_where_no_background_is_seen_nothing_is_measured(shown):
    assert find_background(np.ascontiguousarray(shown)) is None
    measured = Mammogram().measure_image(Image(np.ascontiguousarray(shown), (0.5, 0.5), {"laterality": "L"}))
    assert all(np.isnan(value) for value in measured.values())


def test_simulated_images_show_the_breast_and_not_the_plate(shared):
    """M-SYNTH: the phantoms of one density have one size, so their shares of the image are known to be alike."""
    files = sorted((shared / "mammo_msynth").glob("*.jpg"))[::10]
    shares = {}
    for file in files:
        shown = np.ascontiguousarray(np.rot90(read_grey_picture(file)))
        shares.setdefault(file.name.split("_")[1], []).append(float(segment_breast(shown).mean()))
    assert all(0.15 < share < 0.6 for found in shares.values() for share in found)
    assert all(max(found) - min(found) < 0.04 for found in shares.values())
