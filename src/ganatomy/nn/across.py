"""Statistics over the images of a batch that is divided among several processes.

The statistics are taken over the whole batch, whatever the number of processes, and can be differentiated repeatedly.
With one process, the functions of this file return their argument.

    process r of w has the images r, r + w, r + 2 w, ... of the batch; all processes have equally many
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function


def get_world_size() -> int:
    """Return w, the number of processes; it is 1 without torch.distributed."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def get_rank() -> int:
    """Return r, the number of this process, counted from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


class _Sum(Function):
    """y = Σ_r x_r. The loss of every process depends on every x_r, so the gradient is a sum over processes as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Sum.apply(gradients[0])


def sum_over_processes(x: Tensor) -> Tensor:
    """Return Σ_r x_r over processes r. x has the same shape in all of them, and any order of derivative exists."""
    return x if get_world_size() == 1 else _Sum.apply(x)


def average_over_processes(x: Tensor) -> Tensor:
    """Return (1/w) Σ_r x_r, the mean over the w processes."""
    return sum_over_processes(x) / get_world_size()


def gather_batch(x: Tensor) -> Tensor:
    """Gather the shares x (share of the batch, ...) of all processes into (batch, ...), in the order of the batch."""
    w = get_world_size()
    if w == 1:
        return x
    places = torch.arange(get_rank(), len(x) * w, w, device=x.device)
    return sum_over_processes(x.new_zeros(len(x) * w, *x.shape[1:]).index_copy(0, places, x))


def select_own_rows(x: Tensor) -> Tensor:
    """Select the rows of x (batch, ...) that belong to this process: the inverse of `gather_batch`."""
    return x if get_world_size() == 1 else x[get_rank() :: get_world_size()]


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """y = γ (x - μ) / √(σ² + ε) + β, μ and σ² over the batch of all processes   (Ioffe 2015, algorithm 1).

    It takes 2D and 3D images and, with one process, equals PyTorch's batch normalisation. PyTorch's SyncBatchNorm
    computes the same function but requires GPUs.
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
    """Reshape one number per channel so that it multiplies x (batch, channel, *space)."""
    return channels.view(1, -1, *[1] * (x.ndim - 2))
