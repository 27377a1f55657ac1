"""The recommended recipes, which are made to need less time and fewer patients than the published forms."""

from ganatomy.networks.hierarchical import HierarchicalGenerator
from ganatomy.networks.hierarchical_discriminator import HierarchicalDiscriminator
from ganatomy.networks.residual import ProjectionDiscriminator, ResidualGenerator
from ganatomy.objectives.adversarial import Adversarial, LossTerm
from ganatomy.objectives.augmentation import Augmentation
from ganatomy.objectives.penalties import ZeroCentredPenalty
from ganatomy.objectives.scores import Relativistic
from ganatomy.recipes.changes import change_pace
from ganatomy.recipes.hagan import BETAS, LABEL_LOSS, make_hagan
from ganatomy.recipes.recipe import Adam, Recipe
from ganatomy.steps.schedules import LinearSchedule
from ganatomy.steps.strategies import ProgressiveGrowing

MAMMOGRAM_KIMG = 8_000
BATCH_SIZES = (32, 32, 32, 16, 8, 8, 8, 4, 4)  # by level; small batches give many steps with few patients
MAMMOGRAM_PACE = 3  # lengths of `hagan-mammogram` divided by those of `volume`
PENALTY_INTERVAL = 4  # steps; the penalty is multiplied by this number
# Each fake is paired with a real image, and both have a penalty on the discriminator's gradient (Huang 2024, "R3GAN").
PAIRS: tuple[LossTerm, ...] = (
    Relativistic(),
    ZeroCentredPenalty(at="reals", weight=1, every=PENALTY_INTERVAL),
    ZeroCentredPenalty(at="fakes", weight=1, every=PENALTY_INTERVAL),
)


def make_mammogram() -> Recipe:
    """Mammograms, recommended form: residual networks and relativistic pairs, 1280 x 1024, conditioned on the view.

    Levels fade in from 20 x 16 on. The discriminator uses the label by projection (Miyato and Koyama 2018). Reals and
    fakes are augmented by shifts and changes of contrast (Zhao 2020). The learning rate falls in the second half. The
    recipe has been trained at 80 x 64 only; the lengths for the full size are our guess.
    """
    half = MAMMOGRAM_KIMG / 2
    adam = Adam(lr=LinearSchedule(first=0.005, last=0.0005, from_kimg=half, to_kimg=MAMMOGRAM_KIMG), betas=(0.0, 0.99))
    return Recipe(
        name="mammogram",
        shape=(1280, 1024),
        latent=512,
        conditions={"view_position": ("CC", "MLO")},
        networks={"generator": ResidualGenerator(), "discriminator": ProjectionDiscriminator()},
        objectives=(
            Adversarial(
                terms=PAIRS, augmentation=Augmentation(brightness=0, contrast=0.1, translation=0.06), share_fakes=True
            ),
        ),
        strategy=ProgressiveGrowing(first_level=2, fade_kimg=500, stable_kimg=500, batch_sizes=BATCH_SIZES),
        optimizers={"generator": adam, "discriminator": adam},
        ema_half_life_kimg=100,
        total_kimg=MAMMOGRAM_KIMG,
    )


def make_volume() -> Recipe:
    """Volumes, recommended form: `hagan` with relativistic pairs and a discriminator of twice the features, 256 cubed.

    A pass of HA-GAN's discriminator takes 3 to 5 % of the operations of a generator's pass, so a wider discriminator
    costs little. Air has exactly the lowest value (`HierarchicalGenerator.bound`). The learning rates fall in the
    second half.
    """
    base = make_hagan()
    half = base.total_kimg / 2
    slow, fast = (
        Adam(lr=LinearSchedule(first=lr, last=lr / 10, from_kimg=half, to_kimg=base.total_kimg), betas=BETAS)
        for lr in (1e-4, 2e-4)
    )
    return base.replace(
        name="volume",
        networks={
            "generator": HierarchicalGenerator(bound="clamp", texture=True),
            "discriminator": HierarchicalDiscriminator(features=128),
        },
        objectives=(Adversarial(terms=(*PAIRS, LABEL_LOSS), share_fakes=True),),
        optimizers={"generator": slow, "discriminator": fast},
    )


def make_hagan_mammogram() -> Recipe:
    """HA-GAN for mammograms: slabs at full size and the whole at a quarter, 1280 x 1024 or 4096 x 3328, by view.

    It is `volume` with two axes, conditioned on the view; ``--condition laterality`` adds the side. A step computes an
    eighth of the rows at full resolution, so the native size of a detector fits one GPU. Of `hagan` and `volume`, the
    latter is the base, because air is exactly the lowest value, as in an exported mammogram, and noise from the code
    gives texture that fits full resolution. It has no augmentation, since the mean of a slab is not that of the breast.
    The recipe has been trained for a few steps only; its length, three times that of `volume`, is our guess.
    """
    return change_pace(make_volume(), MAMMOGRAM_PACE).replace(
        name="hagan-mammogram", shape=(1280, 1024), latent=512, conditions={"view_position": ("CC", "MLO")}
    )
