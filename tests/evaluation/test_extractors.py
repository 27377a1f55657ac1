"""Extractors: the same features twice, published layouts of weights, files that are not what they should be."""

import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ganatomy.errors import Refused
from ganatomy.evaluation.extractors import table, weights
from ganatomy.evaluation.extractors.dinov2 import SIZES, VisionTransformer
from ganatomy.evaluation.extractors.extractor import Extractor, digest_state, extract_features
from ganatomy.evaluation.extractors.handcrafted import FEATURE_NAMES, Handcrafted
from ganatomy.evaluation.extractors.inception import InceptionV3
from ganatomy.evaluation.extractors.random_resnet import PROJECTION_DIMENSIONS, RandomResNet
from ganatomy.evaluation.extractors.resnet import ResNet
from ganatomy.evaluation.metrics.frechet import compute_frechet_distance
from ganatomy.phantoms.fields import draw_power_law_field


def _textures(n, beta=2.8, shape=(64, 64), seed=0):
    return [np.clip(draw_power_law_field(np.random.default_rng((seed, i)), shape, beta) / 3, -1, 1) for i in range(n)]


@pytest.mark.parametrize(("ndim", "digest"), [(2, "df57f7ca"), (3, "22ce5283")])
def test_the_random_network_is_the_same_everywhere(ndim, digest):
    one = RandomResNet(ndim)
    assert one.digest.startswith(digest)
    images = _textures(3, shape=(32,) * ndim)
    rows = extract_features(one, images, 3, "textures")
    assert rows.shape == (3, PROJECTION_DIMENSIONS)
    np.testing.assert_allclose(rows[1:2], RandomResNet(ndim)([images[1]]), atol=1e-3)
    assert RandomResNet(ndim, seed=1).digest != one.digest


def test_random_features_see_what_gets_worse():
    from scipy import ndimage

    extractor, n = RandomResNet(2), 40

    def rows(images):
        return extract_features(extractor, images, n, "textures")[:, :16]

    real, other = rows(_textures(n)), _textures(n, seed=1)
    floor = compute_frechet_distance(real, rows(other))
    for worse in (
        [[ndimage.gaussian_filter(i, s) for i in other] for s in (0.6, 2)],
        [
            [i + np.random.default_rng(0).normal(size=i.shape).astype(np.float32) * s for i in other]
            for s in (0.05, 0.2)
        ],
        [other[:8] * 5, other[:2] * 20],
    ):
        mild, strong = (compute_frechet_distance(real, rows(images)) for images in worse)
        assert floor < mild < strong


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("depth", "block", "shortcut"), [(10, "BasicBlock", "B"), (18, "BasicBlock", "A"), (50, "Bottleneck", "B")]
)
def test_med3d_is_medmetrics(depth, block, shortcut):
    theirs = pytest.importorskip("medmetric.models.resnet")
    from ganatomy.evaluation.extractors.resnet import DEPTHS

    torch.manual_seed(0)
    layers = list(DEPTHS[depth])
    model = theirs.medicalnet_resnet(getattr(theirs, block), layers, shortcut_type=shortcut, no_cuda=True).eval()
    state = {re.sub(r"^(backbone|net|model)\.", "", name): value for name, value in model.state_dict().items()}
    for name, value in state.items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
    ours = ResNet(3, depth, dilated=True).eval()
    weights.load_weights(ours, state)
    x = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(x).flatten(), model(x).flatten(), rtol=1e-5, atol=1e-5)


def test_dilation_matters():
    torch.manual_seed(0)
    plain, dilated = ResNet(3, 10).eval(), ResNet(3, 10, dilated=True).eval()
    dilated.load_state_dict(plain.state_dict())
    x = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        a, b = plain(x), dilated(x)
    assert (a - b).norm() > 0.2 * a.norm()


GOLDEN_NETWORKS = {
    "inception": (0.7155066728591919, 1.115828037261963),
    "dinov2": (0.011487416923046112, 1.3427757024765015),
}


@pytest.mark.parametrize("name", ["inception", "dinov2"])
def test_networks_that_were_checked_against_others_stay_as_they_are(name):
    """Both gave the same features as pytorch-fid's network (to 0) and transformers' (to 0 at 518 pixels) with shared
    random weights; these libraries do not install beside a torch without CUDA, so the values are frozen."""
    network = (InceptionV3() if name == "inception" else VisionTransformer(SIZES["s"])).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, value in sorted(network.state_dict().items()):
            if value.dtype.is_floating_point:
                noise = torch.randn(value.shape, generator=generator)
                value.copy_(
                    1 + 0.1 * noise
                    if "running_var" in key or "gamma" in key
                    else noise / max(1, value[0].numel()) ** 0.5
                )
        side = 299 if name == "inception" else 70
        features = network(torch.randn(1, 3, side, side, generator=generator))
    assert (float(features.mean()), float(features.std())) == pytest.approx(GOLDEN_NETWORKS[name], rel=1e-3)


