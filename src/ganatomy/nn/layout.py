"""The memory layout of images and weights: channels first or channels last."""

from itertools import chain

import torch
from torch import nn

CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}  # by the number of spatial axes
_RANKS = {layout: ndim + 2 for ndim, layout in CHANNELS_LAST.items()}  # batch, channel and space


def set_memory_layout(network: nn.Module, layout: torch.memory_format) -> None:
    """Set the memory layout of the weights and buffers of a network in place; their values do not change.

    Args:
        network: the network.
        layout: a channels-last layout applies to the weights of convolutions, (out, in, *kernel). A tensor with another
            number of axes, such as the learnt constant of a generator (channel, *space), keeps its layout.
    """
    rank = _RANKS.get(layout)
    for tensor in chain(network.parameters(), network.buffers()):
        if rank is None or tensor.ndim == rank:
            tensor.data = tensor.data.contiguous(memory_format=layout)
