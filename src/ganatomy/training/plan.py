"""What a training will be, told before it is begun: parameters, timetable, memory, and whether it fits."""

import json
from functools import cache
from importlib import resources
from typing import Any

import torch
import yaml

from ganatomy.errors import Refused
from ganatomy.pyramid import written
from ganatomy.recipes.changes import changed
from ganatomy.recipes.recipe import Recipe
from ganatomy.steps.scope import Scope
from ganatomy.training import memory_estimate
from ganatomy.training.computing import Computing, usual
from ganatomy.training.memory_estimate import GIB, Need
from ganatomy.training.memory_trace import by_planes

PLANES = 16  # of a slab, in the plan of a drawing


def parameters(recipe: Recipe) -> dict[str, int]:
    """Trainable numbers by role. Nothing is allocated."""
    return {role: sum(p.numel() for p in player.parameters()) for role, player in recipe.outline().items()}


def memory(recipe: Recipe, how: Computing | None = None, device: str = "cpu") -> dict[str, float]:
    """Predicted peak of training in GiB by part (`need`), in the part of the timetable that needs most."""
    place = torch.device(device)
    return {
        name: size / GIB
        for name, size in memory_estimate.heaviest(recipe, how or Computing(), place)[1].parts().items()
    }


def batched(recipe: Recipe, batch: int | None) -> Recipe:
    """The recipe with another batch size, at every level where it has levels."""
    if batch is None:
        return recipe
    levels = "batch_sizes" in type(recipe.strategy).model_fields
    return changed(recipe, {"strategy.batch_sizes": [batch]} if levels else {"strategy.batch_size": batch})


def described(recipe: Recipe) -> str:
    """The recipe, parameter counts, timetable and memory, as text."""
    counts = parameters(recipe)
    plain = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=110)
    lines = ["recipe", *(f"  {line}" for line in plain.splitlines()), ""]
    lines += [f"parameters  {role:15s} {count:>12,}" for role, count in counts.items()]
    lines += [
        f"parameters  {'total':15s} {sum(counts.values()):>12,}",
        "",
        "timetable   kimg      reads                      batch  what",
    ]
    for kimg, moment in recipe.timetable():
        told = ", ".join(f"{name} {value:g}" for name, value in moment.scope.told.items())
        told = told or moment.part.removeprefix("all")
        lines.append(f"            {kimg:<9g} {_read(moment.scope):26s} {moment.batch_size:<6d} {told}")
    lines.append(f"            {recipe.total_kimg:<9g} end")
    needs = memory(recipe)
    lines += ["", f"memory      {sum(needs.values()):.2f} GiB where a step needs most (float32, on a processor):"]
    lines += [f"            {gib:6.2f} GiB {part}" for part, gib in needs.items()]
    return "\n".join(lines)


def _read(scope: Scope) -> str:
    """What a step reads of each image, such as ``16 of 128x128x128, 32x32x32``."""
    return ", ".join((f"{r.depth} of " if r.depth else "") + written(r.shape) for r in scope.reads)


# ----------------------------------------------------------------------------------------------------------------------
# Does it fit.


def told(recipe: Recipe, how: Computing, device: torch.device, free: int, processes: int = 1) -> str:
    """Whether training and sampling fit, what is the most that fits, and what would make it fit."""
    part, total = memory_estimate.heaviest(recipe, how, device, processes)
    moment = memory_estimate.parts(recipe)[part]
    head = f"{recipe.name}, {written(recipe.shape)}, batch {moment.batch_size}, {_named(how)}, on {device.type}"
    if processes > 1:
        head += f", each of {processes} processes"
    lines = [f"{head}; predicted, nothing was allocated", "", f"memory {free / GIB:.2f} GiB"]
    lines += _table(f"training, most in the part {moment.part!r}" if moment.part != "all" else "training", total, free)
    for words, one in _drawings(recipe, device):
        lines.append(f"{words:40s} {one.total / GIB:8.2f} GiB  {_fits(one, free)}")
    most = memory_estimate.largest_batch(recipe, how, device, free, processes)
    lines += [
        "",
        f"largest batch at {written(recipe.shape)}: {most}{' or more' if most == memory_estimate.MANY else ''}",
    ]
    size = memory_estimate.largest_size(recipe, how, device, free)
    lines.append(f"largest size at this batch: {'none' if size is None else written(size)}")
    lines += ["", *_options(recipe, how, device, free, processes)] if total.total > free else []
    return "\n".join([*lines, "", *_speeds(recipe, device)])


