"""The prediction of memory as one call: a recipe, the memory there is, and the options of computing."""

from typing import Any, NamedTuple

import torch

from ganatomy.errors import Refused
from ganatomy.library.arguments import parse_bytes
from ganatomy.machine.device import measure_free_memory, select_device
from ganatomy.recipes import get_recipe
from ganatomy.recipes.recipe import Recipe
from ganatomy.training import memory_estimate
from ganatomy.training.computing import ComputeSettings, override_settings
from ganatomy.training.distributed import check_pieces
from ganatomy.training.plan import change_batch_size, describe_plan, get_recipe_default_settings

DEVICE_KINDS = ("cpu", "cuda")


def plan(
    recipe: Recipe | str,
    memory: int | str | None = None,
    device: str | None = None,
    batch: int | None = None,
    processes: int = 1,
    precision: str | None = None,
    recompute: bool = False,
    micro_batches: int | None = None,
    hold_memory: bool | None = None,
) -> str:
    """Predict whether training and sampling fit into memory, and which options would make them fit.

    Args:
        recipe: a name of `RECIPES`, or a recipe.
        memory: bytes, or a size such as ``16GB``; None = what is free on the device.
        device: ``cpu`` or ``cuda``; with `memory` the default is ``cuda``, even on a machine without a GPU.
        batch: images per step, summed over all processes; None = the recipe's.
        processes: processes that share every batch.
        precision, recompute, micro_batches, hold_memory: as in `train`.

    Returns:
        The plan as text; nothing was allocated.

    Raises:
        Refused: no such recipe or device, or a size that cannot be read.
    """
    asked = _resolve(recipe, memory, device, batch, processes, precision, recompute, micro_batches, hold_memory)
    return describe_plan(asked.recipe, asked.settings, asked.device, asked.bytes, processes)


def predict_memory(
    recipe: Recipe | str,
    memory: int | str | None = None,
    device: str | None = None,
    batch: int | None = None,
    processes: int = 1,
    precision: str | None = None,
    recompute: bool = False,
    micro_batches: int | None = None,
    hold_memory: bool | None = None,
) -> dict[str, Any]:
    """The numbers of `plan` that are found at once, for programs: bytes there are and bytes needed, and what fits.

    Args:
        recipe, memory, device, batch, processes, precision, recompute, micro_batches, hold_memory: as in `plan`.

    Raises:
        Refused: as `plan`.
    """
    asked = _resolve(recipe, memory, device, batch, processes, precision, recompute, micro_batches, hold_memory)
    stage, training = memory_estimate.find_heaviest_stage(asked.recipe, asked.settings, asked.device, processes)
    sampling = memory_estimate.estimate_sampling(asked.recipe, asked.device)
    return {
        "recipe": asked.recipe.name,
        "shape": list(asked.recipe.shape),
        "device": asked.device.type,
        "precision": asked.settings.precision,
        "memory_bytes": asked.bytes,
        "heaviest_stage": stage,
        "training_bytes": training.total,
        "training_fits": training.total <= asked.bytes,
        "sampling_bytes": sampling.total,
        "sampling_fits": sampling.total <= asked.bytes,
    }


class _Asked(NamedTuple):
    recipe: Recipe
    settings: ComputeSettings
    device: torch.device
    bytes: int


def _resolve(
    recipe: Recipe | str,
    memory: int | str | None,
    device: str | None,
    batch: int | None,
    processes: int,
    precision: str | None,
    recompute: bool,
    micro_batches: int | None,
    hold_memory: bool | None,
) -> _Asked:
    """What is asked for, found to go together."""
    chosen = change_batch_size(get_recipe(recipe) if isinstance(recipe, str) else recipe, batch)
    if device not in (None, *DEVICE_KINDS):
        raise Refused(f"--device {device}: plan accepts {' or '.join(DEVICE_KINDS)}.")
    place = torch.device(device or "cuda") if memory else select_device(device)
    how = override_settings(
        get_recipe_default_settings(chosen, place),
        precision=precision,
        recompute=recompute or None,
        micro_batches=micro_batches,
        hold_memory=hold_memory,
    )
    how.check(len(chosen.shape), place)
    check_pieces(chosen, processes, how.micro_batches)
    there = parse_bytes(memory) if memory else measure_free_memory(place)
    return _Asked(chosen, how, place, there)
