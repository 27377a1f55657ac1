"""The recipes by name."""

from collections.abc import Callable

from ganatomy.recipe import Recipe
from ganatomy.recipes import hagan, pggan
from ganatomy.refused import Refused

RECIPES: dict[str, Callable[[], Recipe]] = {
    "pggan-mammogram": pggan.mammogram,
    "gan-mammogram": pggan.gan_mammogram,
    "wgan-mammogram": pggan.wgan_mammogram,
    "hagan": hagan.recommended,
    "hagan-2022": hagan.published,
    "hagan-encoder": hagan.encoder,
    "hagan-no-low": hagan.no_low,
    "hagan-no-encoder": hagan.no_encoder,
    "hagan-deterministic": hagan.deterministic,
}


def named(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        Refused: there is none; the message lists those there are.
    """
    if name not in RECIPES:
        raise Refused(f"There is no recipe {name!r}; there are {', '.join(RECIPES)}.")
    return RECIPES[name]()
