"""How the numbers of images and weights lie in memory."""

from itertools import chain

import torch
from torch import nn

CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}  # by the number of spatial axes
_RANKS = {layout: ndim + 2 for ndim, layout in CHANNELS_LAST.items()}  # batch, channel and space


def set_memory_layout(network: nn.Module, layout: torch.memory_format) -> None:
    """Lay out the weights and buffers of a network in place.

    Args:
        network: its values do not change.
        layout: a channels-last layout is for the weights of convolutions, (out, in, *kernel); a tensor with another
            number of axes, such as the learnt start of a generator (channel, *space), stays as it is.
    """
    rank = _RANKS.get(layout)
    for tensor in chain(network.parameters(), network.buffers()):
        if rank is None or tensor.ndim == rank:
            tensor.data = tensor.data.contiguous(memory_format=layout)
