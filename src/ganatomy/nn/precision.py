"""Operations that keep the precision of what they are given, on every device.

Autocast has a list for each device of the operations that it computes in float32, and the lists differ: on a GPU the
normalisations and enlarging are among them, on a processor the mean over cells of a volume. What is named here works in
the precision of its input instead, so that a network has the same tensors wherever it runs. The kernels add up in
float32 whatever they are given.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

AUTOCAST_DEVICES = ("cpu", "cuda")  # meta tensors, which only measure, have none


def disable_autocast(x: Tensor) -> torch.autocast:
    """A context in which operations on x and what lies beside it keep the precision of their input."""
    return torch.autocast(x.device.type if x.device.type in AUTOCAST_DEVICES else "cpu", enabled=False)


def normalise_groups(x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, epsilon: float) -> Tensor:
    """Group normalisation (Wu 2018) of x (batch, channel, *space) in the precision of x."""
    with disable_autocast(x):
        return F.group_norm(x, groups, _cast(weight, x), _cast(bias, x), epsilon)


def normalise_last_axis(
    x: Tensor, shape: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, epsilon: float
) -> Tensor:
    """Layer normalisation (Ba 2016) over the last axes of x, which have this shape, in the precision of x."""
    with disable_autocast(x):
        return F.layer_norm(x, shape, _cast(weight, x), _cast(bias, x), epsilon)


def _cast(parameter: Tensor | None, x: Tensor) -> Tensor | None:
    return None if parameter is None else parameter.to(x.dtype)