def _named(how: Computing) -> str:
    more = [f"{how.micro_batches} micro-batches"] if how.micro_batches > 1 else []
    more += ["recompute"] if how.recompute else []
    return ", ".join([how.precision, *more])


def _fits(one: Need, free: int) -> str:
    return "fits" if one.total <= free else "does not fit"


def _table(words: str, total: Need, free: int) -> list[str]:
    lines = [f"{words:40s} {total.total / GIB:8.2f} GiB  {_fits(total, free)}"]
    return lines + [f"  {part:38s} {size / GIB:8.2f} GiB" for part, size in total.parts().items()]


def _drawings(recipe: Recipe, device: torch.device) -> list[tuple[str, Need]]:
    found = [("sampling, one image at a time", memory_estimate.sampling(recipe, device))]
    if by_planes(recipe):
        found.append((f"sampling, {PLANES} planes at a time", memory_estimate.sampling(recipe, device, 1, PLANES)))
    return found


def flags(how: Computing, base: Computing) -> str:
    """What to add to the command for `how` where `base` is usual."""
    words = []
    if how.precision != base.precision:
        words.append(f"--precision {how.precision}")
    if how.recompute and not base.recompute:
        words.append("--recompute")
    if how.micro_batches != base.micro_batches:
        words.append(f"--micro-batches {how.micro_batches}")
    if how.hold_memory != base.hold_memory:
        words.append(f"--hold-memory {how.hold_memory}")
    return " ".join(words) or "as it is"


def _options(recipe: Recipe, how: Computing, device: torch.device, free: int, processes: int) -> list[str]:
    """The ways to need less, until one fits; that one is what `--fit` applies."""
    lines = ["needs less with"]
    for other, one in memory_estimate.easier(recipe, how, device, free, processes):
        lines.append(f"  {flags(other, how):38s} {one.total / GIB:8.2f} GiB  {_fits(one, free)}")
        if one.total <= free:
            return [*lines, "  --fit applies the first that fits"]
    return [*lines, "  nothing makes it fit; give a smaller --shape or batch"]


@cache
def _measured() -> list[dict[str, Any]]:
    text = resources.files("ganatomy.training").joinpath("speeds.json").read_text(encoding="utf-8")
    return list(json.loads(text))


def _speeds(recipe: Recipe, device: torch.device) -> list[str]:
    found = [row for row in _measured() if row["recipe"] == recipe.name and row["device"].startswith(device.type)]
    lines = [
        f"  {row['iterations_per_second']:g} at {row['shape']}, batch {row['batch']}, {row['precision']}"
        f" ({row['device']}; {row['by']})"
        for row in found
    ]
    return ["iterations/s as measured:", *lines] if found else [f"iterations/s: not measured on {device.type} yet"]


def check(recipe: Recipe, how: Computing, device: torch.device, free: int, processes: int = 1) -> None:
    """Refuse what will not fit, with the table of what would.

    Raises:
        Refused: it needs more than there is.
    """
    if memory_estimate.surely_fits(recipe, free):
        return
    if memory_estimate.heaviest(recipe, how, device, processes)[1].total > free:
        raise Refused(
            f"{recipe.name} will not fit; --fit applies what makes it fit, --anyway tries it as it is.\n"
            + told(recipe, how, device, free, processes)
        )


def fit(recipe: Recipe, how: Computing, device: torch.device, free: int, processes: int = 1) -> Computing:
    """The cheapest way to compute the recipe that fits (`need.easier`).

    Raises:
        Refused: none does.
    """
    if memory_estimate.surely_fits(recipe, free):
        return how
    found = memory_estimate.fitted(recipe, how, device, free, processes)
    if found is None:
        raise Refused(f"Nothing makes {recipe.name} fit.\n" + told(recipe, how, device, free, processes))
    return found[0]


def usual_for(recipe: Recipe, device: torch.device) -> Computing:
    """How the recipe is computed on a device when nothing is wished."""
    return usual(len(recipe.shape), device)
