"""Progressive GANs for full-field digital mammograms (Korkinof 2018) and their variants in loss."""

from ganatomy.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from ganatomy.objectives.adversarial import Adversarial, LossTerm
from ganatomy.objectives.labels import LabelClassification
from ganatomy.objectives.penalties import Drift, GradientPenalty, WeightClipping
from ganatomy.objectives.scores import NonSaturating, Wasserstein
from ganatomy.recipes.recipe import Adam, Recipe
from ganatomy.steps.schedules import LinearSchedule, RisingSchedule
from ganatomy.steps.strategies import ProgressiveGrowing


def make_pggan_mammogram() -> Recipe:
    """Progressive GAN with WGAN-GP: 1280 x 1024 mammograms conditioned on the view position (Korkinof 2018).

    The paper states the size, the 15 million images, the learning rate (0.002 to 0.0015), the discriminator updates
    (from 1 to at most 5) and the selection of the snapshot. It does not state when learning rate and updates change,
    nor the batch sizes. Here the learning rate falls while the last level fades in, the updates increase by one every
    three million images, and the batch sizes are those of the official code of Karras 2018 for one GPU. The 600 + 600
    thousand images per level and the discriminator's pooling before its rectifier (`pool_first`, in fused layers) are
    defaults of the official code.
    """
    adam = Adam(
        lr=LinearSchedule(first=0.002, last=0.0015, from_kimg=9_000, to_kimg=9_600), betas=(0.0, 0.99), eps=1e-8
    )
    return Recipe(
        name="pggan-mammogram",
        shape=(1280, 1024),
        latent=512,
        conditions={"view_position": ("CC", "MLO")},
        networks={"generator": ProgressiveGenerator(), "discriminator": ProgressiveDiscriminator(pool_first=True)},
        objectives=(
            Adversarial(
                terms=(Wasserstein(), GradientPenalty(weight=10), Drift(weight=0.001), LabelClassification()),
                discriminator_updates=RisingSchedule(first=1, last=5, each_kimg=3_000),
            ),
        ),
        strategy=ProgressiveGrowing(fade_kimg=600, stable_kimg=600, batch_sizes=(128, 128, 128, 64, 32, 16, 8, 4, 4)),
        optimizers={"generator": adam, "discriminator": adam},
        total_kimg=15_000,
    )


def make_gan_mammogram() -> Recipe:
    """`pggan-mammogram` with the non-saturating GAN loss and one discriminator update per step."""
    return _replace_terms("gan-mammogram", NonSaturating(), LabelClassification(), updates=1)


def make_wgan_mammogram() -> Recipe:
    """`pggan-mammogram` with the Wasserstein loss, weight clipping and five discriminator updates (Arjovsky 2017)."""
    return _replace_terms("wgan-mammogram", Wasserstein(), WeightClipping(), LabelClassification(), updates=5)


def _replace_terms(name: str, *terms: LossTerm, updates: int) -> Recipe:
    objective = Adversarial(terms=terms, discriminator_updates=updates)
    return make_pggan_mammogram().replace(name=name, objectives=(objective,))
