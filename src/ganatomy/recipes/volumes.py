"""The systems that HA-GAN was compared with (Sun 2022, table 1), for CT and MRI volumes of 128 cubed.

The paper names these systems without their settings. The networks of WGAN, alpha-GAN and VAE-GAN follow the first
version of HA-GAN's official repository; the losses and weights of the last two follow Kwon 2019. Each docstring states
the sources and our own assumptions.
"""

from ganatomy.networks.convolutional import (
    CodeDiscriminator,
    ConvolutionalDiscriminator,
    ConvolutionalEncoder,
    ConvolutionalGenerator,
)
from ganatomy.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from ganatomy.networks.style import ResidualDiscriminator, StyleGenerator
from ganatomy.objectives.adversarial import Adversarial
from ganatomy.objectives.augmentation import Augmentation
from ganatomy.objectives.autoencoding import VAE, VAEGAN, AlphaGAN
from ganatomy.objectives.labels import LabelClassification
from ganatomy.objectives.penalties import Drift, GradientPenalty, WeightClipping, ZeroCentredPenalty
from ganatomy.objectives.scores import NonSaturating, Relativistic, Wasserstein
from ganatomy.recipes.recipe import Adam, Recipe
from ganatomy.steps.schedules import ConstantSchedule
from ganatomy.steps.strategies import ProgressiveGrowing, WholeImages

SHAPE = (128, 128, 128)
TOTAL_KIMG = 320  # 80,000 steps of 4, as HA-GAN was trained
EMA_HALF_LIFE_KIMG = 2  # half-life of the averaged weights, as in `hagan`; the papers mention no average
CRITIC_UPDATES = 5  # updates per step, each with other images


def make_wgan() -> Recipe:
    """WGAN with weight clipping and five critic updates per step (Arjovsky 2017; network: Sun 2022, official code).

    The clipping limit 0.01 and the learning rate 5e-5 are those of the paper. RMSProp, which the paper recommends, is
    replaced by Adam without momentum. The critic sees five times as many images as the generator, so the length of the
    training, which counts images of the critic, is five times as large, and the generator has as many steps as in the
    other rows.
    """
    adam = Adam(lr=5e-5, betas=(0.0, 0.99))
    return Recipe(
        name="wgan",
        shape=SHAPE,
        latent=1024,
        networks={"generator": ConvolutionalGenerator(), "discriminator": ConvolutionalDiscriminator()},
        objectives=(
            Adversarial(
                terms=(Wasserstein(), WeightClipping(limit=0.01), LabelClassification()),
                discriminator_updates=ConstantSchedule(value=CRITIC_UPDATES),
            ),
        ),
        strategy=WholeImages(batch_size=4),
        optimizers={"generator": adam, "discriminator": adam},
        ema_half_life_kimg=CRITIC_UPDATES * EMA_HALF_LIFE_KIMG,
        total_kimg=CRITIC_UPDATES * TOTAL_KIMG,
    )


def make_wgan_gp() -> Recipe:
    """WGAN with the gradient penalty instead of clipping and without normalisation in the critic (Gulrajani 2017)."""
    adam = Adam(lr=1e-4, betas=(0.0, 0.9))
    return make_wgan().replace(
        name="wgan-gp",
        networks={"generator": ConvolutionalGenerator(), "discriminator": ConvolutionalDiscriminator(norm="none")},
        objectives=(
            Adversarial(
                terms=(Wasserstein(), GradientPenalty(weight=10), LabelClassification()),
                discriminator_updates=ConstantSchedule(value=CRITIC_UPDATES),
            ),
        ),
        optimizers={"generator": adam, "discriminator": adam},
    )


def make_alpha_gan() -> Recipe:
    """alpha-GAN with Wasserstein losses and gradient penalties on images and codes (Kwon 2019).

    Latent width, batch size, learning rate, betas and weights are those of Kwon 2019. The networks are the baselines of
    HA-GAN's official repository, without batch normalisation in the discriminator, which would contradict a gradient
    penalty of single images. The generator has group normalisation instead of batch normalisation, because it receives
    both codes of images and random codes, and running statistics over both fit neither (with batch normalisation, early
    samples were black).
    """
    adam = Adam(lr=2e-4, betas=(0.9, 0.999))
    roles = ("encoder", "generator", "discriminator", "code_discriminator")
    return make_wgan().replace(
        name="alpha-gan",
        latent=1000,
        ema_half_life_kimg=EMA_HALF_LIFE_KIMG,
        total_kimg=TOTAL_KIMG,
        networks={
            "encoder": ConvolutionalEncoder(),
            "generator": ConvolutionalGenerator(norm="group"),
            "discriminator": ConvolutionalDiscriminator(norm="none"),
            "code_discriminator": CodeDiscriminator(),
        },
        objectives=(AlphaGAN(),),
        optimizers=dict.fromkeys(roles, adam),
    )


