"""Table of the layouts by the recipe that their weights become."""

from ganatomy.errors import refuse_name
from ganatomy.importing.gan_zoo import GANZooLayout
from ganatomy.importing.hagan import HAGANLayout
from ganatomy.importing.layout import Layout

LAYOUTS: dict[str, Layout] = {"hagan-2022": HAGANLayout(), "pggan-mammogram": GANZooLayout()}


def get_layout(recipe: str) -> Layout:
    """Return the layout of files of weights for a recipe.

    Raises:
        Refused: no layout is known for the recipe.
    """
    if recipe not in LAYOUTS:
        raise refuse_name(f"There is no layout of published weights for {recipe!r}", recipe, LAYOUTS)
    return LAYOUTS[recipe]
