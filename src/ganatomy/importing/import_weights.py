"""The verb `import`: make a run with a snapshot from weights that another program has trained."""

import math
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ganatomy.checkpoint import UNKNOWN_STORE, save_weights
from ganatomy.errors import Refused
from ganatomy.importing.layout import Found, Layout, Weights, assign_roles, convert_tensors
from ganatomy.importing.table import get_layout
from ganatomy.importing.weights_file import read_weights_file
from ganatomy.machine.durable import compute_sha256, write_json
from ganatomy.machine.places import get_temporary_path, remove_leftovers
from ganatomy.modalities.table import get_modality
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.recipes.recipe import Recipe
from ganatomy.training.run import Run, describe_environment, hold_folder, number_new_run

STEPS_PATTERN = re.compile(r"iter_?(\d+)")  # in a file's name: number of training steps of its weights
NO_FACTS: Mapping[str, Any] = {}


def import_weights(
    files: Sequence[Path | str],
    recipe: str,
    shape: Sequence[int],
    out: str | PathLike[str] = "runs",
    modality: str = "chest_ct",
    spacing: Sequence[float] | None = None,
    value_range: tuple[float, float] | None = None,
    condition: Mapping[str, Sequence[str]] = NO_FACTS,
    fact: Mapping[str, str] = NO_FACTS,
) -> Run:
    """Make a run with a snapshot from files that another program has written; no code of the files is run.

    Args:
        files: files of ``torch.save``, in any order; one of them contains the generator. `encode` needs the encoders;
            `evaluate`'s search for failures and further training need the discriminator.
        recipe: the recipe of the weights, one of `importing.table.LAYOUTS`.
        shape: voxels per axis of the images that the weights generate.
        out: folder of runs, in which a new run is made.
        modality: the modality of the images.
        spacing: millimetres per voxel for each axis, or one number for all axes; None = unknown.
        value_range: the values of the modality (HU, or grey values from 0 to 1) that correspond to -1 and 1; None = the
            range of the program's own preprocessing if it is known, else that of our stores.
        condition: the classes of the model by fact, in the order of its inputs.
        fact: facts that all training images had in common, such as ``{"view_position": "MLO"}``.

    Returns:
        The run, which holds one snapshot.

    Raises:
        Refused: a file contains more than tensors, or the recipe needs other tensors; the message names them.

    Example:
        >>> import ganatomy, torch
        >>> from ganatomy.errors import Refused
        >>> torch.save({"model": {"fc1.weight": torch.zeros(3, 2)}}, "G_iter80000.pth")
        >>> try:
        ...     ganatomy.import_weights(["G_iter80000.pth"], "hagan-2022", (256, 256, 256), "runs")
        ... except Refused as refusal:
        ...     print(str(refusal).split(",")[0])
        G_iter80000.pth is a generator with -1022 classes
    """
    paths = [Path(file) for file in files]
    if not paths:
        raise Refused("No file is given; give the files of the weights, such as G_iter80000.pth.")
    layout = get_layout(recipe)
    _check_values(value_range)
    get_modality(modality)
    base = change_recipe(get_recipe(recipe).resize(tuple(shape)), {"conditions": _list_classes(condition)})
    found, digests = _read_networks(paths, layout)
    fitted, weights, roles = _convert_networks(found, layout, base)
    each = _spread_spacing(spacing, fitted)
    images = _count_images(roles["generator"].file, fitted)
    metadata = {
        "images": images,
        "seed": 0,
        "modality": modality,
        "spacing": each,
        "value_range": _choose_range(value_range or layout.value_ranges.get(modality), modality),
        "trained_on": {
            "fingerprint": UNKNOWN_STORE,
            "facts": {**{n: dict.fromkeys(v, 0) for n, v in condition.items()}, **{n: {v: 0} for n, v in fact.items()}},
        },
        "imported": {"layout": recipe, "sha256": {role: digests[one.file] for role, one in roles.items()}},
    }
    return _write_run(Path(out), fitted, weights, metadata)


def _list_classes(conditions: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {name: [str(value) for value in values] for name, values in conditions.items()}


def _check_values(value_range: tuple[float, float] | None) -> None:
    if value_range is not None and not (all(map(math.isfinite, value_range)) and value_range[0] < value_range[1]):
        raise Refused(
            f"The range {value_range[0]:g} to {value_range[1]:g} is empty or not finite; give two numbers, the lower"
            " first."
        )


def _choose_range(value_range: tuple[float, float] | None, modality: str) -> tuple[float, float] | None:
    """Return the range that a snapshot has to record; None if it is that of our stores."""
    return None if value_range == get_modality(modality).value_range else value_range


def _spread_spacing(spacing: Sequence[float] | None, recipe: Recipe) -> tuple[float, ...] | None:
    """Return one number per axis.

    Raises:
        Refused: there is neither one number nor one per axis, or a number is not above zero.
    """
    if spacing is None:
        return None
    each = tuple(spacing) * len(recipe.shape) if len(spacing) == 1 else tuple(spacing)
    if len(each) != len(recipe.shape) or not all(math.isfinite(mm) and mm > 0 for mm in each):
        told = ",".join(f"{mm:g}" for mm in spacing)
        raise Refused(
            f"The spacing {told} does not fit; give 1 or {len(recipe.shape)} numbers above zero, in millimetres."
        )
    return each


def _read_networks(paths: list[Path], layout: Layout) -> tuple[list[Found], dict[str, str]]:
    """Read the networks of all files; return them with the hash of each file by its name."""
    found, digests = [], {}
    for path in paths:
        networks = layout.list_networks(read_weights_file(path, layout.containers))
        if not networks:
            raise Refused(f"{path} contains no network in the layout of --recipe; give files of that model's weights.")
        found += [Found(str(path), tensors) for tensors in networks]
        digests[str(path)] = compute_sha256(path)
    return found, digests


def _convert_networks(found: list[Found], layout: Layout, base: Recipe) -> tuple[Recipe, Weights, dict[str, Found]]:
    """Return the recipe that fits the tensors, the weights of its networks, and the file of each network."""
    roles = assign_roles(found, layout.list_parts(base), base.name)
    if "generator" not in roles:
        raise Refused(f"None of the files holds a generator, only {' and '.join(roles)}; give that file as well.")
    fitted = layout.fit_recipe(base, roles["generator"])
    parts = layout.list_parts(fitted)
    return fitted, {role: convert_tensors(role, one, parts[role], fitted) for role, one in roles.items()}, roles


def _count_images(file: str, recipe: Recipe) -> int:
    """Compute the images seen: the steps in the file's name times the batch size, else the number of the recipe."""
    told = STEPS_PATTERN.search(Path(file).name)
    return recipe.total_images if told is None else int(told[1]) * recipe.plan_step(0, 0).batch_size


def _write_run(out: Path, recipe: Recipe, weights: Weights, metadata: Mapping[str, Any]) -> Run:
    """Write a new run into a folder of runs; after an error nothing of it remains."""
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out, "import")
    temporary = get_temporary_path(out / "import")
    try:
        save_weights(temporary / "snapshots" / f"{metadata['images']:09d}", weights, recipe, metadata)
        write_json(temporary / "environment.json", describe_environment(metadata["seed"]))
        write_json(temporary / "recipe.json", recipe.model_dump(mode="json"))
        with hold_folder(out):
            run = number_new_run(out, recipe)
            shutil.rmtree(run.path, ignore_errors=True)  # a folder without a recipe.json is the rest of a killed run
            os.replace(temporary, run.path)
        return run
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
