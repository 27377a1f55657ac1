"""HA-GAN: volumes by hierarchical amortised training (Sun 2022), its encoder, and the paper's ablations."""

from ganatomy.networks.hierarchical import HierarchicalGenerator
from ganatomy.networks.hierarchical_discriminator import HierarchicalDiscriminator
from ganatomy.networks.hierarchical_encoders import GroundEncoder, HighEncoder
from ganatomy.objectives.adversarial import Adversarial
from ganatomy.objectives.hierarchical import HierarchicalReconstruction
from ganatomy.objectives.labels import LabelClassification
from ganatomy.objectives.scores import NonSaturating
from ganatomy.recipes.recipe import Adam, Recipe
from ganatomy.steps.strategies import HierarchicalAmortisation

BETAS = (0.0, 0.999)
SLOW_ADAM, FAST_ADAM = Adam(lr=1e-4, betas=BETAS), Adam(lr=4e-4, betas=BETAS)  # generator and encoders; discriminator
LABEL_LOSS = LabelClassification(real_weight=1, fake_weight=0, generator_weight=0.1)


def make_hagan_2022() -> Recipe:
    """HA-GAN as in the official code, including its peculiarities: 256 cubed, both encoders in every step (Sun 2022).

    It is trained for 80,000 steps of 4 volumes. Each peculiarity of the official code is an option:

    - `scores`: there is one adversarial loss, on the mean of both branches' scores.
    - `aligned`: the sub-volumes of the features and of the real volume differ by up to three planes.
    - `low`: the low-resolution target takes every fourth voxel.
    - `halo`: no planes are computed beyond the ends of a sub-volume.
    - `high_norm`: group statistics are those of a sub-volume in training and of the whole volume in sampling.
    - `order`: the training images keep their stored order in all epochs.
    - `ema_half_life_kimg`: the weights are not averaged.
    """
    return Recipe(
        name="hagan-2022",
        shape=(256, 256, 256),
        latent=1024,
        networks={
            "generator": HierarchicalGenerator(halo=0, high_norm="group"),
            "discriminator": HierarchicalDiscriminator(scores="averaged"),
            "high_encoder": HighEncoder(),
            "ground_encoder": GroundEncoder(),
        },
        objectives=(Adversarial(terms=(NonSaturating(), LABEL_LOSS)), HierarchicalReconstruction()),
        strategy=HierarchicalAmortisation(aligned=False, low="nearest", whole=True, batch_size=4),
        optimizers={
            "generator": SLOW_ADAM,
            "discriminator": FAST_ADAM,
            "high_encoder": SLOW_ADAM,
            "ground_encoder": SLOW_ADAM,
        },
        order="stored",
        ema_half_life_kimg=0,
        total_kimg=320,
    )


def make_hagan() -> Recipe:
    """HA-GAN, recommended form: 256 cubed, averaged weights, the same function in training and sampling.

    It differs from `hagan-2022` in the following:

    - The features and the real volume have the same sub-volume, and the low-resolution target is a mean over cells.
    - There are both adversarial terms of the figure in the paper.
    - The high-resolution head normalises every voxel separately and computes a plane of features beyond each end, so
      that a sub-volume is the same in training and in sampling.
    - The generator learns from the synthetic images that the discriminator has just scored.
    - Sampling uses averaged weights.
    - The encoders, which never change the generator, are trained afterwards (`hagan-encoder`).
    """
    old = make_hagan_2022()
    return old.replace(
        name="hagan",
        networks={"generator": HierarchicalGenerator(), "discriminator": HierarchicalDiscriminator()},
        objectives=(Adversarial(terms=(NonSaturating(), LABEL_LOSS), share_fakes=True),),
        strategy=HierarchicalAmortisation(batch_size=4),
        optimizers={"generator": SLOW_ADAM, "discriminator": FAST_ADAM},
        order="shuffled",
        ema_half_life_kimg=2,
    )


def make_hagan_encoder() -> Recipe:
    """HA-GAN's two encoders for a trained generator, which --generator RUN names."""
    return make_hagan().replace(
        name="hagan-encoder",
        networks={
            "generator": HierarchicalGenerator(),
            "high_encoder": HighEncoder(),
            "ground_encoder": GroundEncoder(),
        },
        objectives=(HierarchicalReconstruction(),),
        strategy=HierarchicalAmortisation(whole=True, batch_size=4),
        optimizers={"high_encoder": SLOW_ADAM, "ground_encoder": SLOW_ADAM},
        total_kimg=80,
    )


def make_hagan_no_low() -> Recipe:
    """The ablation without the low-resolution branch: `hagan-2022` without G^L, D^L and their terms."""
    full = make_hagan_2022()
    networks = {
        "generator": full.networks["generator"].replace(low=False),
        "discriminator": full.networks["discriminator"].replace(low=False),
    }
    return full.replace(
        name="hagan-no-low", networks={**full.networks, **networks}, strategy=full.strategy.replace(low=None)
    )


def make_hagan_no_encoder() -> Recipe:
    """The ablation without the encoders: `hagan-2022` without E^H, E^G and their phases."""
    full = make_hagan_2022()
    kept = ("generator", "discriminator")
    return full.replace(
        name="hagan-no-encoder",
        networks={role: full.networks[role] for role in kept},
        optimizers={role: full.optimizers[role] for role in kept},
        objectives=full.objectives[:1],
    )


def make_hagan_deterministic() -> Recipe:
    """The ablation with a deterministic selector: `hagan-2022` with consecutive sub-volumes (our interpretation)."""
    full = make_hagan_2022()
    return full.replace(name="hagan-deterministic", strategy=full.strategy.replace(selector="cycle"))
