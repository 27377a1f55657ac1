"""How much memory a recipe needs, part by part, before anything is allocated; and what would make it need less.

    libraries    the process itself with its libraries; on a GPU the driver's context
    weights      of all networks, and the generator's average
    optimiser    Adam's two moments of every weight
    passing      images, activations and gradients at the peak of a step (`ledger`)
    workspace    what kernels take for themselves, and what the allocator cannot use again

The first and the last do not follow from the recipe; they were fitted to peaks that were measured on a processor
(`benchmarks/memory_plan.py`). For a GPU they are estimates that nobody has measured yet.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import torch

from ganatomy.networks.autoregressive import AutoregressiveGenerator
from ganatomy.networks.diffusion import LatentDiffusionGenerator
from ganatomy.recipes.recipe import Recipe
from ganatomy.steps.strategies import Moment
from ganatomy.training import memory_trace
from ganatomy.training.computing import Computing
from ganatomy.training.memory_trace import Held

MIB, GIB = 2**20, 2**30
MANY = 512  # images a step; nobody asks for more, and a look at it takes long
MICRO_BATCHES = (2, 4, 8, 16, 32)
BYTES_A_VOXEL = 20_000  # more than any recipe keeps for a voxel of a batch


class Takes(NamedTuple):
    """What a device takes besides tensors: the libraries in bytes, and the workspace as shares and bytes."""

    libraries: int
    of_passing: float
    of_weights: float
    at_least: int


DEVICES = {
    ("cpu", False): Takes(400 * MIB, 0.06, 0.19, 9 * MIB),
    ("cpu", True): Takes(400 * MIB, 0.31, 0.18, 22 * MIB),  # memory is held: `device.hold_memory`
    ("cuda", False): Takes(500 * MIB, 0.15, 0.0, 100 * MIB),
}
MONAI = 200 * MIB  # what its import takes


@dataclass(frozen=True)
class Need:
    """Bytes by part."""

    libraries: int
    weights: int
    optimiser: int
    passing: int
    workspace: int

    @property
    def total(self) -> int:
        return self.libraries + self.weights + self.optimiser + self.passing + self.workspace

    def parts(self) -> dict[str, int]:
        """By the names that a user reads."""
        return {
            "libraries": self.libraries,
            "weights and their average": self.weights,
            "optimiser": self.optimiser,
            "activations and gradients": self.passing,
            "workspace": self.workspace,
        }


def _need(held: Held, recipe: Recipe, device: torch.device, holds: bool) -> Need:
    takes = DEVICES[device.type, holds and device.type == "cpu"]
    others = isinstance(recipe.networks.get("generator"), AutoregressiveGenerator | LatentDiffusionGenerator)
    workspace = takes.at_least + takes.of_passing * held.passing + takes.of_weights * (held.weights + held.optimiser)
    return Need(takes.libraries + MONAI * others, held.weights, held.optimiser, held.passing, round(workspace))


@lru_cache(maxsize=256)
def _trained(recipe: str, part: int, batch: int | None, how: Computing, processes: int) -> Held:
    read = Recipe.model_validate_json(recipe)
    moment = parts(read)[part]
    if batch is not None:
        moment = Moment(moment.scope, batch, moment.era, moment.part)
    return memory_trace.trained(read, moment, how, processes)


def parts(recipe: Recipe) -> list[Moment]:
    """A moment of each part of the timetable, the one that costs most: where a level fades in, or the only one."""
    found: dict[str, Moment] = {}
    for _, moment in recipe.timetable():
        found.setdefault(moment.part, moment)
    return list(found.values())


def training(
    recipe: Recipe, how: Computing, device: torch.device, processes: int = 1, part: int = -1, batch: int | None = None
) -> Need:
    """What a step needs in each of so many processes.

    Args:
        part: of the timetable (`parts`); the last by default.
        batch: another global batch size than the recipe's.
    """
    key = how.model_copy(update={"hold_memory": False, "channels_last": False, "compiled": False})
    return _need(_trained(recipe.model_dump_json(), part, batch, key, processes), recipe, device, how.hold_memory)


def heaviest(recipe: Recipe, how: Computing, device: torch.device, processes: int = 1) -> tuple[int, Need]:
    """The part of the timetable that needs most, and what it needs."""
    needs = [training(recipe, how, device, processes, part) for part in range(len(parts(recipe)))]
    worst = max(range(len(needs)), key=lambda part: needs[part].total)
    return worst, needs[worst]


def sampling(recipe: Recipe, device: torch.device, batch: int = 1, planes: int | None = None) -> Need:
    """What drawing so many images at once needs, or a volume so many planes at a time."""
    return _need(memory_trace.sampled(recipe, batch, planes), recipe, device, False)


def surely_fits(recipe: Recipe, memory: int) -> bool:
    """Whether a bound that no recipe comes near says so; spares small models the closer look, which takes seconds."""
    weights = sum(p.numel() * p.element_size() for p in recipe.outline().parameters())
    voxels = max(m.batch_size * _voxels(m) for m in parts(recipe))
    return GIB + 8 * weights + BYTES_A_VOXEL * voxels < memory


def _voxels(moment: Moment) -> int:
    return sum(
        (region.depth or region.shape[0]) * int(torch.Size(region.shape[1:]).numel()) for region in moment.scope.reads
    )


# ----------------------------------------------------------------------------------------------------------------------
# What would make it fit.


def largest_batch(recipe: Recipe, how: Computing, device: torch.device, memory: int, processes: int = 1) -> int:
    """The most images a step at the recipe's full size that fit, up to `MANY`; 0 = not one a process.

    Doubled until it does not fit; between there and the half of it what a step keeps grows evenly.
    """
    whole = processes * how.micro_batches

    def total(batch: int) -> int:
        return training(recipe, how, device, processes, batch=batch * whole).total

    fits, beyond = 0, 1
    while total(beyond) <= memory:
        fits, beyond = beyond, 2 * beyond
        if fits * whole >= MANY:
            return MANY
    if fits < 2:
        return fits * whole
    low, high = total(fits), total(beyond)
    best = min(fits + int((memory - low) / (high - low) * (beyond - fits)), beyond - 1)
    while total(best) > memory:
        best -= 1
    return best * whole


def largest_size(recipe: Recipe, how: Computing, device: torch.device, memory: int) -> tuple[int, ...] | None:
    """The largest of the recipe's shape, doubled or halved along every axis, that fits; None if none does."""
    best = None
    for factor in (0.125, 0.25, 0.5, 1, 2, 4):
        shape = tuple(int(n * factor) for n in recipe.shape)
        if min(shape) < 8 or recipe.objection(shape):
            continue
        if heaviest(recipe.resized(shape), how, device)[1].total > memory:
            break
        best = shape
    return best


