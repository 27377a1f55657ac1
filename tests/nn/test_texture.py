"""Noise of the code: white, of variance one, repeated by its tile, and in planes as in whole."""

import pytest
import torch

from ganatomy.nn.texture import TILE, CodeTexture


@pytest.mark.parametrize("shape", [(80, 64), (130, 40), (40, 16, 48)])
def test_planes_are_those_of_the_whole_and_the_tile_repeats(shape):
    torch.manual_seed(0)
    texture, u = CodeTexture(16, shape), torch.randn(3, 16)
    whole = texture(u)
    assert whole.shape == (3, 1, *shape)
    assert torch.equal(texture(u, 5, 30), whole[:, :, 5:35])
    period = TILE[len(shape)]
    assert torch.equal(whole[:, :, period:], whole[:, :, : shape[0] - period])


def test_it_has_variance_one_no_mean_and_no_neighbours():
    torch.manual_seed(0)
    noise = CodeTexture(64, (64, 64))(torch.randn(50, 64))
    assert noise.std().item() == pytest.approx(1, abs=0.05)
    assert noise.mean().abs() < 0.01
    assert (noise[..., 1:] * noise[..., :-1]).mean().abs() < 0.02
    images = noise.flatten(1)
    assert torch.corrcoef(images)[0, 1:].abs().max() < 0.6  # codes differ, and so do their textures
