"""HA-GAN as its authors lay it out: seeded weights under their names, and a plain forward of each network (Sun 2022).

Written from the table of names and shapes and the equations of the paper, with nothing of the package, so that what is
imported can be compared with a second implementation.
"""

import torch
from torch.nn import functional as F

GROUPS, LATENT, SLOPE = 8, 1024, 0.2


def _layer(weights, name, *shape, generator):
    fan_in = torch.Size(shape[1:]).numel()
    weights[f"{name}.weight"] = torch.randn(shape, generator=generator) / fan_in**0.5
    weights[f"{name}.bias"] = torch.randn(shape[0], generator=generator) / 10


def _norm(weights, name, channels, generator):
    weights[f"{name}.weight"] = 1 + torch.randn(channels, generator=generator) / 10
    weights[f"{name}.bias"] = torch.randn(channels, generator=generator) / 10


def make_files(size, features=64, classes=0, seed=0):
    """The weights of the four files: generator, discriminator, high encoder, ground encoder."""
    random = torch.Generator().manual_seed(seed)
    w, first = features, {256: 1, 128: 2}[size]
    g, d, e, sub = {}, {}, {}, {}
    _layer(g, "fc1", 8 * w * 64, LATENT + classes, generator=random)
    for i, (a, b) in enumerate(((8, 8), (8, 8), (8, 4), (4, 2), (2, 1)), 1):
        _layer(g, f"tp_conv{i}", b * w, a * w, 3, 3, 3, generator=random)
        _norm(g, f"bn{i}", b * w, random)
    for name, a, b in (("", w, w // 2), ("sub_G.", w, w // 2)):
        number = 1 if name else 6
        _layer(g, f"{name}tp_conv{number}", b, a, 3, 3, 3, generator=random)
        _norm(g, f"{name}bn{number}", b, random)
    _layer(g, "tp_conv7", 1, w // 2, 3, 3, 3, generator=random)
    _layer(g, "sub_G.tp_conv2", w // 4, w // 2, 3, 3, 3, generator=random)
    _norm(g, "sub_G.bn2", w // 4, random)
    _layer(g, "sub_G.tp_conv3", 1, w // 4, 3, 3, 3, generator=random)

    depths = {1: 4, 2: 4, 3: 4, 4: 2, 5: 2, 6: 1} if size == 256 else {2: 4, 3: 4, 4: 2, 5: 2, 6: 1}
    widths = [1, *(8 * w // 2 ** (6 - i) for i in range(first, 7))]
    for i, a, b in zip(range(first, 7), widths, widths[1:], strict=False):
        _layer(d, f"conv{i}", b, a, depths[i], 4, 4, generator=random)
    _layer(d, "conv7", 2 * w, 8 * w, 1, 4, 4, generator=random)
    _layer(d, "fc1", w, 2 * w + 1, generator=random)
    _layer(d, "fc2", 1, w, generator=random)
    if classes:
        _layer(d, "fc2_class", classes, w, generator=random)
    low = [1, *(4 * w // 2 ** (4 - i) for i in range(first, 5))]
    for i, a, b in zip(range(first, 5), low, low[1:], strict=False):
        _layer(d, f"sub_D.conv{i}", b, a, 4, 4, 4, generator=random)
    _layer(d, "sub_D.conv5", 1 + classes, 4 * w, 4, 4, 4, generator=random)
    for name in [key.removesuffix(".weight") for key in d if key.endswith(".weight")]:
        d[f"{name}.u0"] = torch.randn(1, len(d[f"{name}.weight"]), generator=random)
        d[f"{name}.sv0"] = torch.ones(1)

    for i, (a, b, kernel) in enumerate(((1, w // 2, 4), (w // 2, w // 2, 3), (w // 2, w, 4)), 1):
        _layer(e, f"conv{i}", b, a, kernel, kernel, kernel, generator=random)
        _norm(e, f"bn{i}", b, random)
    low[0] = w
    for i, a, b in zip(range(first, 5), low, low[1:], strict=False):
        _layer(sub, f"conv{i}", b, a, 4, 4, 4, generator=random)
        _norm(sub, f"bn{i}", b, random)
    _layer(sub, "conv5", LATENT, 4 * w, 4, 4, 4, generator=random)
    return g, d, e, sub


def save_files(folder, parts, wrapped=False):
    """The four files, each with its weights and the state of an optimiser, as the authors' code saves them."""
    prefix = "module." if wrapped else ""
    paths = []
    for name, weights in zip(("G", "D", "E", "Sub_E"), parts, strict=False):
        paths.append(folder / f"{name}_iter80000.pth")
        held = {f"{prefix}{key}": value for key, value in weights.items()}
        torch.save({"model": held, "optimizer": {"state": {0: {"step": 1}}, "param_groups": [{"lr": 1e-4}]}}, paths[-1])
    return paths


# ----------------------------------------------------------------------------------------------------------------------
# The networks as functions of an image or a code, and of the weights by the authors' names.


def _conv(x, weights, name, stride=1, padding=1):
    return F.conv3d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, padding)


def _normalised(x, weights, name):
    return F.relu(F.group_norm(x, GROUPS, weights[f"{name}.weight"], weights[f"{name}.bias"]))


def _up(x):
    return F.interpolate(x, scale_factor=2)


def generate(weights, size, z, classes, start=None):
    """The whole volume, or the planes from `start` and the low-resolution volume."""
    x = F.linear(torch.cat((z, classes), 1), weights["fc1.weight"], weights["fc1.bias"])
    x = x.view(len(z), -1, 4, 4, 4)
    for i in range(1, 6):
        enlarges = 1 < i < 5 or (i == 5 and size == 256)
        x = _normalised(_conv(_up(x) if enlarges else x, weights, f"tp_conv{i}"), weights, f"bn{i}")
    features = x if start is None else x[:, :, start // 4 : start // 4 + size // 32]
    high = _normalised(_conv(_up(features), weights, "tp_conv6"), weights, "bn6")
    high = torch.tanh(_conv(_up(high), weights, "tp_conv7"))
    if start is None:
        return high
    for i in (1, 2):
        x = _normalised(_conv(x, weights, f"sub_G.tp_conv{i}"), weights, f"sub_G.bn{i}")
    return high, torch.tanh(_conv(x, weights, "sub_G.tp_conv3"))


def _spectral(weights, name):
    """W / sigma with one step of the power iteration from u0."""
    weight = weights[f"{name}.weight"]
    matrix = weight.flatten(1)
    v = F.normalize(weights[f"{name}.u0"] @ matrix)
    u = F.normalize(v @ matrix.T)
    return weight / (u @ matrix @ v.T)


def _sn_conv(x, weights, name, stride, padding):
    return F.conv3d(x, _spectral(weights, name), weights[f"{name}.bias"], stride, padding)


def _sn_dense(x, weights, name):
    return F.linear(x, _spectral(weights, name), weights[f"{name}.bias"])


def discriminate(weights, size, high, low, start):
    """The mean of both branches: score (batch, 1) and label logits (batch, classes)."""
    x, first = high, {256: 1, 128: 2}[size]
    for i in range(first, 7):
        depth = weights[f"conv{i}.weight"].shape[2]
        along = {4: (2, 1), 2: (2, 0), 1: (1, 0)}[depth]
        x = F.leaky_relu(_sn_conv(x, weights, f"conv{i}", (along[0], 2, 2), (along[1], 1, 1)), SLOPE)
    x = F.leaky_relu(_sn_conv(x, weights, "conv7", 1, 0), SLOPE).flatten(1)
    position = torch.full((len(x), 1), start / (size * 7 / 8))
    x = F.leaky_relu(_sn_dense(torch.cat((x, position), 1), weights, "fc1"), SLOPE)
    answers = _sn_dense(x, weights, "fc2")
    if "fc2_class.weight" in weights:
        answers = torch.cat((answers, _sn_dense(x, weights, "fc2_class")), 1)
    for i in range(first, 5):
        low = F.leaky_relu(_sn_conv(low, weights, f"sub_D.conv{i}", 2, 1), SLOPE)
    both = (answers + _sn_conv(low, weights, "sub_D.conv5", 1, 0).flatten(1)) / 2
    return both[:, :1], both[:, 1:]


def encode_high(weights, x):
    for i, stride in ((1, 2), (2, 1), (3, 2)):
        x = _normalised(_conv(x, weights, f"conv{i}", stride), weights, f"bn{i}")
    return x


def encode_ground(weights, size, x):
    for i in range({256: 1, 128: 2}[size], 5):
        x = _normalised(_conv(x, weights, f"conv{i}", 2), weights, f"bn{i}")
    return _conv(x, weights, "conv5", 1, 0).flatten(1)
