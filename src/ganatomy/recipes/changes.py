"""Changes of a recipe by dotted paths or a YAML file.

Changes are merged into the complete base recipe, so that all other values are kept, and then validated.
"""

import math
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ganatomy.config import end_sentence, explain_validation_error, suggest_name
from ganatomy.errors import Refused
from ganatomy.recipes.recipe import Recipe


def change_recipe(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """Replace values of a recipe by dotted paths, such as ``{"strategy.fade_kimg": 300}``.

    Raises:
        Refused: a path does not exist, or a value is not accepted there.
    """
    plain = recipe.model_dump(mode="json")
    for path, value in changes.items():
        _set_value(plain, path, value)
    return _validate_recipe(plain, ", ".join(changes))


KIMG_FIELD = "kimg"  # the names of all lengths in thousands of images end in this word


def change_pace(recipe: Recipe, pace: float) -> Recipe:
    """Multiply every length in thousands of images of a recipe by `pace`; 1 = no change.

    Fades and stable phases, the changes of learning rates and of discriminator updates, the half-life of the averaged
    weights and the end of the training keep their proportions.

    Raises:
        Refused: `pace` is not above zero.

    Example:
        >>> from ganatomy import RECIPES
        >>> short = change_pace(RECIPES["pggan-mammogram"](), 0.01)
        >>> short.total_kimg, short.strategy.fade_kimg, short.optimizers["generator"].lr.from_kimg
        (150.0, 6.0, 90.0)
    """
    if not 0 < pace < math.inf:
        raise Refused(f"A pace of {pace:g} is not accepted; give a number above zero, such as 0.01.")
    return _validate_recipe(_scale_lengths(recipe.model_dump(mode="json"), pace), f"a pace of {pace:g}")


def _scale_lengths(plain: Any, pace: float, name: str = "") -> Any:
    if isinstance(plain, dict):
        return {key: _scale_lengths(value, pace, key) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_scale_lengths(value, pace) for value in plain]
    return plain * pace if name.split("_")[-1] == KIMG_FIELD else plain


def read_recipe(path: Path, base_recipes: dict[str, Recipe]) -> Recipe:
    """Read a recipe from a YAML file that names a base recipe and the settings that differ.

    The file contains ``base: NAME`` and any fields of a recipe, nested as in ``recipe.json``. With ``pace: NUMBER``,
    all lengths of the base are multiplied by this number first (`change_pace`).
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise Refused(f"The recipe file {path} cannot be read: {str(error).splitlines()[0]}.") from error
    base = content.pop("base", None) if isinstance(content, dict) else None
    if base not in base_recipes:
        raise Refused(f"{path} must say 'base: NAME' with one of {', '.join(base_recipes)}; it says {base!r}.")
    pace = content.pop("pace", 1)
    if not isinstance(pace, int | float):
        raise Refused(f"{path}: pace must be a number above zero, such as 0.01; it is {pace!r}.")
    plain = change_pace(base_recipes[base], pace).model_dump(mode="json")
    _merge(plain, content, str(path))
    return _validate_recipe(plain, str(path))


def _set_value(plain: Any, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for depth, part in enumerate(parents):
        plain = plain[_resolve_key(plain, part, ".".join(parents[:depth]))]
    plain[_resolve_key(plain, last, ".".join(parents))] = value


def _resolve_key(plain: Any, key: str, where: str) -> Any:
    if isinstance(plain, list):
        if key.isdigit() and int(key) < len(plain):
            return int(key)
        raise Refused(f"{where}.{key} is not in the recipe: {where} has entries 0 to {len(plain) - 1}.")
    names = list(plain) if isinstance(plain, dict) else []
    if key in names:
        return key
    path = ".".join(filter(None, (where, key)))
    raise Refused(end_sentence(f"{path} is not in the recipe; {suggest_name(key, names)}"))


def _merge(plain: Any, content: Any, where: str) -> None:
    for name, value in content.items():
        step = _resolve_key(plain, str(name), where)
        if isinstance(plain[step], dict) and isinstance(value, dict) and "kind" not in value:
            _merge(plain[step], value, f"{where}: {name}")
        else:
            plain[step] = value


def _validate_recipe(plain: dict[str, Any], what: str) -> Recipe:
    try:
        return Recipe.model_validate(plain)
    except ValidationError as error:
        why = explain_validation_error(error, Recipe)
        raise Refused(end_sentence(f"The recipe does not accept {what}: {why}")) from error
