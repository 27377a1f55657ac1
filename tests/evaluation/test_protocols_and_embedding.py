"""Published definitions by name; points of a plane; what the plane says of several models."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ganatomy.errors import Refused
from ganatomy.evaluation import protocols
from ganatomy.evaluation.evaluate import evaluate
from ganatomy.evaluation.extractors import weights
from ganatomy.evaluation.extractors.resnet import ResNet
from ganatomy.evaluation.feature_cache import FeatureCache
from ganatomy.evaluation.images.sets import select_real_images
from ganatomy.evaluation.metrics.frechet import compute_frechet_distance
from ganatomy.evaluation.report import embedding
from ganatomy.evaluation.report.embedding import compute_classical_mds, compute_umap, find_obstacle_to_umap, fit_ellipse
from ganatomy.machine.durable import compute_sha256


@pytest.fixture
def med3d(tmp_path, monkeypatch):
    """A file of weights with the published layout, made known for this test."""
    file = tmp_path / "resnet_50.pth"
    torch.manual_seed(0)
    network = ResNet(3, 50, dilated=True).eval()
    torch.save({"state_dict": network.state_dict()}, file)
    monkeypatch.setitem(
        weights.KNOWN_WEIGHTS, "med3d-50", (weights.KnownWeights(file.name, compute_sha256(file), "a test", "none"),)
    )
    return file, network


def test_hagans_protocol_is_its_definition(volumes, med3d, monkeypatch):
    monkeypatch.setattr(protocols, "HAGAN_IMAGES", 4)
    file, network = med3d
    test, fakes = (
        select_real_images(volumes, "test", (32, 32, 32)),
        select_real_images(volumes, "train", (32, 32, 32), 5),
    )
    sides = SimpleNamespace(test=test, fakes=fakes, features=FeatureCache())
    fid, mmd = protocols.compute_hagan_2022(sides, file)

    def features(images):
        with torch.no_grad():
            return np.concatenate([network(torch.from_numpy(image)[None, None]).numpy() for image in images])

    expected = compute_frechet_distance(features(test), features(fakes[i] for i in range(4)))
    assert fid.value == pytest.approx(expected, rel=1e-3)
    assert fid.dimensions == 2048
    assert fid.extractor.startswith("med3d-50 ")
    assert mmd.metric == "MMD (hagan-2022)"
    with pytest.raises(Refused, match="needs --weights"):
        protocols.compute_hagan_2022(sides, None)
    monkeypatch.setattr(protocols, "HAGAN_IMAGES", 6)
    with pytest.raises(Refused, match="needs 6 synthetic volumes, but there are only 5"):
        protocols.compute_hagan_2022(sides, file)


def test_the_published_swd_needs_its_images(store, monkeypatch):
    train = select_real_images(store, "train", (80, 64))
    sides = SimpleNamespace(test=select_real_images(store, "test", (80, 64)), fakes=train)
    with pytest.raises(Refused, match="16384 synthetic images, but there are only 32"):
        protocols.compute_pggan_swd_16384(sides, None)
    monkeypatch.setattr(protocols, "SWD_IMAGES", 8)
    (score,) = protocols.compute_pggan_swd_16384(sides, None)
    assert score.images == 8
    assert score.definition.count(",") >= 3


def test_unknown_protocols_and_other_dimensions_are_refused(run, store, tmp_path):
    with pytest.raises(Refused, match="choose one of hagan-2022, pggan-swd-16384"):
        protocols.get_protocol("fid-50k")
    with pytest.raises(Refused, match="defined for volumes"):
        protocols.compute_hagan_2022(SimpleNamespace(test=select_real_images(store, "test", (80, 64))), None)
    with pytest.raises(Refused, match="needs --weights"):
        evaluate(run.path, out=tmp_path / "report", extractor="inception-2015")
    assert not (tmp_path / "report").exists()


# ----------------------------------------------------------------------------------------------------------------------
# The plane.


def test_classical_mds_keeps_distances_of_a_plane_and_is_the_eigendecomposition():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(40, 2)) * (3, 1)
    turned = plane @ np.linalg.qr(rng.normal(size=(8, 8)))[0][:2]
    found = compute_classical_mds(turned)
    apart = np.linalg.norm(found[:, None] - found, axis=2)
    np.testing.assert_allclose(apart, np.linalg.norm(plane[:, None] - plane, axis=2), atol=1e-9)
    centring = np.eye(40) - 1 / 40
    values, vectors = np.linalg.eigh(
        -0.5 * centring @ (np.linalg.norm(turned[:, None] - turned, axis=2) ** 2) @ centring
    )
    np.testing.assert_allclose(np.abs(found), np.abs(vectors[:, [-1, -2]] * np.sqrt(values[[-1, -2]])), atol=1e-8)
    np.testing.assert_allclose(compute_classical_mds(turned), found)


@pytest.mark.parametrize("n", [300, 3000])
def test_the_ellipse_holds_95_percent_whatever_the_number_of_points(n):
    points = np.random.default_rng(0).normal(size=(n, 2)) @ np.array([[2, 1], [0, 0.5]]) + 3
    assert fit_ellipse(points).compute_share_inside(points) == pytest.approx(0.95, abs=0.02)
    assert fit_ellipse(points).compute_share_inside(points + 20) == 0
    np.testing.assert_allclose(fit_ellipse(points).outline().mean(0), points.mean(0), atol=0.1)


@pytest.mark.ci  # numba compiles the library first
def test_umap_needs_enough_points_and_is_the_same_for_a_seed():
    rows = np.random.default_rng(0).normal(size=(40, 8))
    assert "needs 30 images; there are 20" in find_obstacle_to_umap(20)
    assert find_obstacle_to_umap(40) is None
    found = compute_umap(rows)
    assert found.shape == (40, 2)
    np.testing.assert_allclose(compute_umap(rows), found)


@pytest.mark.ci
def test_a_report_without_umap_names_the_extra(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    monkeypatch.setattr(embedding, "MIN_UMAP_POINTS", 3)
    content = evaluate(run.path, out=tmp_path / "report")
    (row,) = [row for row in content["not_computed"] if row["metric"] == "UMAP"]
    assert "pip install 'ganatomy[umap]'" in row["why"]
    assert set(content["embedding"]) == {"classical MDS"}
    assert "ganatomy[umap]" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.ci
def test_other_models_stand_in_the_plane(run, store, tmp_path):
    content = evaluate(run.path, out=tmp_path / "report", beside={"first": run.list_snapshots()[-2]})
    shares = content["embedding"]["classical MDS"]["share_inside"]
    assert set(shares) == {"held-out", "training", "synthetic", "first"}
    assert all(0 <= share <= 1 for share in shares.values())
