"""The plan of a training before it begins: parameters, timetable, memory, and whether it fits."""

import json
from functools import cache
from importlib import resources
from typing import Any

import torch
import yaml

from ganatomy.errors import Refused
from ganatomy.pyramid import format_shape
from ganatomy.recipes.changes import change_recipe
from ganatomy.recipes.recipe import Recipe
from ganatomy.steps.scope import Scope
from ganatomy.training import memory_estimate
from ganatomy.training.computing import ComputeSettings, get_default_settings
from ganatomy.training.memory_estimate import GIB, MemoryEstimate
from ganatomy.training.memory_trace import can_sample_by_planes

SLAB_PLANES = 16  # planes of a slab in the plan of sampling
SHORTAGE_GOAL = 0.7  # share of the planned memory; flags are listed until one needs no more than this


def count_parameters(recipe: Recipe) -> dict[str, int]:
    """Count the trainable parameters by role, without allocating them."""
    return {role: sum(p.numel() for p in player.parameters()) for role, player in recipe.build_meta_networks().items()}


def estimate_memory(recipe: Recipe, settings: ComputeSettings | None = None, device: str = "cpu") -> dict[str, float]:
    """Estimate the peak of training in GiB by part (`MemoryEstimate`), in the stage that needs most."""
    torch_device = torch.device(device)
    return {
        name: size / GIB
        for name, size in memory_estimate.find_heaviest_stage(recipe, settings or ComputeSettings(), torch_device)[1]
        .break_down()
        .items()
    }


def change_batch_size(recipe: Recipe, batch_size: int | None) -> Recipe:
    """Return the recipe with another batch size, which applies to all levels."""
    if batch_size is None:
        return recipe
    changes = recipe.strategy.express_batch_size(batch_size)
    return change_recipe(recipe, {f"strategy.{name}": value for name, value in changes.items()})


def describe_recipe(recipe: Recipe) -> str:
    """Describe the recipe, parameter counts, timetable and memory as text."""
    counts = count_parameters(recipe)
    plain = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=110)
    lines = ["recipe", *(f"  {line}" for line in plain.splitlines()), ""]
    lines += [f"parameters  {role:15s} {count:>12,}" for role, count in counts.items()]
    lines += [
        f"parameters  {'total':15s} {sum(counts.values()):>12,}",
        describe_largest_layer(recipe),
        "",
        "timetable   kimg      reads                      batch  what",
    ]
    for kimg, step in recipe.make_timetable():
        told = ", ".join(f"{name} {value:g}" for name, value in step.scope.log_values.items())
        told = told or step.stage.removeprefix("all")
        lines.append(f"            {kimg:<9g} {_describe_regions(step.scope):26s} {step.batch_size:<6d} {told}")
    lines.append(f"            {recipe.total_kimg:<9g} end")
    lines += describe_idle_schedules(recipe)
    needs = estimate_memory(recipe)
    lines += ["", f"memory      {sum(needs.values()):.2f} GiB in the stage that needs most (float32, on a CPU):"]
    lines += [f"            {gib:6.2f} GiB {part}" for part, gib in needs.items()]
    return "\n".join(lines)


def describe_idle_schedules(recipe: Recipe) -> list[str]:
    """Describe each schedule that would begin to change after the end of the training, in one line each."""
    return [
        f"never       {path} keeps its first value, since it changes from {first:g} kimg on and the training ends at"
        f" {recipe.total_kimg:g}; --pace shortens all lengths together"
        for path, first in recipe.find_idle_schedules()
    ]


def _describe_regions(scope: Scope) -> str:
    """Describe the regions that a step reads of each image, such as ``16 of 128x128x128, 32x32x32``."""
    return ", ".join((f"{r.depth} of " if r.depth else "") + format_shape(r.shape) for r in scope.regions)


# ----------------------------------------------------------------------------------------------------------------------
# Whether it fits into memory.


