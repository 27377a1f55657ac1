"""Several processes: how many there are, and gradients averaged by hand.

No wrapper stands around a network, so penalties with a double backward, networks of which only a part ran, and several
backward passes a step all just work (DistributedDataParallel is silently wrong for some of them).
"""

from collections.abc import Iterable

import torch
from torch import distributed, nn


def world_size() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over processes, in one flat reduction; parameters without one are skipped.

    Which parameters have a gradient is a function of the scope, and the scope is the same on all processes.
    """
    if world_size() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    distributed.all_reduce(flat)
    flat /= world_size()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))
