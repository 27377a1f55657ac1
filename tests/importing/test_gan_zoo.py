"""Files as pytorch_GAN_zoo lays them out become a run that computes what that program computes."""

import math
import sys
import types

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ganatomy.checkpoint import find_snapshot, open_snapshot
from ganatomy.cli import main
from ganatomy.errors import Refused
from ganatomy.importing.import_weights import import_weights
from ganatomy.sampling import sample
from ganatomy.steps.scope import LevelScope

CPU = torch.device("cpu")
WIDTHS, LATENT = (16, 16, 16, 8), 24
SIZE = 4 * 2 ** (len(WIDTHS) - 1)
VIEWS = {"view_position": ("CC", "MLO")}


def _make(classes=2, channels=1, deviation=True):
    random = torch.Generator().manual_seed(0)
    g, d = {}, {}

    def layer(weights, name, *shape):
        weights[f"{name}.weight"] = torch.randn(shape, generator=random)
        weights[f"{name}.bias"] = torch.randn(shape[0], generator=random)

    first = WIDTHS[0]
    layer(g, "formatLayer", 16 * first, LATENT + classes)
    layer(g, "groupScale0.0", first, first, 3, 3)
    layer(d, "groupScaleZero.0", first, first + deviation, 3, 3)
    layer(d, "groupScaleZero.1", first, 16 * first)
    layer(d, "decisionLayer", 1 + classes, first)
    for level, width in enumerate(WIDTHS):
        layer(g, f"toRGBLayers.{level}", channels, width, 1, 1)
        layer(d, f"fromRGBLayers.{level}", width, channels, 1, 1)
        if level:
            below = WIDTHS[level - 1]
            layer(g, f"scaleLayers.{level - 1}.0", width, below, 3, 3)
            layer(g, f"scaleLayers.{level - 1}.1", width, width, 3, 3)
            layer(d, f"scaleLayers.{level - 1}.0", width, width, 3, 3)
            layer(d, f"scaleLayers.{level - 1}.1", below, width, 3, 3)
    return g, d


@pytest.fixture
def save(tmp_path, monkeypatch):
    """Saves a file with the settings as an object of that program's class, which is not there when it is read."""

    def write(g, d, **settings):
        module = types.ModuleType("models.utils.config")
        module.BaseConfig = type("BaseConfig", (), {"__module__": "models.utils.config", "__qualname__": "BaseConfig"})
        config = module.BaseConfig()
        config.__dict__.update({"leakyReluLeak": 0.2, "alpha": 0, "lossCriterion": "WGANGP", **settings})
        with monkeypatch.context() as there:
            for name in ("models", "models.utils"):
                there.setitem(sys.modules, name, types.ModuleType(name))
            there.setitem(sys.modules, "models.utils.config", module)
            torch.save({"config": config, "netG": {"other": torch.ones(1)}, "netD": d, "avgG": g}, tmp_path / "x.pt")
        return tmp_path / "x.pt"

    return write


def _constant(weight):
    return math.sqrt(2 / weight[0].numel())


def _apply(x, weights, name, padding=1):
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    y = F.linear(x, weight, bias) if weight.ndim == 2 else F.conv2d(x, weight, bias, padding=padding)
    return y * _constant(weight)


def _normalised(x):
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def _generate(weights, z):
    x = F.leaky_relu(_apply(_normalised(z), weights, "formatLayer"), 0.2).view(len(z), -1, 4, 4)
    x = _normalised(F.leaky_relu(_apply(_normalised(x), weights, "groupScale0.0"), 0.2))
    for level in range(len(WIDTHS) - 1):
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        for part in (0, 1):
            x = _normalised(F.leaky_relu(_apply(x, weights, f"scaleLayers.{level}.{part}"), 0.2))
    return _apply(x, weights, f"toRGBLayers.{len(WIDTHS) - 1}", 0)


def _discriminate(weights, images):
    x = F.leaky_relu(_apply(images, weights, f"fromRGBLayers.{len(WIDTHS) - 1}", 0), 0.2)
    for level in reversed(range(len(WIDTHS) - 1)):
        for part in (0, 1):
            x = F.leaky_relu(_apply(x, weights, f"scaleLayers.{level}.{part}"), 0.2)
        x = F.avg_pool2d(x, 2)
    deviation = (x.var(0, unbiased=False) + 1e-8).sqrt().mean()  # one group of four images
    x = torch.cat((x, deviation.expand(len(x), 1, 4, 4)), 1)
    x = F.leaky_relu(_apply(x, weights, "groupScaleZero.0"), 0.2).flatten(1)
    return _apply(F.leaky_relu(_apply(x, weights, "groupScaleZero.1"), 0.2), weights, "decisionLayer")


