"""Operations that keep the precision of their input on every device.

For each device, autocast has a list of operations that it computes in float32, and the lists differ: that of GPUs
contains normalisations and upsampling, that of CPUs the average pooling of volumes. The operations of this file work in
the precision of their input instead, so that the tensors of a network have the same types on every device. Their
kernels accumulate in float32 in any case.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

AUTOCAST_DEVICES = ("cpu", "cuda")  # there is no autocast for meta tensors, which serve to estimate memory


def disable_autocast(x: Tensor) -> torch.autocast:
    """Return a context in which operations on the device of x keep the precision of their input."""
    return torch.autocast(x.device.type if x.device.type in AUTOCAST_DEVICES else "cpu", enabled=False)


def normalise_groups(x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, epsilon: float) -> Tensor:
    """Apply group normalisation (Wu 2018) to x (batch, channel, *space) in the precision of x."""
    with disable_autocast(x):
        return F.group_norm(x, groups, _cast(weight, x), _cast(bias, x), epsilon)


def normalise_last_axis(
    x: Tensor, shape: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, epsilon: float
) -> Tensor:
    """Apply layer normalisation (Ba 2016) over the last axes of x, which have this shape, in the precision of x."""
    with disable_autocast(x):
        return F.layer_norm(x, shape, _cast(weight, x), _cast(bias, x), epsilon)


def _cast(parameter: Tensor | None, x: Tensor) -> Tensor | None:
    return None if parameter is None else parameter.to(x.dtype)
