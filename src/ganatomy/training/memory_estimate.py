"""Estimates of the memory that a recipe needs, before anything is allocated, and of settings that need less.

    libraries    the process with its libraries; on a GPU, the driver's context
    weights      weights of all networks, and the moving average of the generator
    optimiser    Adam's two moments of every weight
    transient    images, activations and gradients at the peak of a step (`memory_trace`)
    workspace    temporary memory of kernels, and memory that the allocator cannot reuse

The first and the last part cannot be computed from the recipe; they were fitted to peaks that were measured on a CPU
(`benchmarks/memory_plan.py`). For a GPU, they are estimates that have not been measured yet.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from typing import NamedTuple

import torch

from ganatomy.machine.device import CUDA_CONTEXT_BYTES
from ganatomy.recipes.recipe import Recipe
from ganatomy.steps.strategies import TrainingStep
from ganatomy.training import memory_trace
from ganatomy.training.computing import ComputeSettings
from ganatomy.training.memory_trace import PeakMemory

MIB, GIB = 2**20, 2**30
MAX_BATCH_SIZE = 512  # images per step; larger batches are not searched, because each estimate takes long
HOPELESS = 1.5  # predictions of other sizes are within this factor of the estimate
MICRO_BATCHES = (2, 4, 8, 16, 32)
SHAPE_FACTORS = (0.125, 0.25, 0.5, 1, 2, 4)  # of every axis of a recipe's shape, in the search for the largest size
STAGE_MARGIN = 1.5  # factor on the memory of a coarser stage, below which it is not estimated
BYTES_PER_VOXEL = 20_000  # upper bound of the memory that any recipe needs per voxel of a batch


class DeviceOverhead(NamedTuple):
    """Memory of a device besides tensors: the libraries in bytes, and the workspace as shares and bytes."""

    libraries: int
    transient_share: float
    weight_share: float
    minimum: int


DEVICE_OVERHEADS = {
    ("cpu", False): DeviceOverhead(400 * MIB, 0.06, 0.19, 9 * MIB),
    ("cpu", True): DeviceOverhead(400 * MIB, 0.31, 0.18, 22 * MIB),  # with `device.keep_freed_memory`
    ("cuda", False): DeviceOverhead(CUDA_CONTEXT_BYTES, 0.15, 0.0, 100 * MIB),
}


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of memory by part."""

    libraries: int
    weights: int
    optimiser: int
    transient: int
    workspace: int

    @property
    def total(self) -> int:
        return self.libraries + self.weights + self.optimiser + self.transient + self.workspace

    def break_down(self) -> dict[str, int]:
        """Return the parts by the names that are shown to the user."""
        return {
            "libraries": self.libraries,
            "weights and their average": self.weights,
            "optimiser": self.optimiser,
            "activations and gradients": self.transient,
            "workspace": self.workspace,
        }


def _make_estimate(peak_memory: PeakMemory, recipe: Recipe, device: torch.device, hold_memory: bool) -> MemoryEstimate:
    takes = DEVICE_OVERHEADS[device.type, hold_memory and device.type == "cpu"]
    libraries = {name: size for config in recipe.networks.values() for name, size in config.libraries.items()}
    workspace = (
        takes.minimum
        + takes.transient_share * peak_memory.transient
        + takes.weight_share * (peak_memory.weights + peak_memory.optimiser)
    )
    return MemoryEstimate(
        takes.libraries + sum(libraries.values()),
        peak_memory.weights,
        peak_memory.optimiser,
        peak_memory.transient,
        round(workspace),
    )


@lru_cache(maxsize=256)
def _trace_training(
    recipe_json: str, stage_index: int, batch_size: int, settings: ComputeSettings, processes: int, device: str
) -> PeakMemory:
    read = Recipe.model_validate_json(recipe_json)
    step = list_stage_steps(read)[stage_index]
    step = TrainingStep(step.scope, batch_size, step.optimizer_epoch, step.stage)
    return memory_trace.trace_training(read, step, settings, processes, device)


def list_stage_steps(recipe: Recipe) -> list[TrainingStep]:
    """List one step for each stage of the timetable, the one that needs most memory: while a level fades in."""
    found: dict[str, TrainingStep] = {}
    for _, step in recipe.make_timetable():
        found.setdefault(step.stage, step)
    return list(found.values())