def _import(file, out, conditions=VIEWS, shape=(SIZE, SIZE), **more):
    return import_weights([file], "pggan-mammogram", shape, out, "mammogram", condition=conditions, **more)


def test_both_networks_compute_what_that_program_computes(save, tmp_path):
    g, d = _make()
    snapshot = open_snapshot(find_snapshot(_import(save(g, d), tmp_path).path), None)
    recipe = snapshot.recipe
    assert recipe.latent == LATENT
    assert snapshot.is_full_size
    scope = LevelScope(len(WIDTHS) - 1, 1.0, recipe.shape)
    condition = recipe.condition_space.encode([{"view_position": view} for view in ("CC", "MLO", "MLO", "CC")])
    torch.manual_seed(1)
    z = torch.randn(4, LATENT)
    with torch.inference_mode():
        made = snapshot.load_network("generator", CPU)(z, condition, scope)[0]
        wanted = _generate(g, torch.cat((z, condition.vector), 1))
        torch.testing.assert_close(made, wanted, rtol=1e-5, atol=1e-5)
        answer = snapshot.load_network("discriminator", CPU)((made,), condition, scope)
        both = torch.cat((answer.scores[:, None], answer.labels), 1)
        torch.testing.assert_close(both, _discriminate(d, made), rtol=1e-5, atol=1e-5)
    image, record = next(sample(snapshot, 1, 0, {"view_position": "MLO"}))
    assert image.pixels.shape == (SIZE, SIZE)
    assert np.abs(image.pixels).max() <= 1
    assert record["view_position"] == "MLO"


def test_a_discriminator_without_minibatch_deviation_is_left_aside(save, tmp_path):
    snapshot = open_snapshot(find_snapshot(_import(save(*_make(deviation=False)), tmp_path).path), None)
    assert set(snapshot.weights) == {"generator"}


def test_a_model_without_classes_becomes_dicom(save, tmp_path):
    file = save(*_make(0))
    line = f"import {file} --recipe pggan-mammogram --shape {SIZE},{SIZE} --modality mammogram --spacing 2"
    assert main(f"{line} --fact view_position=CC --out {tmp_path / 'runs'}".split()) == 0
    run = tmp_path / "runs" / "00000-pggan-mammogram"
    assert main(f"sample {run} --n 2 --to dicom --out {tmp_path / 'dicom'}".split()) == 0
    assert len(list((tmp_path / "dicom").rglob("*.dcm"))) == 2


@pytest.mark.parametrize(
    ("made", "settings", "shape", "words"),
    [
        ({}, {"alpha": 0.5}, (SIZE, SIZE), "setting alpha is 0.5, and only 0 can be imported"),
        ({}, {"lossCriterion": "DCGAN"}, (SIZE, SIZE), "so its generator ends in a tanh"),
        ({}, {}, (2 * SIZE, 2 * SIZE), "makes images of 32x32, not of 64x64"),
        ({}, {}, (40, 32), r"makes square images with sides of 4, 8, 16, \.\.\. pixels, not 40x32"),
        ({"channels": 3}, {}, (SIZE, SIZE), "makes images with 3 channels; only generators of grey images"),
    ],
)
def test_what_another_function_would_be_is_refused(made, settings, shape, words, save, tmp_path):
    with pytest.raises(Refused, match=words):
        _import(save(*_make(**made), **settings), tmp_path / "runs", shape=shape)
    assert not (tmp_path / "runs").exists()


def test_missing_tensors_are_named(save, tmp_path):
    g, d = _make()
    del g["scaleLayers.0.0.bias"]
    with pytest.raises(Refused, match=r"is not a generator of pggan-mammogram .*: it lacks scaleLayers.0.0.bias"):
        _import(save(g, d), tmp_path / "runs")
    del g["formatLayer.weight"]
    with pytest.raises(Refused, match=r"it lacks formatLayer.weight"):
        _import(save(g, d), tmp_path / "runs")