def make_cce_gan() -> Recipe:
    """CCE-GAN: alpha-GAN with a cycle through the latent space, z to image to z (Xing 2021).

    The short paper describes an alpha-GAN with cycle consistency. Its settings were not available to us; the form
    |z - E(G z)| and its weight are our interpretation.
    """
    return make_alpha_gan().replace(name="cce-gan", objectives=(AlphaGAN(cycle=10),))


def make_vae_gan() -> Recipe:
    """VAE-GAN with a voxel-wise reconstruction loss and the weights of Kwon 2019 (Larsen 2016; Kwon 2019; Sun 2022).

    Its generator has group normalisation for the same reason as that of `alpha-gan`.
    """
    adam = Adam(lr=1e-4, betas=(0.9, 0.999))
    return make_wgan().replace(
        name="vae-gan",
        latent=1000,
        ema_half_life_kimg=EMA_HALF_LIFE_KIMG,
        total_kimg=TOTAL_KIMG,
        networks={
            "encoder": ConvolutionalEncoder(variational=True),
            "generator": ConvolutionalGenerator(norm="group"),
            "discriminator": ConvolutionalDiscriminator(),
        },
        objectives=(VAEGAN(),),
        optimizers=dict.fromkeys(("encoder", "generator", "discriminator"), adam),
    )


def make_vae() -> Recipe:
    """A variational autoencoder with the networks of `vae-gan`, to show the effect of its discriminator (Kingma 2014).

    The variance of the voxels is estimated, so no weight has to be chosen (Rybkin 2021).
    """
    base = make_vae_gan()
    roles = ("encoder", "generator")
    return base.replace(
        name="vae",
        networks={role: base.networks[role] for role in roles},
        objectives=(VAE(),),
        optimizers={role: base.optimizers[role] for role in roles},
    )


def make_pggan() -> Recipe:
    """Progressive GAN in 3D with the settings of Eklund 2020, which HA-GAN's authors seem to have used.

    There are at most 128 feature maps, no minibatch standard deviation (groups of one image), 1000 + 1000 thousand
    images per level, batches of 4, and averaged weights with a decay of 0.999 per step. The published number of images
    is far larger than that of the other rows; to compare equal budgets, shorten all lengths with --pace.
    """
    adam = Adam(lr=1e-3, betas=(0.0, 0.99))
    return Recipe(
        name="pggan",
        shape=SHAPE,
        latent=512,
        networks={
            "generator": ProgressiveGenerator(width=2048, widest=128),
            "discriminator": ProgressiveDiscriminator(width=2048, widest=128, group=1),
        },
        objectives=(
            Adversarial(terms=(Wasserstein(), GradientPenalty(), Drift(), LabelClassification()), share_fakes=False),
        ),
        strategy=ProgressiveGrowing(fade_kimg=1000, stable_kimg=1000, batch_sizes=(4,)),
        optimizers={"generator": adam, "discriminator": adam},
        ema_half_life_kimg=2.77,
        total_kimg=11_000,
    )


def make_stylegan2() -> Recipe:
    """StyleGAN2 in 3D with the non-saturating loss and R1, with the settings of 3D-StyleGAN (Karras 2020; Hong 2021).

    The settings of the HA-GAN paper are not known. The penalty is computed in every 16th step with 16 times its weight.
    """
    adam = Adam(lr=2e-3, betas=(0.0, 0.99))
    return make_pggan().replace(
        name="stylegan2",
        latent=128,
        networks={"generator": StyleGenerator(slow_biases=True), "discriminator": ResidualDiscriminator()},
        objectives=(
            Adversarial(terms=(NonSaturating(), ZeroCentredPenalty(weight=10, every=16), LabelClassification())),
        ),
        strategy=WholeImages(batch_size=4),
        optimizers={"generator": adam, "discriminator": adam},
        ema_half_life_kimg=10,
        total_kimg=6_000,
    )


def make_relativistic() -> Recipe:
    """A baseline of this project for small sets: relativistic pairs, both penalties, differentiable augmentation.

    It combines the objective of R3GAN (Huang 2024: relativistic pairing, R1 and R2) with the networks of
    `make_stylegan2` and with augmentation of real and synthetic images (Zhao 2020).
    """
    base = make_stylegan2()
    terms = (
        Relativistic(),
        ZeroCentredPenalty(at="reals", weight=1),
        ZeroCentredPenalty(at="fakes", weight=1),
        LabelClassification(),
    )
    return base.replace(
        name="relativistic",
        objectives=(Adversarial(terms=terms, augmentation=Augmentation()),),
        ema_half_life_kimg=2,
        total_kimg=TOTAL_KIMG,
    )


def make_relativistic_mammogram() -> Recipe:
    """`relativistic` for mammograms of 1280 x 1024, conditioned on the view."""
    return make_relativistic().replace(
        name="relativistic-mammogram",
        shape=(1280, 1024),
        latent=512,
        conditions={"view_position": ("CC", "MLO")},
        networks={
            "generator": StyleGenerator(width=8192, widest=512, slow_biases=True),
            "discriminator": ResidualDiscriminator(width=8192, widest=512),
        },
        total_kimg=15_000,
    )
