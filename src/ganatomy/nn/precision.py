"""Operations that keep the precision of what they are given, on every device.

Autocast has a list for each device of the operations that it computes in float32, and the lists differ: on a GPU the
normalisations and enlarging are among them, on a processor the mean over cells of a volume. What is named here works in
the precision of its input instead, so that a network has the same tensors wherever it runs. The kernels add up in
float32 whatever they are given.
"""

from typing import Any

import torch
from torch import Tensor, nn
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


# ----------------------------------------------------------------------------------------------------------------------
# Layers of PyTorch inside the networks of another library.


class GroupNorm(nn.GroupNorm):
    """PyTorch's, in the precision of its input."""

    def forward(self, input: Tensor) -> Tensor:
        return normalise_groups(input, self.num_groups, self.weight, self.bias, self.eps)


class _LayerNorm(nn.LayerNorm):
    def forward(self, input: Tensor) -> Tensor:
        return normalise_last_axis(input, tuple(self.normalized_shape), self.weight, self.bias, self.eps)


class _Upsample(nn.Upsample):
    def forward(self, input: Tensor) -> Tensor:
        with disable_autocast(input):
            return super().forward(input)


_KEEPING: dict[type[nn.Module], type[nn.Module]] = {
    nn.GroupNorm: GroupNorm,
    nn.LayerNorm: _LayerNorm,
    nn.Upsample: _Upsample,
}


def keep_input_precision(network: Any) -> Any:
    """The same network; its normalisations and enlarging keep the precision of their input from now on.

    Names and values of its weights stay as they are.
    """
    for module in network.modules():
        for general, keeping in _KEEPING.items():
            if type(module) is general:
                module.__class__ = keeping
    return network
