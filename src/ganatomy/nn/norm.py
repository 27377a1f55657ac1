"""Pixel norm and minibatch standard deviation (Karras 2018, sections 4.2 and 3)."""

import torch
from torch import Tensor

from ganatomy.nn.across import gather_batch, select_own_rows

EPSILON = 1e-8  # both, in the official code


def normalise_pixels(x: Tensor) -> Tensor:
    """Each pixel's feature vector to unit mean square: x / sqrt(mean_c(x^2) + eps); any shape (batch, channel, ...).

    The mean is taken in float32 whatever the precision of x.
    """
    return x * (x.float().square().mean(1, keepdim=True) + EPSILON).rsqrt().to(x.dtype)


def find_group_size(batch_size: int, max_size: int) -> int:
    """Images of a group: the largest divisor of the batch up to `group`."""
    return next(g for g in range(min(max_size, batch_size), 0, -1) if batch_size % g == 0)


def append_minibatch_deviation(x: Tensor, group: int = 4) -> Tensor:
    """x (batch, channel, *space) with one more channel: how much the images of a group differ.

    The standard deviation over a group of images, for each feature and place, averaged to one number a group. The
    group is the largest divisor of the batch up to `group`; neighbours in the batch do not share one (official code:
    image i belongs to group i modulo the number of groups). The batch is that of all processes.
    """
    everyone = gather_batch(x.float())
    n = len(everyone)
    size = find_group_size(n, group)
    groups = everyone.reshape(size, n // size, *x.shape[1:])
    deviation = (groups.var(0, unbiased=False) + EPSILON).sqrt().flatten(1).mean(1)
    mine = select_own_rows(deviation.to(x.dtype).repeat(size))
    channel = mine.view(-1, 1, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])
    return torch.cat((x, channel), 1)
