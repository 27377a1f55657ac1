"""Table of the recipes by name."""

from collections.abc import Callable

from ganatomy.errors import refuse_name
from ganatomy.recipes import hagan, latent, pggan, recommended, volumes
from ganatomy.recipes.recipe import Recipe

RECIPES: dict[str, Callable[[], Recipe]] = {
    "mammogram": recommended.make_mammogram,
    "volume": recommended.make_volume,
    "pggan-mammogram": pggan.make_pggan_mammogram,
    "gan-mammogram": pggan.make_gan_mammogram,
    "wgan-mammogram": pggan.make_wgan_mammogram,
    "hagan": hagan.make_hagan,
    "hagan-2022": hagan.make_hagan_2022,
    "hagan-encoder": hagan.make_hagan_encoder,
    "hagan-no-low": hagan.make_hagan_no_low,
    "hagan-no-encoder": hagan.make_hagan_no_encoder,
    "hagan-deterministic": hagan.make_hagan_deterministic,
    "wgan": volumes.make_wgan,
    "wgan-gp": volumes.make_wgan_gp,
    "vae-gan": volumes.make_vae_gan,
    "alpha-gan": volumes.make_alpha_gan,
    "cce-gan": volumes.make_cce_gan,
    "vae": volumes.make_vae,
    "autoregressive": latent.make_autoregressive,
    "latent-diffusion": latent.make_latent_diffusion,
    "pggan": volumes.make_pggan,
    "stylegan2": volumes.make_stylegan2,
    "relativistic": volumes.make_relativistic,
    "relativistic-mammogram": volumes.make_relativistic_mammogram,
}


def get_recipe(name: str) -> Recipe:
    """Build the recipe with this name.

    Raises:
        Refused: there is none; the message lists the known names.
    """
    if name not in RECIPES:
        raise refuse_name(f"There is no recipe {name!r}", name, RECIPES)
    return RECIPES[name]()
