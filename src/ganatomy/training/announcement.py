"""What a training says before it begins: where, on what, with what, until when."""

from pathlib import Path

import torch

from ganatomy.data.store import Store
from ganatomy.pyramid import format_shape
from ganatomy.recipes.recipe import Recipe
from ganatomy.training.computing import ComputeSettings
from ganatomy.training.plan import count_parameters, describe_idle_schedules


def describe_training(
    path: Path,
    continued: bool,
    recipe: Recipe,
    store: Store,
    device: torch.device,
    settings: ComputeSettings,
    processes: int,
) -> str:
    """Lines for the user; the names are those of the run's files.

    Args:
        path: the run's folder.
        continued: whether it has been begun before.
        processes: that share every batch.
    """
    about, counts = store.manifest, count_parameters(recipe)
    cases = about.splits.get("train", 0)
    where = f"{device.type}, {torch.get_num_threads()} threads" if device.type == "cpu" else str(device)
    where += f", {settings.precision}" + (f", {processes} processes" if processes > 1 else "")
    lines = [
        f"run         {path} ({'continued' if continued else 'new'})",
        f"model       {recipe.name}, {format_shape(recipe.shape)}",
        f"device      {where}",
        f"cases       {cases} training images of {store.path.name}, {about.patients} patients in all its splits",
        f"parameters  {sum(counts.values()):,}",
        f"end         at {recipe.total_kimg:g} kimg; the time left is told after the first steps",
        *describe_idle_schedules(recipe),
    ]
    return "\n".join(lines)