def estimate_training(
    recipe: Recipe,
    settings: ComputeSettings,
    device: torch.device,
    processes: int = 1,
    stage_index: int = -1,
    batch_size: int | None = None,
) -> MemoryEstimate:
    """Estimate the memory that a training step needs in each process.

    Args:
        recipe: the recipe that is trained.
        settings: the compute settings.
        device: the device.
        processes: number of processes that share a batch.
        stage_index: the stage of the timetable, an index into `list_stage_steps`; the last by default.
        batch_size: the global batch size; None = that of the recipe.
    """
    steps = list_stage_steps(recipe)
    place, images = range(len(steps))[stage_index], batch_size or steps[stage_index].batch_size
    key = settings.keep_memory_settings()
    return _make_estimate(
        _trace_training(recipe.model_dump_json(), place, images, key, processes, device.type),
        recipe,
        device,
        settings.hold_memory,
    )


def find_heaviest_stage(
    recipe: Recipe, settings: ComputeSettings, device: torch.device, processes: int = 1
) -> tuple[int, MemoryEstimate]:
    """Find the stage of the timetable that needs most memory: its index in `list_stage_steps`, and its estimate."""
    needs = {
        part: estimate_training(recipe, settings, device, processes, part)
        for part in list_heavy_stages(list_stage_steps(recipe))
    }
    worst = max(needs, key=lambda part: needs[part].total)
    return worst, needs[worst]


def list_heavy_stages(steps: list[TrainingStep]) -> list[int]:
    """List the stages that may need most memory, as indices; estimating all of them takes long.

    Features are at most twice as wide where an axis is half as long, so a stage whose images are `n` times coarser
    needs at most `n` times the memory per voxel of the stage with the most voxels. `STAGE_MARGIN` allows for the rest.
    """
    voxels = [step.batch_size * _count_voxels(step) for step in steps]
    lengths = [max(region.shape[0] for region in step.scope.regions) for step in steps]
    most = max(range(len(steps)), key=lambda part: (voxels[part], part))
    return [
        part
        for part in range(len(steps))
        if STAGE_MARGIN * voxels[part] * max(1, lengths[most] / lengths[part]) >= voxels[most]
    ]


def estimate_sampling(
    recipe: Recipe, device: torch.device, batch_size: int = 1, planes: int | None = None
) -> MemoryEstimate:
    """Estimate the memory for sampling `batch_size` images at once, `planes` planes at a time; None = all planes."""
    return _make_estimate(memory_trace.trace_sampling(recipe, batch_size, planes), recipe, device, False)


def fits_surely(recipe: Recipe, memory: int) -> bool:
    """Return whether a recipe certainly fits into `memory` bytes, by an upper bound that is faster than an estimate."""
    weights = sum(p.numel() * p.element_size() for p in recipe.build_meta_networks().parameters())
    voxels = max(m.batch_size * _count_voxels(m) for m in list_stage_steps(recipe))
    return GIB + 8 * weights + BYTES_PER_VOXEL * voxels < memory


def _count_voxels(step: TrainingStep) -> int:
    return sum(
        (region.depth or region.shape[0]) * int(torch.Size(region.shape[1:]).numel()) for region in step.scope.regions
    )


# ----------------------------------------------------------------------------------------------------------------------
# Sizes and settings that fit.


