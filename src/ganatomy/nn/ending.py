"""The last function of a generator, which brings each channel into its range."""

from collections.abc import Callable

import torch
from torch import Tensor

from ganatomy.channels import Channels, place_arrays


def end_channels(x: Tensor, kinds: Channels, bound: Callable[[Tensor], Tensor]) -> Tensor:
    """y = bound(x) of an image; y = 2 softmax(x) - 1 over the classes of a label map   (this project).

    Args:
        x: the arrays of all channels as a generator computes them (batch, arrays, *space).
        kinds: what the channels hold.
        bound: the function with which the generator ends for images, such as tanh.

    Returns:
        All arrays (batch, arrays, *space). The shares of the classes of a voxel are in [-1, 1] and stand for shares in
        [0, 1] that add up to one, as in a store.
    """
    if not any(kind.sums_to_one for kind in kinds):
        return bound(x)
    parts = (
        2 * x[:, place].float().softmax(1) - 1 if kind.sums_to_one else bound(x[:, place])
        for kind, place in place_arrays(kinds)
    )
    return torch.cat([part.float() for part in parts], 1)


def leave_unbounded(x: Tensor) -> Tensor:
    """y = x: the end of a generator whose images are not kept within their range (Karras 2018)."""
    return x
