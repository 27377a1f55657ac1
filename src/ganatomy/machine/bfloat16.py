"""Whether this processor computes volumes faster in bfloat16, found out by computing some.

A processor may know bfloat16 and be slower in it: without matrix units for it (AMX) the conversions may cost more than
the products save. Instruction sets do not tell it, so it is measured.
"""

import time
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

ROUNDS = 5  # of both precisions in turn; the fastest counts, which other work on the machine disturbs least
LAYERS = ((64, 16), (32, 32))  # channels and voxels an axis: the middle of `hagan` at 64 cubed
GROUPS = 4  # of the group normalisation

Layer = tuple[Tensor, Tensor, Tensor]  # features, the kernel that enlarges them, the kernel that shrinks them again


def measure_bfloat16_gain() -> float:
    """Time in float32 over time in bfloat16, of enlarging, normalising and shrinking volumes, forward and backward.

    It takes about a second, once a process and number of threads. It is processor time, so that other work on the
    machine counts less.
    """
    return _measure_gain(torch.get_num_threads())


@lru_cache
def _measure_gain(threads: int) -> float:
    generator = torch.Generator().manual_seed(0)  # not torch's own, whose state belongs to the training
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
