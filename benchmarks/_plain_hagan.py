"""The reference of the HA-GAN benchmarks: the published training step and whole-volume pass in plain PyTorch.

It follows the description of the layers and of the training step in the paper and the authors' code: nearest-neighbour
`F.interpolate` before the convolutions, `F.group_norm` followed by `F.relu`, separate generator passes for the
discriminator, the generator and the ground encoder, real and synthetic images scored in separate passes, PyTorch's
default Adam, and float32. It uses the weights of our networks, so that both sides can be compared; both sides use our
implementation of the spectral norm.
"""

import torch
from torch.nn import functional as F

from ganatomy.nn.plain import PlainUpConv


def norm(x, m):
    return F.relu(F.group_norm(x, m.groups, m.weight, m.bias))


def conv(x, m, **how):
    return F.conv3d(x, m.weight, m.bias, **({"padding": 1} | how))


def up(x):
    return F.interpolate(x, scale_factor=2)


def common(g, z):
    c = g.common
    x = F.linear(z, c.dense.weight, c.dense.bias).view(len(z), -1, *c.base)
    for b in c.blocks:
        x = norm(conv(up(x) if isinstance(b.conv, PlainUpConv) else x, b.conv), b.norm)
    return x


def high(g, features):
    h = g.high
    x = norm(conv(up(features), h.hidden), h.norm)
    return torch.tanh(conv(up(x), h.head))


def low(g, x):
    for b in g.low.blocks:
        x = norm(conv(x, b.conv), b.norm)
    return torch.tanh(conv(x, g.low.head))


def generator(g, z, start, planes):
    features = common(g, z)
    return high(g, features[:, :, start // 4 : start // 4 + planes // 4]), low(g, features)


def whole(g, z):
    return high(g, common(g, z))


def discriminator(d, image, small, position):
    x = image
    for layer in d.high.tower.convs:
        x = F.leaky_relu(layer(x), 0.2)
    x = F.leaky_relu(d.high.tower.head(x), 0.2).flatten(1)
    x = torch.cat([x, torch.full((len(x), 1), position)], 1)
    x = d.high.score(F.leaky_relu(d.high.dense(x), 0.2))
    y = small
    for layer in d.low.convs:
        y = F.leaky_relu(layer(y), 0.2)
    y = d.low.head(y).flatten(1)
    return (x + y)[:, 0] / 2


def high_encoder(e, x):
    for b, stride in zip(e.blocks, (2, 1, 2), strict=True):
        x = norm(conv(x, b.conv, stride=stride), b.norm)
    return x


def ground_encoder(e, x):
    for b in e.blocks:
        x = norm(conv(x, b.conv, stride=2), b.norm)
    return F.linear(x.flatten(1), e.head.weight, e.head.bias)


def optimizers(players):
    rates = {"generator": 1e-4, "discriminator": 4e-4, "high_encoder": 1e-4, "ground_encoder": 1e-4}
    return {r: torch.optim.Adam(players[r].parameters(), lr=lr, betas=(0.0, 0.999)) for r, lr in rates.items()}


def step(players, adams, volume, noise, start, planes):
    """Run the four phases of one iteration (discriminator, generator, high and ground encoder); returns four losses."""
    g, d, e, s = (players[r] for r in ("generator", "discriminator", "high_encoder", "ground_encoder"))
    real = volume[:, :, start : start + planes]
    small = F.interpolate(volume, scale_factor=0.25)
    position = start / (volume.shape[2] - planes)
    ones, zeros = torch.ones(len(volume)), torch.zeros(len(volume))
    bce = F.binary_cross_entropy_with_logits

    freeze(players, "discriminator")
    with torch.no_grad():
        fake, fake_small = generator(g, noise[0], start, planes)
    loss_d = bce(discriminator(d, real, small, position), ones)
    loss_d = loss_d + bce(discriminator(d, fake, fake_small, position), zeros)
    learn(adams["discriminator"], loss_d)

    freeze(players, "generator")
    fake, fake_small = generator(g, noise[1], start, planes)
    loss_g = bce(discriminator(d, fake, fake_small, position), ones)
    learn(adams["generator"], loss_g)

    freeze(players, "high_encoder")
    loss_e = F.l1_loss(high(g, high_encoder(e, real)), real)
    learn(adams["high_encoder"], loss_e)

    freeze(players, "ground_encoder")
    with torch.no_grad():
        features = torch.cat([high_encoder(e, part) for part in volume.split(planes, 2)], 2)
    again, again_small = generator(g, ground_encoder(s, features), start, planes)
    loss_s = (F.l1_loss(again, real) + F.l1_loss(again_small, small)) / 2
    learn(adams["ground_encoder"], loss_s)
    return tuple(loss.item() for loss in (loss_d, loss_g, loss_e, loss_s))


def freeze(players, learner):
    for role, player in players.items():
        player.requires_grad_(role == learner)


def learn(adam, loss):
    adam.zero_grad()
    loss.backward()
    adam.step()
