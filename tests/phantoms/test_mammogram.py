"""The phantom: deterministic, of the right density and texture, with a muscle in MLO only."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from ganatomy.errors import Refused
from ganatomy.phantoms.breast import make_breasts
from ganatomy.phantoms.cohort import write_cohort
from ganatomy.phantoms.fields import draw_power_law_field
from ganatomy.phantoms.mammogram import make_mammogram

ROI = 256


def _beta(region):
    """Exponent of the radial power spectrum of a square region: Hann window, bins 4 to 63."""
    window = np.hanning(len(region))
    power = np.abs(np.fft.fft2((region - region.mean()) * window[:, None] * window)) ** 2
    frequency = np.fft.fftfreq(len(region)) * len(region)
    radius = np.hypot(frequency[:, None], frequency)
    bins = np.arange(4, 64)
    mean = [power[(radius >= b - 0.5) & (radius < b + 0.5)].mean() for b in bins]
    return -np.polyfit(np.log(bins), np.log(mean), 1)[0]


def test_beta_of_a_known_field():
    assert _beta(draw_power_law_field(np.random.default_rng(0), (ROI, ROI), 2.5)) == pytest.approx(2.5, abs=0.1)


def test_the_texture_exponent_is_that_of_mammograms():
    found = []
    for number in range(6):
        _, left = make_breasts(3, number)
        pixels = make_mammogram(left, "CC", (3, number)).pixels
        corner = (640 - ROI // 2, 60)
        region = pixels[corner[0] : corner[0] + ROI, corner[1] : corner[1] + ROI]
        assert region.min() > 0, "the region lies inside the breast"
        found.append(_beta(region))
    assert 2.2 <= np.mean(found) <= 3.0, found
    assert all(2.1 <= value <= 3.1 for value in found), found


@pytest.mark.parametrize("shape", [(320, 256), (640, 512)])
def test_the_density_is_what_it_should_be(shape):
    for number in range(3):
        for breast in make_breasts(0, number):
            for view in ("CC", "MLO"):
                truth = make_mammogram(breast, view, (0, number), shape).truth
                assert truth["density_percent"] == pytest.approx(breast.density, rel=0.08)
                assert truth["birads"] == breast.birads


def test_a_muscle_in_mlo_and_none_in_cc():
    _, left = make_breasts(0, 1)
    corner = {}
    for view in ("CC", "MLO"):
        made = make_mammogram(left, view, (0, 1), (320, 256))
        corner[view] = made.pixels[:24, :16].mean()
        assert (made.truth["pectoral_angle_degrees"] is None) == (view == "CC")
    assert corner["CC"] == 0
    assert corner["MLO"] > 0.4


def test_background_is_black_and_the_outline_is_smooth():
    _, left = make_breasts(0, 2)
    pixels = make_mammogram(left, "CC", (0, 2), (320, 256)).pixels
    assert pixels[:, -20:].max() == 0
    reach = (pixels > 0.02).sum(1)
    steps = np.abs(np.diff(reach[reach > 40]))
    assert np.median(steps) <= 1
    assert steps.max() < 12


def test_both_views_show_the_same_anatomy():
    right, left = make_breasts(5, 0)
    a, b = (make_mammogram(left, view, (5,), (320, 256)).truth for view in ("CC", "MLO"))
    assert a["thickness_mm"] == b["thickness_mm"]
    assert a["density_percent"] == pytest.approx(b["density_percent"], rel=0.05)
    assert right.laterality == "R"
    assert left.depth == pytest.approx(right.depth, rel=0.16)


def test_the_nipple_is_where_the_truth_says_and_at_another_row_for_each_woman():
    rows = {"CC": [], "MLO": []}
    for number in range(12):
        breast = make_breasts(3, number)[0]
        for view, found in rows.items():
            made = make_mammogram(breast, view, (3, number), (320, 256))
            extents = (made.pixels > 0.02).sum(1) * made.spacing[1]
            assert abs((extents.argmax() + 0.5) * made.spacing[0] - made.truth["nipple_y_mm"]) < 5
            assert abs(extents.max() - made.truth["nipple_x_mm"]) < 2
            found.append(made.truth["nipple_y_mm"])
    assert all(np.std(found) > 6 for found in rows.values())
    assert abs(np.corrcoef(rows["CC"], rows["MLO"])[0, 1]) < 0.95


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_vessels_are_added_to_the_image_and_to_nothing_else(view):
    breast = make_breasts(3, 1)[1]
    made = make_mammogram(breast, view, (3,), (640, 512))
    without = make_mammogram(replace(breast, vessels=()), view, (3,), (640, 512))
    added = made.pixels - without.pixels
    assert made.truth == without.truth
    assert added.min() > -0.01  # more attenuation means fewer photons, so the noise differs a little
    assert 0.005 < (added > 0.02).mean() / (without.pixels > 0).mean() < 0.1


def test_fat_lies_between_the_gland_and_the_skin():
    breast = replace(make_breasts(3, 5)[0], vessels=(), lesions=(), subcutaneous=10.0, density=30.0)
    made = make_mammogram(breast, "CC", (3,), (640, 512))
    depth = ndimage.distance_transform_edt(np.pad(made.pixels > 0.02, ((0, 0), (9, 0)), mode="edge"))[:, 9:]
    depth = depth * made.spacing[0]
    fat = made.pixels[(depth > 3) & (depth < 7)]
    inside = made.pixels[(depth > 15) & (depth < 30)]
    assert np.median(fat) < 0.6 * np.median(inside)


def test_the_same_seed_gives_the_same_files_for_any_number_of_workers(tmp_path):
    for workers in (1, 2):
        assert write_cohort("mammogram", tmp_path / str(workers), 2, seed=4, shape=(80, 64), workers=workers) == 8
    one = sorted((tmp_path / "1").rglob("*.*"))
    assert len(one) == 9
    for file in one:
        assert file.read_bytes() == (tmp_path / "2" / file.relative_to(tmp_path / "1")).read_bytes()


def test_the_table_of_truth_names_every_file(cohort):
    with (cohort / "truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["file"] for row in rows} == {p.relative_to(cohort).as_posix() for p in cohort.rglob("*.dcm")}
    assert all(float(row["breast_area_mm2"]) > 1000 for row in rows)


@pytest.mark.parametrize(("change", "words"), [({"patients": 0}, "--patients"), ({"shape": (64, 64)}, "5 to 4")])
def test_impossible_cohorts_are_refused(tmp_path, change, words):
    with pytest.raises(Refused, match=words):
        write_cohort(**({"kind": "mammogram", "out": tmp_path, "patients": 1, "shape": (80, 64)} | change))
