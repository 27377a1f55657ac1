"""Models of the codes of an autoencoder for volumes of 128 cubed, an alternative to GANs, with MONAI's networks.

They need the extra ``benchmark``. Their widths are smaller than those of published models, so that one GPU or a CPU
suffices.
"""

from ganatomy.networks.autoencoder import CodeGrid, GridEncoder
from ganatomy.networks.autoregressive import AutoregressiveGenerator
from ganatomy.networks.diffusion import LatentDiffusionGenerator
from ganatomy.objectives.latent import Autoregressive, LatentDiffusion
from ganatomy.recipes.recipe import Adam, Recipe
from ganatomy.recipes.volumes import SHAPE, TOTAL_KIMG
from ganatomy.steps.strategies import TwoStages

ADAM = Adam(lr=3e-4, betas=(0.9, 0.999))


def make_latent_diffusion() -> Recipe:
    """Latent diffusion as a flow: four numbers at every eighth voxel (Rombach 2022; Liu 2023; Pinaya 2022).

    The autoencoder has a Kullback-Leibler term and no discriminator, and an image takes 15 midpoint steps. The model of
    codes begins to learn at `strategy.autoencoder_kimg`; to shorten the training, change this and `total_kimg`.
    """
    grid = CodeGrid(halvings=3)
    generator = LatentDiffusionGenerator(grid=grid)
    return Recipe(
        name="latent-diffusion",
        shape=SHAPE,
        latent=generator.compute_latent_width(SHAPE),
        networks={"encoder": GridEncoder(grid=grid, variational=True), "generator": generator},
        objectives=(LatentDiffusion(),),
        strategy=TwoStages(autoencoder_kimg=TOTAL_KIMG / 2),
        optimizers={"encoder": ADAM, "generator": ADAM},
        ema_half_life_kimg=2,
        total_kimg=TOTAL_KIMG,
    )


def make_autoregressive() -> Recipe:
    """A transformer over tokens of every sixteenth voxel, 512 for 128 cubed (van den Oord 2017; Tudosiu 2022).

    Tokens are rounded codes instead of entries of a learnt codebook (Mentzer 2024). An image needs one pass of the
    transformer for every token, so its cost grows at least with the square of the number of voxels.
    """
    grid = CodeGrid(halvings=4)
    generator = AutoregressiveGenerator(grid=grid)
    return make_latent_diffusion().replace(
        name="autoregressive",
        latent=generator.compute_latent_width(SHAPE),
        networks={"encoder": GridEncoder(grid=grid), "generator": generator},
        objectives=(Autoregressive(),),
    )
