"""The recipe of a training from what is asked for: a name or a file, changes to it, and facts of a store."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ganatomy.channels import ONE_IMAGE
from ganatomy.data.numbers import check_unmixed, is_number, measure_number
from ganatomy.data.store import Store, resolve_store
from ganatomy.errors import Refused
from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.recipes.changes import change_pace, change_recipe, read_recipe
from ganatomy.recipes.recipe import Recipe

VALUES_SHOWN = 5  # of a fact, in a sentence


def build_recipe(
    recipe: Recipe | str | None,
    file: Path | None = None,
    changes: Mapping[str, Any] | None = None,
    shape: Sequence[int] | None = None,
    tiny: bool = False,
    pace: float = 1,
) -> Recipe:
    """Base or file, then pace, then size, then tiny, then single changes: the later wins.

    Args:
        recipe: a name of `RECIPES`, or a recipe; None with `file`.
        file: a YAML file with a base recipe and the settings that differ.
        changes: single settings by their dotted path, such as ``{"strategy.fade_kimg": 300}``.
        shape: pixels or voxels per axis.
        tiny: the small version of the recipe.
        pace: multiplies all lengths.

    Raises:
        Refused: both or neither of a recipe and a file are given, or a change is none of the recipe's settings.
    """
    if (recipe is None) == (file is None):
        raise Refused("Give either the name of a recipe (see: ganatomy recipes) or --recipe FILE.")
    if file is not None:
        chosen = read_recipe(file, {key: make() for key, make in RECIPES.items()})
    else:
        chosen = recipe if isinstance(recipe, Recipe) else get_recipe(str(recipe))
    if pace != 1:
        chosen = change_pace(chosen, pace)
    if shape is not None:
        chosen = chosen.resize(tuple(shape))
    if tiny:
        chosen = chosen.make_tiny()
    return change_recipe(chosen, dict(changes)) if changes else chosen


def condition_recipe(recipe: Recipe, fact_names: Sequence[str], store: Store) -> Recipe:
    """The recipe conditioned on facts of the store: classes with the values of its training cases, and numbers.

    Args:
        fact_names: each a fact, or one with ``:number`` or ``:class`` behind it where its values do not tell.

    Raises:
        Refused: the store has no such fact, a value of it that no training case has, or one that is no number.
    """
    manifest, trained = store.manifest, store.count_facts("train")
    plain = recipe.model_dump(mode="json")
    conditions, numbers = dict(plain["conditions"]), dict(plain["numbers"])
    for asked in fact_names:
        name, _, kind = asked.partition(":")
        if kind not in ("", "number", "class"):
            raise Refused(f"--condition {asked}: a fact is a number or a class; give {name}:number or {name}:class.")
        if name not in manifest.facts:
            raise Refused(f"--condition {name}: the facts of the store are {', '.join(manifest.facts) or 'none'}.")
        conditions.pop(name, None)
        numbers.pop(name, None)
        if not kind:
            check_unmixed(name, manifest.facts[name])
        if kind == "number" or (not kind and is_number(manifest.facts[name])):
            numbers[name] = measure_number(name, store.split("train")).model_dump()
        else:
            conditions[name] = _list_trained_values(name, manifest.facts[name], trained[name])
    return change_recipe(recipe, {"conditions": conditions, "numbers": numbers})


def choose_recipe(
    recipe: Recipe | str | None,
    store: Store | str | PathLike[str] | None,
    file: str | PathLike[str] | None = None,
    changes: Mapping[str, Any] | None = None,
    shape: Sequence[int] | None = None,
    tiny: bool = False,
    pace: float = 1,
    condition: Sequence[str] = (),
    freeze: Sequence[str] = (),
) -> Recipe:
    """The recipe that is trained on a store: built, with the channels and facts of the store and its frozen parts.

    Args:
        recipe, file, changes, shape, tiny, pace: as in `build_recipe`.
        store: whose channels it gets, and where `condition` takes values from.
        condition: as in `condition_recipe`.
        freeze: parts that are not trained.

    Raises:
        Refused: as `build_recipe` and `condition_recipe`, or facts are to be conditioned on and there is no store.
    """
    chosen = build_recipe(recipe, None if file is None else Path(file), changes, shape, tiny, pace)
    if store is not None and chosen.channels == ONE_IMAGE:
        chosen = _follow_channels(chosen, resolve_store(store))
    if condition:
        if store is None:
            raise Refused("--condition takes its values from the store, so give the store as well.")
        chosen = condition_recipe(chosen, condition, resolve_store(store))
    return change_recipe(chosen, {"frozen": list(freeze)}) if freeze else chosen


def _follow_channels(recipe: Recipe, store: Store) -> Recipe:
    """The recipe with the channels of a store, unless it has them."""
    channels = store.manifest.channels
    return recipe if recipe.channels == channels else recipe.replace(channels=channels)


def _list_some(values: list[str]) -> str:
    """List the first of many values, and say how many more there are."""
    more = len(values) - VALUES_SHOWN
    return ", ".join(values[:VALUES_SHOWN]) + (f" and {more} other values" if more > 0 else "")


def _list_trained_values(name: str, counts: Mapping[str, int], trained: Mapping[str, int]) -> list[str]:
    """The values of a class; each has a training case.

    Raises:
        Refused: one has none.
    """
    if lost := sorted(set(counts) - set(trained)):
        raise Refused(
            f"--condition {name}: no training case has {name} {_list_some(lost)}, only {counts[lost[0]]} of validation"
            " and test, so a model could not learn it; leave such cases out of the table or give them another value,"
            f" and prepare again{f', or take it as a number: --condition {name}:number' if is_number(counts) else ''}."
        )
    return sorted(trained)