def describe_plan(
    recipe: Recipe, settings: ComputeSettings, device: torch.device, free_bytes: int, processes: int = 1
) -> str:
    """Describe whether training and sampling fit, the largest batch and size that fit, and settings that need less."""
    part, total = memory_estimate.find_heaviest_stage(recipe, settings, device, processes)
    step = memory_estimate.list_stage_steps(recipe)[part]
    head = (
        f"{recipe.name}, {format_shape(recipe.shape)}, batch {step.batch_size},"
        f" {_describe_settings(settings)}, on {device.type}"
    )
    if processes > 1:
        head += f", each of {processes} processes"
    lines = [f"{head}; predicted, nothing was allocated", "", f"memory {free_bytes / GIB:.2f} GiB"]
    lines += _format_table(
        f"training, most in stage {step.stage!r}" if step.stage != "all" else "training", total, free_bytes
    )
    lines.append(describe_largest_layer(recipe))
    for title, one in _list_sampling_estimates(recipe, device):
        lines.append(f"{title:40s} {one.total / GIB:8.2f} GiB  {_describe_fit(one, free_bytes)}")
    most = memory_estimate.find_largest_batch(recipe, settings, device, free_bytes, processes)
    lines += [
        "",
        f"largest batch at {format_shape(recipe.shape)}:"
        f" {most}{' or more' if most == memory_estimate.MAX_BATCH_SIZE else ''}",
    ]
    size = memory_estimate.find_largest_shape(recipe, settings, device, free_bytes)
    lines.append(f"largest size at this batch: {'none' if size is None else format_shape(size)}")
    lines += ["", *_list_options(recipe, settings, device, free_bytes, processes)] if total.total > free_bytes else []
    return "\n".join([*lines, "", *_describe_speeds(recipe, device)])


def describe_largest_layer(recipe: Recipe) -> str:
    """Name the tensor with most weights, which often decides how large a model of a size is."""
    networks = recipe.build_meta_networks()
    sizes = {f"{role}.{name}": p.numel() for role in networks for name, p in networks[role].named_parameters()}
    largest, total = max(sizes, key=lambda name: sizes[name]), sum(sizes.values())
    part = largest.rpartition(".")[0]
    return f"largest part: {part}, {sizes[largest] / 1e6:.1f} of {total / 1e6:.1f} million parameters"


def _describe_settings(settings: ComputeSettings) -> str:
    more = [f"{settings.micro_batches} micro-batches"] if settings.micro_batches > 1 else []
    more += ["recompute"] if settings.recompute else []
    return ", ".join([settings.precision, *more])


def _describe_fit(estimate: MemoryEstimate, free_bytes: int) -> str:
    return "fits" if estimate.total <= free_bytes else "does not fit"


def _format_table(title: str, total: MemoryEstimate, free_bytes: int) -> list[str]:
    lines = [f"{title:40s} {total.total / GIB:8.2f} GiB  {_describe_fit(total, free_bytes)}"]
    return lines + [f"  {part:38s} {size / GIB:8.2f} GiB" for part, size in total.break_down().items()]


def _list_sampling_estimates(recipe: Recipe, device: torch.device) -> list[tuple[str, MemoryEstimate]]:
    found = [("sampling, one image at a time", memory_estimate.estimate_sampling(recipe, device))]
    if can_sample_by_planes(recipe):
        found.append(
            (
                f"sampling, {SLAB_PLANES} planes at a time",
                memory_estimate.estimate_sampling(recipe, device, 1, SLAB_PLANES),
            )
        )
    return found


def format_flags(settings: ComputeSettings, base: ComputeSettings) -> str:
    """Format the command-line flags that turn the settings `base` into `settings`."""
    flags = []
    if settings.precision != base.precision:
        flags.append(f"--precision {settings.precision}")
    if settings.recompute and not base.recompute:
        flags.append("--recompute")
    if settings.micro_batches != base.micro_batches:
        flags.append(f"--micro-batches {settings.micro_batches}")
    if settings.hold_memory != base.hold_memory:
        flags.append(f"--hold-memory {settings.hold_memory}")
    if settings.deterministic and not base.deterministic:
        flags.append("--deterministic")
    return " ".join(flags) or "as it is"


