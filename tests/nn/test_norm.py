"""Pixel norm and minibatch deviation against their definitions, written out."""

import pytest
import torch

from ganatomy.nn.norm import append_minibatch_deviation, normalise_pixels


def test_pixel_norm_gives_unit_mean_square():
    y = normalise_pixels(torch.randn(3, 16, 4, 5) * 7)
    torch.testing.assert_close(y.square().mean(1), torch.ones(3, 4, 5))


@pytest.mark.parametrize(("batch", "group"), [(8, 4), (6, 4), (3, 4), (1, 4)])
def test_minibatch_deviation_by_hand(batch, group):
    x = torch.randn(batch, 5, 4, 3)
    y = append_minibatch_deviation(x, group)
    assert y.shape == (batch, 6, 4, 3)
    assert torch.equal(y[:, :5], x)
    size = next(g for g in (4, 3, 2, 1) if g <= group and batch % g == 0)
    groups = batch // size
    for i in range(batch):
        members = [j for j in range(batch) if j % groups == i % groups]
        together = torch.stack([x[j] for j in members])
        expected = (together.var(0, unbiased=False) + 1e-8).sqrt().mean()
        torch.testing.assert_close(y[i, 5], expected.expand(4, 3))


def test_minibatch_deviation_is_zero_for_equal_images():
    x = torch.randn(1, 5, 4, 3).expand(4, -1, -1, -1)
    assert append_minibatch_deviation(x)[:, 5].max() < 2e-4
