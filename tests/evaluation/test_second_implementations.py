"""Our metrics against other people's, on the same arrays (dependency group `test-metrics`)."""

import contextlib
import io

import numpy as np
import pytest
import torch

from ganatomy.evaluation.metrics import ms_ssim, spectrum
from ganatomy.evaluation.metrics.frechet import compute_frechet_distance
from ganatomy.evaluation.metrics.kid import compute_kid
from ganatomy.evaluation.metrics.mmd import compute_gaussian_kernel, compute_mmd
from ganatomy.evaluation.metrics.precision_recall import compute_precision_recall
from ganatomy.evaluation.metrics.swd import SWDProtocol, _compute_sliced_distance
from ganatomy.evaluation.metrics.vendi import compute_vendi_score
from ganatomy.phantoms.fields import draw_power_law_field

pytestmark = pytest.mark.filterwarnings("ignore")


def _features(n=120, d=24, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ np.random.default_rng(9).normal(size=(d, d)) * scale


def test_frechet_is_torchmetrics_and_monais():
    torchmetrics = pytest.importorskip("torchmetrics.image.fid")
    x, y = _features(), _features(seed=1, scale=1.2)
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    theirs = torchmetrics._compute_fid(a.mean(0), torch.cov(a.T), b.mean(0), torch.cov(b.T))
    assert compute_frechet_distance(x, y) == pytest.approx(float(theirs), rel=1e-9)
    scipy = pytest.importorskip("scipy")
    if tuple(int(n) for n in scipy.__version__.split(".")[:2]) < (1, 18):  # MONAI calls what 1.18 has removed
        monai = pytest.importorskip("monai.metrics")
        assert compute_frechet_distance(x, y) == pytest.approx(float(monai.FIDMetric()(a, b)), rel=1e-7)


def test_kid_is_torchmetrics():
    poly_mmd = pytest.importorskip("torchmetrics.image.kid").poly_mmd
    x, y = _features(), _features(seed=1, scale=1.2)
    assert compute_kid(x, y) == pytest.approx(float(poly_mmd(torch.from_numpy(x), torch.from_numpy(y))), rel=1e-6)


def test_mmd_is_scikit_learns_kernel():
    from sklearn.metrics.pairwise import rbf_kernel

    x, y = _features(), _features(seed=1, scale=1.2)
    both = np.concatenate([x, y])
    median = float(
        torch.cdist(
            torch.from_numpy(both), torch.from_numpy(both), compute_mode="donot_use_mm_for_euclid_dist"
        ).median()
    )
    np.testing.assert_allclose(compute_gaussian_kernel(x, y), rbf_kernel(both, gamma=1 / median**2), atol=1e-9)
    k, n = rbf_kernel(both, gamma=1 / median**2), len(x)
    within = [(k[s, s].sum() - n) / (n * (n - 1)) for s in (slice(n), slice(n, None))]
    assert compute_mmd(x, y) == pytest.approx(sum(within) - 2 * k[:n, n:].mean(), rel=1e-6)


def test_precision_recall_is_prdcs():
    prdc = pytest.importorskip("prdc")
    x, y = _features(), _features(seed=1, scale=1.2)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = prdc.compute_prdc(x, y, nearest_k=5)
    ours = compute_precision_recall(x, y)
    assert {name: getattr(ours, name) for name in theirs} == pytest.approx(theirs)


def test_vendi_is_vendi_scores():
    theirs = pytest.importorskip("vendi_score.vendi")
    x = _features()
    assert compute_vendi_score(x) == pytest.approx(theirs.score_dual(x, normalize=True), rel=1e-6)


@pytest.mark.parametrize("shape", [(176, 192), (176, 176, 176)])
def test_ms_ssim_is_pytorch_msssims(shape):
    theirs = pytest.importorskip("pytorch_msssim").ms_ssim
    a, b = (
        np.clip(draw_power_law_field(np.random.default_rng(s), shape, 2.5) * 0.15 + 0.5, 0, 1).astype(np.float32)
        for s in (0, 1)
    )
    b = 0.6 * a + 0.4 * b
    expected = theirs(torch.from_numpy(a)[None, None], torch.from_numpy(b)[None, None], data_range=1.0)
    assert ms_ssim.compute_ms_ssim(a, b) == pytest.approx(float(expected), abs=2e-5)


def test_sliced_distance_is_pots():
    ot = pytest.importorskip("ot")
    x, y = (torch.from_numpy(_features(2000, 49, s, 1 + 0.3 * s)).float() for s in (0, 1))
    theirs = ot.sliced_wasserstein_distance(x.numpy(), y.numpy(), n_projections=1024, p=1, seed=0)
    assert _compute_sliced_distance(x, y, SWDProtocol(directions=512), 0) == pytest.approx(theirs, rel=0.03)


def test_the_exponent_is_powerboxs():
    powerbox = pytest.importorskip("powerbox")
    field = draw_power_law_field(np.random.default_rng(0), (256, 256), 3.0)
    window = np.outer(np.hanning(257)[:-1], np.hanning(257)[:-1])
    found = powerbox.get_power((field - field.mean()) * window, 256.0, bins=127, ignore_zero_mode=True)
    power, f = np.asarray(found.power), np.asarray(found.bin_avg) / (2 * np.pi)
    band = (f >= 3 / 256) & (f <= 0.35) & np.isfinite(power)
    theirs = -np.polyfit(np.log(f[band]), np.log(power[band]), 1)[0]
    assert spectrum.fit_exponent(*spectrum.compute_radial_power(field), 256) == pytest.approx(theirs, abs=0.1)