def _list_options(
    recipe: Recipe, settings: ComputeSettings, device: torch.device, free_bytes: int, processes: int
) -> list[str]:
    """List settings that need less memory until one fits; `--fit` applies this one."""
    lines = ["needs less with"]
    for other, one in memory_estimate.cheaper_settings(recipe, settings, device, free_bytes, processes):
        lines.append(
            f"  {format_flags(other, settings):38s} {one.total / GIB:8.2f} GiB  {_describe_fit(one, free_bytes)}"
        )
        if one.total <= free_bytes:
            return [*lines, "  --fit applies the first that fits"]
    return [*lines, "  nothing makes it fit; give a smaller --shape or batch"]


@cache
def _read_speeds() -> list[dict[str, Any]]:
    text = resources.files("ganatomy.training").joinpath("speeds.json").read_text(encoding="utf-8")
    return list(json.loads(text))


def _describe_speeds(recipe: Recipe, device: torch.device) -> list[str]:
    found = [row for row in _read_speeds() if row["recipe"] == recipe.name and row["device"].startswith(device.type)]
    lines = [
        f"  {row['iterations_per_second']:g} at {row['shape']}, batch {row['batch']}, {row['precision']}"
        f" ({row['device']}; {row['by']})"
        for row in found
    ]
    return ["iterations/s as measured:", *lines] if found else [f"iterations/s: not measured on {device.type} yet"]


def check_memory(
    recipe: Recipe, settings: ComputeSettings, device: torch.device, free_bytes: int, processes: int = 1
) -> None:
    """Check that training fits into `free_bytes`.

    Raises:
        Refused: it does not fit; the message has a table of settings that need less.
    """
    if memory_estimate.fits_surely(recipe, free_bytes):
        return
    if memory_estimate.find_heaviest_stage(recipe, settings, device, processes)[1].total > free_bytes:
        raise Refused(
            f"{recipe.name} will not fit; --fit applies settings that fit, --anyway tries it unchanged.\n"
            + describe_plan(recipe, settings, device, free_bytes, processes)
        )


def describe_shortage(recipe: Recipe, settings: ComputeSettings, device: torch.device, processes: int = 1) -> str:
    """Explain what to do when memory has run out unexpectedly: the plan of a step, and settings that need less."""
    total = memory_estimate.find_heaviest_stage(recipe, settings, device, processes)[1]
    goal = round(SHORTAGE_GOAL * total.total)
    lines = [
        f"There is not enough memory on {device} to train {recipe.name} at {format_shape(recipe.shape)} with"
        f" {_describe_settings(settings)}; close what else uses it, or give the same command with one of the flags"
        " below; it continues from the last checkpoint.",
        f"  {'planned':38s} {total.total / GIB:8.2f} GiB",
        *(f"    {part:36s} {size / GIB:8.2f} GiB" for part, size in total.break_down().items()),
    ]
    for other, one in memory_estimate.cheaper_settings(recipe, settings, device, goal, processes):
        if one.total < total.total:
            lines.append(f"  {format_flags(other, settings):38s} {one.total / GIB:8.2f} GiB")
        if one.total <= goal:
            return "\n".join(lines)
    return "\n".join([*lines, "  a smaller --shape or batch (--set) needs less still"])


def fit_settings(
    recipe: Recipe, settings: ComputeSettings, device: torch.device, free_bytes: int, processes: int = 1
) -> ComputeSettings:
    """Find the settings that fit into `free_bytes` and cost least time (`memory_estimate.find_fitting_settings`).

    Raises:
        Refused: no settings fit.
    """
    if memory_estimate.fits_surely(recipe, free_bytes):
        return settings
    found = memory_estimate.find_fitting_settings(recipe, settings, device, free_bytes, processes)
    if found is None:
        raise Refused(
            f"Nothing makes {recipe.name} fit.\n" + describe_plan(recipe, settings, device, free_bytes, processes)
        )
    return found[0]


def get_recipe_default_settings(recipe: Recipe, device: torch.device) -> ComputeSettings:
    """Return the default compute settings of a recipe on a device."""
    return get_default_settings(len(recipe.shape), device)
