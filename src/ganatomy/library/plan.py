"""The prediction of memory as one call: a recipe, the memory there is, and the options of computing."""

from typing import Any, NamedTuple

import torch

from ganatomy.errors import Refused
from ganatomy.library.arguments import parse_bytes
from ganatomy.machine.choices import Precision
from ganatomy.machine.device import measure_free_memory, select_device
from ganatomy.recipes import get_recipe
from ganatomy.recipes.recipe import Recipe
from ganatomy.training import memory_estimate
from ganatomy.training.computing import ComputeSettings, override_settings
from ganatomy.training.distributed import check_pieces
from ganatomy.training.plan import change_batch_size, describe_plan, get_recipe_default_settings

DEVICE_KINDS = ("cpu", "cuda")


class MemoryQuestion(NamedTuple):
    """A recipe, the settings of computing and the memory there is, which go together.

    Args:
        recipe: the recipe.
        settings: how it is computed.
        device: where.
        bytes: memory there.
        processes: processes that share every batch.
    """

    recipe: Recipe
    settings: ComputeSettings
    device: torch.device
    bytes: int
    processes: int

    def describe(self) -> str:
        """Predict whether training and sampling fit, and which options would make them fit, as text."""
        return describe_plan(self.recipe, self.settings, self.device, self.bytes, self.processes)

    def predict(self) -> dict[str, Any]:
        """Predict for programs: bytes that are there and bytes that are needed, and what fits."""
        stage, training = memory_estimate.find_heaviest_stage(self.recipe, self.settings, self.device, self.processes)
        sampling = memory_estimate.estimate_sampling(self.recipe, self.device)
        return {
            "recipe": self.recipe.name,
            "shape": list(self.recipe.shape),
            "device": self.device.type,
            "precision": self.settings.precision,
            "memory_bytes": self.bytes,
            "heaviest_stage": stage,
            "training_bytes": training.total,
            "training_parts": training.break_down(),
            "training_fits": training.total <= self.bytes,
            "sampling_bytes": sampling.total,
            "sampling_fits": sampling.total <= self.bytes,
        }


def ask_memory(
    recipe: Recipe | str,
    memory: int | str | None = None,
    device: str | None = None,
    batch: int | None = None,
    processes: int = 1,
    precision: Precision | None = None,
    recompute: bool = False,
    micro_batches: int | None = None,
    hold_memory: bool | None = None,
) -> MemoryQuestion:
    """Ask whether training and sampling fit into memory; nothing is allocated.

    Args:
        recipe: a name of `RECIPES`, or a recipe.
        memory: bytes, or a size such as ``16GB``; None = what is free on the device.
        device: ``cpu`` or ``cuda``; with `memory` the default is ``cuda``, even on a machine without a GPU.
        batch: images per step, summed over all processes; None = the recipe's.
        processes: processes that share every batch.
        precision, recompute, micro_batches, hold_memory: as in `train`.

    Raises:
        Refused: no such recipe or device, or a size that cannot be read.
    """
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
    return MemoryQuestion(chosen, how, place, there, processes)