def test_the_published_layout_of_the_weights():
    assert len(InceptionV3().state_dict()) == 6 * 94 + 2
    assert sum(p.numel() for p in VisionTransformer(SIZES["s"]).parameters()) == 22_056_576 - 384  # no mask token


# ----------------------------------------------------------------------------------------------------------------------
# Handcrafted features.


def test_what_is_constant_among_reals_is_left_out_and_told():
    images = [np.where(np.arange(64) < 40, image, -1) for image in _textures(12)]
    one = Handcrafted(images)
    assert "quantile 0.05" in one.constant_names
    rows = one(images)
    assert rows.shape == (12, len(FEATURE_NAMES) - len(one.constant_names))
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-6)
    noisy = [image + 0.01 for image in images]
    assert one.measure_departures(noisy)["quantile 0.05"] == pytest.approx(0.01, abs=1e-5)
    assert np.isfinite(one(noisy)).all()


# ----------------------------------------------------------------------------------------------------------------------
# Files of weights.


def test_weights_are_checked_before_they_are_read(tmp_path, monkeypatch):
    with pytest.raises(Refused, match=r"needs --weights FILE: resnet_50.pth .*Hugging Face.*Nothing is downloaded"):
        table.get_extractor("med3d-50", 3, [])
    with pytest.raises(Refused, match="no file"):
        table.get_extractor("med3d-50", 3, [], tmp_path / "absent.pth")
    file = tmp_path / "resnet_10.pth"
    torch.manual_seed(0)
    network = ResNet(3, 10, dilated=True)
    torch.save({"state_dict": {f"module.{name}": value for name, value in network.state_dict().items()}}, file)
    with pytest.raises(Refused, match="SHA-256"):
        table.get_extractor("med3d-10", 3, [], file)
    _know(monkeypatch, "med3d-10", file)
    extractor = table.get_extractor("med3d-10", 3, [], file)
    volume = np.zeros((32, 32, 32), np.float32)
    with torch.no_grad():
        np.testing.assert_allclose(extractor([volume])[0], network.eval()(torch.zeros(1, 1, 32, 32, 32))[0], atol=1e-6)


def test_weights_that_are_code_or_of_another_network_are_refused(tmp_path, monkeypatch):
    import pickle

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    file = tmp_path / "resnet_10.pth"
    file.write_bytes(pickle.dumps(Evil()))
    _know(monkeypatch, "med3d-10", file)
    with pytest.raises(Refused, match="cannot be read as weights"):
        table.get_extractor("med3d-10", 3, [], file)
    assert not (tmp_path / "written").exists()
    other = tmp_path / "other.safetensors"
    save_file({"fc.weight": torch.zeros(2, 2)}, other)
    _know(monkeypatch, "med3d-10", other)
    with pytest.raises(Refused, match="do not fit"):
        table.get_extractor("med3d-10", 3, [], other)


def _know(monkeypatch, name, file):
    from ganatomy.machine.durable import compute_sha256

    monkeypatch.setitem(
        weights.KNOWN_WEIGHTS, name, (weights.KnownWeights(file.name, compute_sha256(file), "a test", "none"),)
    )


def test_unknown_extractors_and_dimensions_are_refused():
    with pytest.raises(Refused, match="choose one of random, handcrafted"):
        table.get_extractor("vgg", 2, [])
    with pytest.raises(Refused, match="3 dimensions"):
        table.get_extractor("med3d-10", 2, [])


def test_the_digest_follows_the_weights():
    network = ResNet(2, 10)
    before = digest_state(network)
    with torch.no_grad():
        network.conv1.weight[0, 0, 0, 0] += 1
    assert digest_state(network) != before


# ----------------------------------------------------------------------------------------------------------------------
# Features of real images are kept.


def test_no_real_image_is_looked_at_twice(store, tmp_path):
    import shutil

    from ganatomy.data.store import open_store
    from ganatomy.evaluation.feature_cache import FeatureCache
    from ganatomy.evaluation.images.sets import select_real_images

    class Counting(Extractor):
        name, digest, description, seen = "counting", "0" * 64, "", 0

        def __call__(self, images):
            self.seen += len(images)
            return np.array([[image.mean(), image.std()] for image in images])

    shutil.copytree(store.path, tmp_path / "store")
    own = open_store(tmp_path / "store")
    train, extractor = select_real_images(own, "train", (20, 16)), Counting()

    def get_features(images):
        return FeatureCache().get_features(extractor, images, "reals")  # one of a report of its own

    first = get_features(train.select_cases(train.cases[:6]))
    every = get_features(train)
    assert extractor.seen == len(train)
    np.testing.assert_array_equal(every[:6], first)
    assert get_features(train.select_cases(train.cases[::-1]))[0] == pytest.approx(every[-1])
    assert extractor.seen == len(train)
    (kept,) = (own.path / "features").glob("counting-*")
    kept.write_bytes(kept.read_bytes()[:100])  # a damaged file is made again
    np.testing.assert_array_equal(get_features(train), every)
    get_features(select_real_images(own, "train", (40, 32)))  # another level is another file
    assert len(list((own.path / "features").glob("counting-*"))) == 2
