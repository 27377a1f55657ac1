"""The recipes by name."""

from collections.abc import Callable

from ganatomy.errors import Refused
from ganatomy.recipes import hagan, latent, pggan, volumes
from ganatomy.recipes.recipe import Recipe

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
    "wgan": volumes.wgan,
    "wgan-gp": volumes.wgan_gp,
    "vae-gan": volumes.vae_gan,
    "alpha-gan": volumes.alpha_gan,
    "cce-gan": volumes.cce_gan,
    "vae": volumes.vae,
    "autoregressive": latent.autoregressive,
    "latent-diffusion": latent.latent_diffusion,
    "pggan": volumes.pggan,
    "stylegan2": volumes.stylegan2,
    "relativistic": volumes.relativistic,
    "relativistic-mammogram": volumes.relativistic_mammogram,
}


def named(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        Refused: there is none; the message lists those there are.
    """
    if name not in RECIPES:
        raise Refused(f"There is no recipe {name!r}; there are {', '.join(RECIPES)}.")
    return RECIPES[name]()
