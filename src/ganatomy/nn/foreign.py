"""Replacement of PyTorch layers inside networks of other libraries by layers that keep the precision of their input."""

from typing import Any

from torch import Tensor, nn

from ganatomy.nn.convolution import Conv3d
from ganatomy.nn.precision import disable_autocast, normalise_groups, normalise_last_axis


class GroupNorm(nn.GroupNorm):
    """PyTorch's group normalisation, computed in the precision of its input."""

    def forward(self, input: Tensor) -> Tensor:
        return normalise_groups(input, self.num_groups, self.weight, self.bias, self.eps)


class _LayerNorm(nn.LayerNorm):
    def forward(self, input: Tensor) -> Tensor:
        return normalise_last_axis(input, tuple(self.normalized_shape), self.weight, self.bias, self.eps)


class _Upsample(nn.Upsample):
    def forward(self, input: Tensor) -> Tensor:
        with disable_autocast(input):
            return super().forward(input)


_OURS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv3d: Conv3d,
    nn.GroupNorm: GroupNorm,
    nn.LayerNorm: _LayerNorm,
    nn.Upsample: _Upsample,
}


def adopt_layers(network: Any) -> Any:
    """Replace layers of a network in place and return it; names and values of its weights do not change.

    The normalisations and upsampling layers then keep the precision of their input, and the 3D convolutions avoid a
    wrong weight gradient (`convolution.is_weight_gradient_wrong`).
    """
    for module in network.modules():
        for theirs, ours in _OURS.items():
            if type(module) is theirs:
                module.__class__ = ours
    return network
