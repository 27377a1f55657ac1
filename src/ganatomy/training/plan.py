"""What a training will be, told before it is begun: parameters, timetable, memory."""

import torch
import yaml
from torch import Tensor

from ganatomy.objectives.phase import Draw
from ganatomy.pyramid import written
from ganatomy.recipe import Recipe
from ganatomy.scope import Scope

BYTES = 4  # of a float32
MOMENTS = 2  # Adam keeps two numbers a weight


def parameters(recipe: Recipe) -> dict[str, int]:
    """Trainable numbers by role. Nothing is allocated."""
    with torch.device("meta"):
        players = recipe.build()
    return {role: sum(p.numel() for p in player.parameters()) for role, player in players.items()}


def memory(recipe: Recipe, images_seen: int) -> dict[str, float]:
    """Predicted peak of a step in GiB by part, at a count of images seen.

    Weights, gradients, Adam's moments and the average are counted; activations are measured on meta tensors: the sizes
    of all that autograd keeps in the phase that keeps most.
    """
    counts = parameters(recipe)
    weights = sum(counts.values()) * BYTES
    kept = _kept_bytes(recipe, images_seen)
    return {
        "weights and their average": (weights + counts["generator"] * BYTES) / 2**30,
        "gradients and optimiser": weights * (1 + MOMENTS) / 2**30,
        "activations": kept / 2**30,
    }


def _kept_bytes(recipe: Recipe, images_seen: int) -> int:
    """Bytes of the largest set of tensors that one phase keeps for its backward passes."""
    moment = recipe.at(images_seen, 0)
    with torch.device("meta"):
        players = recipe.build()
        sizes = [(r.shape if r.depth is None else (r.depth, *r.shape[1:])) for r in moment.scope.reads]
        read = tuple(torch.empty(moment.batch_size, recipe.channels, *size) for size in sizes)
        condition = torch.empty(moment.batch_size, sum(recipe.groups))
    draw = Draw(read, condition, recipe.groups, moment.scope, 0, range(moment.batch_size))
    largest = 0
    for phase in recipe.phases():
        players.let_learn(phase.trains)
        kept: dict[int, int] = {}

        def keep(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            terms = phase.loss(players, draw)
        largest = max(largest, sum(kept.values()))
        del terms
    return largest


def _read(scope: Scope) -> str:
    """What a step reads of each image, such as ``16 of 128x128x128, 32x32x32``."""
    return ", ".join((f"{r.depth} of " if r.depth else "") + written(r.shape) for r in scope.reads)


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
    needs = memory(recipe, recipe.total_images - 1)
    lines += ["", f"memory      {sum(needs.values()):.2f} GiB for a step at the end (float32):"]
    lines += [f"            {gib:6.2f} GiB {part}" for part, gib in needs.items()]
    return "\n".join(lines)
