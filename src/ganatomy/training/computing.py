"""Compute settings of a run: precision, memory layout, recomputation, compilation. They are not part of the recipe."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

import torch
from pydantic import Field
from torch import nn
from torch.utils.checkpoint import checkpoint

from ganatomy.config import Config
from ganatomy.machine import progress
from ganatomy.machine.bfloat16 import measure_bfloat16_gain
from ganatomy.machine.choices import Precision, UpSampling
from ganatomy.machine.device import deterministic_algorithms, float32_flags, keep_freed_memory, searched_kernels
from ganatomy.nn.enlarging import EnlargingConvolution, Way
from ganatomy.nn.layout import CHANNELS_LAST, set_memory_layout
from ganatomy.nn.precision import PRECISIONS, check_precision, refuse_precision
from ganatomy.objectives.phase import Networks
from ganatomy.steps.modules import GeneratorModule

LEAST_BFLOAT16_GAIN = 1.1  # speed relative to float32; a smaller gain does not justify the loss of precision


class ComputeSettings(Config):
    """Compute settings of a run; `docs/performance.md` has measurements of each.

    Args:
        precision: precision of the networks; weights, optimiser and losses are always in float32. ``tf32`` is float32
            whose products and convolutions an NVIDIA GPU rounds to 10 bits; in float16, losses are scaled up for the
            backward pass.
        channels_last: store the channels of a voxel together in memory.
        recompute: discard the activations inside a generator's blocks and compute them again for the backward pass.
            This takes less memory and more time, and gives the same gradients.
        compiled: let torch compile the parts of the generator.
        micro_batches: number of pieces in which a batch is computed, one after another. More pieces take less memory;
            the result is the same up to rounding.
        hold_memory: keep freed memory within the process (`device.keep_freed_memory`). This is faster on a CPU and has
            a higher peak.
        deterministic: compute the same bits every time on a GPU too. This is slower, and an operation without a
            deterministic form raises an error.
        upsampling: how layers that enlarge by two are computed (`nn.enlarging`). ``usual`` = each layer in the way that
            was fastest on a CPU; the name of a way = all layers in that way; ``auto`` = each layer in the way that is
            fastest on this device, timed at the start.
        upsampling_by_layer: the ways that ``auto`` has chosen, by the name of the layer; empty = not chosen yet.
        search_kernels: let cuDNN try its algorithms at every new shape. This makes later steps faster and takes more
            memory; it cannot be combined with `deterministic`.
    """

    precision: Precision = "float32"
    channels_last: bool = False
    recompute: bool = False
    compiled: bool = False
    micro_batches: int = Field(1, ge=1)
    hold_memory: bool = False
    deterministic: bool = False
    upsampling: UpSampling = "usual"
    upsampling_by_layer: tuple[tuple[str, Way], ...] = ()
    search_kernels: bool = False

    @property
    def dtype(self) -> torch.dtype:
        return PRECISIONS[self.precision]

    def get_layout(self, ndim: int) -> torch.memory_format:
        return CHANNELS_LAST[ndim] if self.channels_last else torch.contiguous_format

    def check(self, ndim: int, device: torch.device) -> None:
        """Check that images of `ndim` axes can be computed in these settings on a device.

        Raises:
            Refused: this version of cuDNN computes half precision 3D convolutions wrongly, or there is no TF32.
        """
        check_precision(self.precision, ndim, device)

    def keep_memory_settings(self) -> "ComputeSettings":
        """Return these settings with defaults for those that hardly change how much memory tensors need."""
        neutral = ("channels_last", "compiled", "hold_memory", "deterministic", "search_kernels")
        return self.replace(**dict.fromkeys(neutral, False), upsampling="usual", upsampling_by_layer=())

    @contextmanager
    def flags(self, device: torch.device) -> Iterator[None]:
        """Set torch's process-wide flags for these settings within the block, and restore them at the end."""
        order = deterministic_algorithms() if self.deterministic else searched_kernels(self.search_kernels)
        with float32_flags(device, self.precision == "tf32"), order:
            yield

    def apply_to(self, networks: Networks, ndim: int) -> None:
        """Lay out, wrap and compile the networks in place. The names and values of the weights stay the same."""
        if self.hold_memory:
            keep_freed_memory()
        if self.channels_last:
            set_memory_layout(networks, self.get_layout(ndim))
        ways = dict(self.upsampling_by_layer)
        for name, module in networks.named_modules():
            if not isinstance(module, EnlargingConvolution) or self.upsampling == "usual":
                continue
            module.way = ways.get(name, module.way) if self.upsampling == "auto" else self.upsampling
        for part in cast(GeneratorModule, networks["generator"]).list_blocks():
            if self.recompute:
                part.forward = _recompute_forward(part)
            if self.compiled:
                part.compile()


def override_settings(base: ComputeSettings, **overrides: Any) -> ComputeSettings:
    """Return `base` with the settings that are given by name; None = keep the setting of `base`.

    Raises:
        Refused: the precision is unknown.
    """
    wanted = overrides.get("precision")
    if wanted not in (None, *PRECISIONS):
        raise refuse_precision(str(wanted))
    return base.replace(**({name: value for name, value in overrides.items() if value is not None}))


def get_default_settings(ndim: int, device: torch.device) -> ComputeSettings:
    """Return the fastest settings that are safe on a device, as measured (docs/performance.md, docs/diary.md).

    A CPU with bfloat16 instructions trains volumes in bfloat16 if this is measured to be faster on it
    (`measure_bfloat16_gain`), and images of two axes in float32, because of their gradient penalty. A GPU uses TF32,
    with channels-last for images of two axes; PyTorch's group normalisation of volumes does not keep that layout on a
    GPU (PyTorch issue 59168). The settings for a GPU have not been measured yet. On a GPU, the ways of up-sampling are
    timed at the start of a run; on a CPU they are fixed, so that a training always computes the same bits.
    """
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)  # not part of torch's public interface
    if ndim == 3 and device.type == "cpu" and native() and _is_bfloat16_faster(torch.get_num_threads()):
        return ComputeSettings(precision="bfloat16", hold_memory=True)
    precision: Precision = "tf32" if device.type == "cuda" else "float32"
    return ComputeSettings(
        precision=precision,
        channels_last=ndim == 2,
        hold_memory=device.type == "cpu",
        upsampling="auto" if device.type == "cuda" else "usual",
    )


@lru_cache
def _is_bfloat16_faster(threads: int) -> bool:
    """Return whether bfloat16 is sufficiently faster for volumes with this number of threads; tell the user once."""
    gain = measure_bfloat16_gain()
    faster = gain >= LEAST_BFLOAT16_GAIN
    progress.say(
        f"In bfloat16, this CPU computes volumes {gain:.2f} times as fast as in float32, as just measured;"
        f" {'bfloat16' if faster else 'float32'} is the default on it."
    )
    return faster


def _recompute_forward(block: nn.Module):  # type: ignore[no-untyped-def]
    forward = block.forward

    def again(*inputs):  # type: ignore[no-untyped-def]
        if not torch.is_grad_enabled():
            return forward(*inputs)
        return checkpoint(forward, *inputs, use_reentrant=False)

    return again
