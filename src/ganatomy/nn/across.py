"""Statistics over the images of a batch when several processes have a share of them each.

A batch of a run is one batch, however many processes there are: statistics over its images are taken over all of them
and can be differentiated, twice if need be. With one process the functions here return what they are given.

    process r of w has the images r, r + w, r + 2 w, ... of the batch; all processes have equally many
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function


def get_world_size() -> int:
    """w: the number of processes, 1 without torch.distributed."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def get_rank() -> int:
    """r: the number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


class _Sum(Function):
    """y = Σ_r x_r. Every process's loss depends on every x_r, so the gradient is a sum over processes as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Sum.apply(gradients[0])


def sum_over_processes(x: Tensor) -> Tensor:
    """Σ_r x_r over processes r, of the same shape in all of them; differentiable any number of times."""
    return x if get_world_size() == 1 else _Sum.apply(x)


def average_over_processes(x: Tensor) -> Tensor:
    """(1/w) Σ_r x_r over the w processes."""
    return sum_over_processes(x) / get_world_size()


def gather_batch(x: Tensor) -> Tensor:
    """x (share of the batch, ...) of all processes as (batch, ...), in the order of the batch."""
    w = get_world_size()
    if w == 1:
        return x
    places = torch.arange(get_rank(), len(x) * w, w, device=x.device)
    return sum_over_processes(x.new_zeros(len(x) * w, *x.shape[1:]).index_copy(0, places, x))


def select_own_rows(x: Tensor) -> Tensor:
    """The rows of x (batch, ...) that belong to this process: the inverse of `gather_batch`."""
    return x if get_world_size() == 1 else x[get_rank() :: get_world_size()]


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """y = γ (x - μ) / √(σ² + ε) + β, μ and σ² over the batch of all processes   (Ioffe 2015, algorithm 1).

    In 2D and 3D; with one process it is PyTorch's own. PyTorch's SyncBatchNorm does the same on GPUs alone.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        assert input.ndim in (4, 5)

    def forward(self, input: Tensor) -> Tensor:
        if get_world_size() == 1 or not self.training:
            out: Tensor = super().forward(input)
            return out
        assert self.momentum is not None
        x = input.float()
        over = [0, *range(2, x.ndim)]
        count = x.numel() // x.shape[1] * get_world_size()
        mean = sum_over_processes(x.sum(over)) / count
        centred = x - _broadcast_channels(mean, x)
        variance = sum_over_processes(centred.square().sum(over)) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        y = centred * _broadcast_channels((variance + self.eps).rsqrt(), x)
        if self.affine:
            y = y * _broadcast_channels(self.weight, x) + _broadcast_channels(self.bias, x)
        return y.to(input.dtype)


def _broadcast_channels(channels: Tensor, x: Tensor) -> Tensor:
    """One number for each channel, in a shape that multiplies x (batch, channel, *space)."""
    return channels.view(1, -1, *[1] * (x.ndim - 2))