def easier(
    recipe: Recipe, how: Computing, device: torch.device, memory: int, processes: int = 1
) -> Iterator[tuple[Computing, Need]]:
    """Other ways to compute the same recipe, the cheapest in time first, each with what it needs.

    The part of the timetable that needs most as it is is looked at; where that fits, all are.
    """
    part, _ = heaviest(recipe, how, device, processes)
    for other in _others(recipe, how, device, processes):
        one = training(recipe, other, device, processes, part)
        yield other, one if one.total > memory else heaviest(recipe, other, device, processes)[1]


def _others(recipe: Recipe, how: Computing, device: torch.device, processes: int) -> Iterator[Computing]:
    """The cheapest in time first (docs/performance.md).

    Micro-batches change nothing but rounding and cost little; recomputation costs a third more time; half precision is
    often faster but changes the numbers; memory that is not held costs up to half of the speed of a processor.
    """
    batch = min(moment.batch_size for moment in parts(recipe)) // processes
    cuts = [n for n in MICRO_BATCHES if n <= batch and not batch % n and recipe.inseparable(n) is None]
    smaller = [{"micro_batches": n} for n in cuts] + [
        {"recompute": True},
        *({"recompute": True, "micro_batches": n} for n in cuts),
    ]
    half = {"precision": "bfloat16"} if how.precision == "float32" else {}
    for change in smaller:
        yield how.model_copy(update=change)
    if half:
        for change in [{}, *smaller]:
            yield how.model_copy(update=half | change)
    if device.type == "cpu" and how.hold_memory:
        for change in [{}, *smaller]:
            yield how.model_copy(update=half | change | {"hold_memory": False})


def fitted(
    recipe: Recipe, how: Computing, device: torch.device, memory: int, processes: int = 1
) -> tuple[Computing, Need] | None:
    """The cheapest way that fits, and what it needs; None if none does."""
    asis = (how, heaviest(recipe, how, device, processes)[1])
    every = chain([asis], easier(recipe, how, device, memory, processes))
    return next(((other, one) for other, one in every if one.total <= memory), None)
