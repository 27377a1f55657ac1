"""The verb `import`: weights that another program has trained become a run with a snapshot."""

import math
import os
import re
import shutil
from collections.abc import Mapping, Sequence
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

STEPS_PATTERN = re.compile(r"iter_?(\d+)")  # in a file's name: how many steps its weights have seen
NO_FACTS: Mapping[str, Any] = {}


def import_weights(
    files: Sequence[Path | str],
    recipe: str,
    shape: Sequence[int],
    out: Path | str,
    modality: str = "chest_ct",
    spacing: Sequence[float] | None = None,
    value_range: tuple[float, float] | None = None,
    conditions: Mapping[str, Sequence[str]] = NO_FACTS,
    facts: Mapping[str, str] = NO_FACTS,
) -> Run:
    """Make a run with a snapshot from files that another program has written; nothing in them is run.

    Args:
        files: of ``torch.save``, in any order; one of them holds the generator. Encoders are needed for `encode`, a
            discriminator for `evaluate`'s search for failures and for training on.
        recipe: what the weights are of, one of `importing.table.LAYOUTS`.
        shape: voxels per axis of the images that they make.
        out: folder of runs; a new one is made in it.
        modality: what the images show.
        spacing: millimetres per axis of an image, or one number for all; None = not known.
        value_range: the modality's values (HU; else grey, 0 to 1) that -1 and 1 stand for; None = as the program's own
            preprocessing states, or as our stores have it.
        conditions: the classes of the model by fact, in the order of its inputs.
        facts: what all images that it was trained on had in common, such as ``{"view_position": "MLO"}``.

    Returns:
        The run, which holds one snapshot.

    Raises:
        Refused: a file holds more than tensors, or other tensors than the recipe needs; the message names them.

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
    base = change_recipe(get_recipe(recipe).resize(tuple(shape)), {"conditions": _list_classes(conditions)})
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
            "facts": {
                **{n: dict.fromkeys(v, 0) for n, v in conditions.items()},
                **{n: {v: 0} for n, v in facts.items()},
            },
        },
        "imported": {"layout": recipe, "sha256": {role: digests[one.file] for role, one in roles.items()}},
    }
    return _write_run(Path(out), fitted, weights, metadata)


def _list_classes(conditions: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {name: [str(value) for value in values] for name, values in conditions.items()}


def _check_values(value_range: tuple[float, float] | None) -> None:
    if value_range is not None and not (all(map(math.isfinite, value_range)) and value_range[0] < value_range[1]):
        raise Refused(f"The range {value_range[0]:g} to {value_range[1]:g} is none; give two numbers, the lower first.")


def _choose_range(value_range: tuple[float, float] | None, modality: str) -> tuple[float, float] | None:
    """None where the range is that of our stores, which snapshots need not say."""
    return None if value_range == get_modality(modality).value_range else value_range


def _spread_spacing(spacing: Sequence[float] | None, recipe: Recipe) -> tuple[float, ...] | None:
    """One number an axis.

    Raises:
        Refused: neither one number nor one an axis, or not above zero.
    """
    if spacing is None:
        return None
    each = tuple(spacing) * len(recipe.shape) if len(spacing) == 1 else tuple(spacing)
    if len(each) != len(recipe.shape) or not all(math.isfinite(mm) and mm > 0 for mm in each):
        told = ",".join(f"{mm:g}" for mm in spacing)
        raise Refused(
            f"The spacing {told} does not fit; give millimetres above zero, one or {len(recipe.shape)} numbers."
        )
    return each


def _read_networks(paths: list[Path], layout: Layout) -> tuple[list[Found], dict[str, str]]:
    """The networks of all files, and the hash of each file by its name."""
    found, digests = [], {}
    for path in paths:
        networks = layout.list_networks(read_weights_file(path, layout.containers))
        if not networks:
            raise Refused(f"{path} holds no network in the layout that is asked for.")
        found += [Found(str(path), tensors) for tensors in networks]
        digests[str(path)] = compute_sha256(path)
    return found, digests


def _convert_networks(found: list[Found], layout: Layout, base: Recipe) -> tuple[Recipe, Weights, dict[str, Found]]:
    """The recipe that the tensors show, the weights of its networks, and where they were found."""
    roles = assign_roles(found, layout.list_parts(base), base.name)
    if "generator" not in roles:
        raise Refused(f"None of the files holds a generator, only {' and '.join(roles)}; give that file as well.")
    fitted = layout.fit_recipe(base, roles["generator"])
    parts = layout.list_parts(fitted)
    return fitted, {role: convert_tensors(role, one, parts[role], fitted) for role, one in roles.items()}, roles


def _count_images(file: str, recipe: Recipe) -> int:
    """Images that the weights have seen: the steps in the file's name times the batch, else those of the recipe."""
    told = STEPS_PATTERN.search(Path(file).name)
    return recipe.total_images if told is None else int(told[1]) * recipe.plan_step(0, 0).batch_size


def _write_run(out: Path, recipe: Recipe, weights: Weights, metadata: Mapping[str, Any]) -> Run:
    """A new run in a folder of runs, whole or not there."""
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out, "import")
    temporary = get_temporary_path(out / "import")
    try:
        save_weights(temporary / "snapshots" / f"{metadata['images']:09d}", weights, recipe, metadata)
        write_json(temporary / "environment.json", describe_environment(metadata["seed"]))
        write_json(temporary / "recipe.json", recipe.model_dump(mode="json"))
        with hold_folder(out):
            run = number_new_run(out, recipe)
            shutil.rmtree(run.path, ignore_errors=True)  # without a recipe.json it is what a kill left
            os.replace(temporary, run.path)
        return run
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