def find_largest_batch(
    recipe: Recipe, settings: ComputeSettings, device: torch.device, memory: int, processes: int = 1
) -> int:
    """Find the largest batch at full size that fits, up to `MAX_BATCH_SIZE`; 0 = not even one image per process fits.

    Memory is nearly linear in the batch size, so a line through two sizes, one image and the recipe's own batch at
    first, predicts the largest one. It is estimated and replaces one of the two, until the line says that one more
    image per process would not fit.
    """
    whole = processes * settings.micro_batches
    most = -(-MAX_BATCH_SIZE // whole)

    @cache
    def total(batch: int) -> int:
        return estimate_training(recipe, settings, device, processes, batch_size=batch * whole).total

    fits, other = 1, min(max(2, list_stage_steps(recipe)[-1].batch_size // whole), most)
    if total(fits) > memory:
        return 0
    while True:
        if other > fits and total(other) <= memory:
            fits, other = other, fits
        if fits >= most:
            return MAX_BATCH_SIZE
        if other == fits + 1:
            return fits * whole
        each = (total(fits) - total(other)) / (fits - other)
        more = int((memory - total(fits)) / each)
        if more < 1 and other < fits:
            return fits * whole
        highest = most if other < fits else other - 1
        other, fits = min(fits + max(1, more), highest), fits


def find_largest_shape(
    recipe: Recipe, settings: ComputeSettings, device: torch.device, memory: int
) -> tuple[int, ...] | None:
    """Find the largest shape that fits, among the recipe's shape times 1/8 to 4 along every axis; None if none fits.

    The search begins at the shape that the parameters and the number of voxels predict, and estimates it and its
    neighbours. Sizes at which no further one can fit are not estimated.
    """
    shapes = [tuple(int(n * factor) for n in recipe.shape) for factor in SHAPE_FACTORS]
    shapes = [shape for shape in shapes if min(shape) >= 8 and not recipe.find_shape_problem(shape)]
    known = find_heaviest_stage(recipe, settings, device)[1]
    scale = math.prod(recipe.shape), _count_weights(recipe)

    def predict(shape: tuple[int, ...]) -> float:
        voxels, weights = math.prod(shape) / scale[0], _count_weights(recipe.resize(shape)) / scale[1]
        return known.libraries + (known.weights + known.optimiser) * weights + known.transient * voxels

    def fits(shape: tuple[int, ...]) -> bool:
        if shape == recipe.shape:
            return known.total <= memory
        return find_heaviest_stage(recipe.resize(shape), settings, device)[1].total <= memory

    place = max((i for i, shape in enumerate(shapes) if predict(shape) <= memory), default=0)
    if not fits(shapes[place]):
        return next((shape for shape in shapes[:place][::-1] if fits(shape)), None)
    while place + 1 < len(shapes) and predict(shapes[place + 1]) <= HOPELESS * memory and fits(shapes[place + 1]):
        place += 1
    return shapes[place]


def _count_weights(recipe: Recipe) -> int:
    return sum(p.numel() for p in recipe.build_meta_networks().parameters())


def cheaper_settings(
    recipe: Recipe, settings: ComputeSettings, device: torch.device, memory: int, processes: int = 1
) -> Iterator[tuple[ComputeSettings, MemoryEstimate]]:
    """Yield other settings for the same recipe with their memory estimates, those that cost least time first.

    The stage that needs most memory with the given settings is estimated first; if it fits, all stages are estimated.
    """
    part, _ = find_heaviest_stage(recipe, settings, device, processes)
    for other in _list_alternatives(recipe, settings, device, processes):
        one = estimate_training(recipe, other, device, processes, part)
        yield other, one if one.total > memory else find_heaviest_stage(recipe, other, device, processes)[1]


def _list_alternatives(
    recipe: Recipe, settings: ComputeSettings, device: torch.device, processes: int
) -> Iterator[ComputeSettings]:
    """Yield other settings, those that cost least time first (docs/performance.md).

    Micro-batches change only the rounding and cost little time; recomputation costs a third more time; half precision
    is often faster but changes the numbers; memory that is not held costs up to half of the speed of a CPU.
    """
    batches = [step.batch_size for step in list_stage_steps(recipe)]
    cuts = [
        n
        for n in MICRO_BATCHES
        if all(batch % (n * processes) == 0 for batch in batches) and recipe.find_split_problem(n) is None
    ]
    smaller = [{"micro_batches": n} for n in cuts] + [
        {"recompute": True},
        *({"recompute": True, "micro_batches": n} for n in cuts),
    ]
    half = {"precision": "bfloat16"} if settings.dtype == torch.float32 else {}
    for change in smaller:
        yield settings.replace(**change)
    if half:
        for change in [{}, *smaller]:
            yield settings.replace(**(half | change))
    if device.type == "cpu" and settings.hold_memory:
        for change in [{}, *smaller]:
            yield settings.replace(**(half | change | {"hold_memory": False}))


def find_fitting_settings(
    recipe: Recipe, settings: ComputeSettings, device: torch.device, memory: int, processes: int = 1
) -> tuple[ComputeSettings, MemoryEstimate] | None:
    """Find the settings that fit and cost least time, with their estimate; None if no settings fit."""
    asis = (settings, find_heaviest_stage(recipe, settings, device, processes)[1])
    every = chain([asis], cheaper_settings(recipe, settings, device, memory, processes))
    return next(((other, one) for other, one in every if one.total <= memory), None)
