"""A measurement of whether this CPU computes volumes faster in bfloat16 than in float32.

A CPU may support bfloat16 and still be slower in it: without matrix units for bfloat16 (AMX), the conversions may take
more time than the products save. The instruction set does not show this, so it is measured.
"""

import time
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

ROUNDS = 5  # rounds of both precisions in turn; the fastest counts, which other work on the machine disturbs least
LAYERS = ((64, 16), (32, 32))  # channels and voxels per axis, as in the middle layers of `hagan` at 64 cubed
GROUPS = 4  # groups of the group normalisation

Layer = tuple[Tensor, Tensor, Tensor]  # features, the kernel that enlarges them, the kernel that shrinks them again


def measure_bfloat16_gain() -> float:
    """Measure the time in float32 divided by that in bfloat16, of enlarging, normalising and shrinking volumes.

    Both passes are measured, forward and backward. This takes about a second and is done once per process and number
    of threads. CPU time is measured, so that other work on the machine has less effect.
    """
    return _measure_gain(torch.get_num_threads())


@lru_cache
def _measure_gain(threads: int) -> float:
    generator = torch.Generator().manual_seed(0)  # the state of torch's own generator belongs to the training
    layers = [_make_layer(channels, size, generator) for channels, size in LAYERS]
    times: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    for _ in range(1 + ROUNDS):
        for dtype, found in times.items():
            start = time.process_time()
            for layer in layers:
                _compute_once(layer, dtype)
            found.append(time.process_time() - start)
    fastest = {dtype: min(found[1:]) for dtype, found in times.items()}  # the first round prepares the kernels
    return fastest[torch.float32] / fastest[torch.bfloat16]


def _make_layer(channels: int, size: int, generator: torch.Generator) -> Layer:
    shapes = ((1, channels, *[size] * 3), *[(channels, channels // 2, 4, 4, 4)] * 2)
    features, *kernels = (torch.randn(shape, generator=generator) for shape in shapes)
    features = features.contiguous(memory_format=torch.channels_last_3d)
    return features.requires_grad_(True), kernels[0].requires_grad_(True), kernels[1].requires_grad_(True)


def _compute_once(layer: Layer, dtype: torch.dtype) -> None:
    features, enlarging, shrinking = layer
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        y = F.conv_transpose3d(features, enlarging, stride=2, padding=1)
        with torch.autocast("cpu", enabled=False):
            y = torch.relu(F.group_norm(y, GROUPS))
        y = F.conv3d(y, shrinking, stride=2, padding=1)
    torch.autograd.grad(y.float().sum(), layer)
