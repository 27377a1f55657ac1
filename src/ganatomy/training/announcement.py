"""The announcement of a training: its run folder, store, device and settings, and how many images it will see."""

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
    """Describe a training that is about to begin, in lines for the user.

    Args:
        path: the run's folder.
        continued: whether the run was begun before.
        recipe: the recipe that is trained.
        store: the store of its training images.
        device: the device of this process.
        settings: the compute settings.
        processes: number of processes that share every batch.
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
        f"end         at {recipe.total_kimg:g} kimg; the time left is shown after the first steps",
        *describe_idle_schedules(recipe),
    ]
    return "\n".join(lines)
