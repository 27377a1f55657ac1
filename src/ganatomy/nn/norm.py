"""Pixel normalisation (Karras 2018, section 4.2) and minibatch standard deviation (Karras 2018, section 3)."""

import torch
from torch import Tensor

from ganatomy.nn.across import gather_batch, select_own_rows

EPSILON = 1e-8  # of both functions, in the official code


def normalise_pixels(x: Tensor) -> Tensor:
    """PN(x) = x / √(mean_c(x²) + ε), at each pixel over its channels c   (Karras 2018, section 4.2).

    x has any shape (batch, channel, ...). The mean is taken in float32 whatever the precision of x.
    """
    return x * (x.float().square().mean(1, keepdim=True) + EPSILON).rsqrt().to(x.dtype)


def find_group_size(batch_size: int, max_size: int) -> int:
    """Find the number of images of a group: the largest divisor of the batch size that is at most `max_size`."""
    return next(g for g in range(min(max_size, batch_size), 0, -1) if batch_size % g == 0)


def append_minibatch_deviation(x: Tensor, group: int = 4) -> Tensor:
    """x and one more channel s = mean over features and places of √(var_group(x) + ε)   (Karras 2018, section 3).

    x is (batch, channel, *space). The size of a group is the largest divisor of the batch size that is at most `group`.
    Image i belongs to group i modulo the number of groups, as in the official code. The batch is that of all processes.
    """
    everyone = gather_batch(x.float())
    n = len(everyone)
    size = find_group_size(n, group)
    groups = everyone.reshape(size, n // size, *x.shape[1:])
    deviation = (groups.var(0, unbiased=False) + EPSILON).sqrt().flatten(1).mean(1)
    mine = select_own_rows(deviation.to(x.dtype).repeat(size))
    channel = mine.view(-1, 1, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])
    return torch.cat((x, channel), 1)
