"""Objectives of generators that learn together with an encoder: alpha-GAN with optional cycle loss, VAE-GAN and VAE.

The networks are ``encoder`` E, ``generator`` G, ``discriminator`` D and, for the alpha-GAN, ``code_discriminator`` C.
x is a real image and z a standard normal code. |·| is the mean absolute value and |·|² the mean square, over voxels or
over the numbers of a code.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganatomy.config import Config
from ganatomy.nn.across import average_over_processes
from ganatomy.objectives.labels import compute_label_loss
from ganatomy.objectives.penalties import compute_squared_gradient_norms, compute_unit_norm_penalty, interpolate_points
from ganatomy.objectives.phase import (
    Batch,
    Losses,
    Networks,
    Phase,
    generate_detached_fakes,
    generate_fakes,
    score_images,
)
from ganatomy.steps.condition import Condition
from ganatomy.steps.missing import average_present
from ganatomy.steps.scope import ImageParts

LEAST_ERROR = 1e-6  # added to a VAE's mean squared error, so that its logarithm stays finite


class AlphaGAN(Config):
    """alpha-GAN (Rosca 2017) with Wasserstein losses and gradient penalties, as in the official code of Kwon 2019:

        E, G:  -D(G(E(x))) - D(G(z)) - C(E(x)) + reconstruction |x - G(E(x))| + cycle |z - E(G(z))|
        D:     -2 D(x) + D(G(E(x))) + D(G(z)) + penalty (gp(x, G(E(x))) + gp(x, G(z)))
        C:     -C(z) + C(E(x)) + penalty gp(z, E(x))
        gp(a, b) = (‖∇D(â)‖₂ - 1)², â uniformly between a and b   (Gulrajani 2017, eq. 3)

    There are two differences to Kwon 2019. The official code steps the generator's Adam twice on one gradient, which
    has the effect of a longer step; here it steps once. The paper omits -C(E(x)) from the generator's loss; the
    official code and this class include it.

    Args:
        reconstruction: weight of |x - G(E(x))|.
        cycle: weight of |z - E(G(z))|, the cycle loss in the latent space (our interpretation of CCE-GAN: Xing 2021).
        penalty: weight of every gradient penalty.
        labels: weight of the label classification on reals (D) and fakes (G), for conditional models.
    """

    kind: Literal["alpha-gan"] = "alpha-gan"
    reconstruction: float = Field(10, ge=0)
    cycle: float = Field(0, ge=0)
    penalty: float = Field(10, ge=0)
    labels: float = Field(1, ge=0)

    def build_phases(self, latent: int) -> tuple[Phase, ...]:
        """Build the phases of E and G together, of D and of C; `latent` is the width of z."""

        def encode_and_generate(networks: Networks, batch: Batch) -> Losses:
            code = self.encode(networks, batch.real[0], batch.condition)
            again, made = _decode(networks, code, batch), generate_fakes(networks, batch, "generator", latent)
            judged = [score_images(networks["discriminator"], images, batch) for images in (again, made)]
            terms = {
                "again": -judged[0].scores.mean(),
                "made": -judged[1].scores.mean(),
                "code": -networks["code_discriminator"](code).mean(),
                "reconstruction": self.reconstruction
                * average_present(_measure_distances(batch.real[0], again[0]), batch.condition),
                "labels": self.labels * compute_label_loss(judged[1].labels, batch.condition),
            }
            if self.cycle:
                z = batch.draw_noise("generator", latent)
                terms["cycle"] = (
                    self.cycle * _measure_distances(z, self.encode(networks, made[0], batch.condition)).mean()
                )
            return terms

        def discriminate(networks: Networks, batch: Batch) -> Losses:
            with torch.no_grad():
                again = _decode(networks, self.encode(networks, batch.real[0], batch.condition), batch)
            made = generate_detached_fakes(networks, batch, "discriminator", latent)
            real = score_images(networks["discriminator"], batch.real, batch)
            return {
                "again": score_images(networks["discriminator"], again, batch).scores.mean() - real.scores.mean(),
                "made": score_images(networks["discriminator"], made, batch).scores.mean() - real.scores.mean(),
                "penalty_again": self.penalty * _penalty(networks, batch, again, "again"),
                "penalty_made": self.penalty * _penalty(networks, batch, made, "made"),
                "labels": self.labels * compute_label_loss(real.labels, batch.condition),
            }

        def judge_codes(networks: Networks, batch: Batch) -> Losses:
            with torch.no_grad():
                code = self.encode(networks, batch.real[0], batch.condition)
            z, judge = batch.draw_noise("code", latent), networks["code_discriminator"]
            squares = compute_squared_gradient_norms(
                lambda at: judge(at[0]), interpolate_points((z,), (code,), batch.draw_uniform("code-penalty"))
            )
            return {
                "wasserstein": judge(code).mean() - judge(z).mean(),
                "penalty": self.penalty * compute_unit_norm_penalty(squares),
            }

        return (
            Phase("encoder_generator", ("encoder", "generator"), encode_and_generate),
            Phase("discriminator", ("discriminator",), discriminate),
            Phase("code_discriminator", ("code_discriminator",), judge_codes),
        )

    @property
    def encoder_roles(self) -> tuple[str, ...]:
        """The roles whose networks `encode` calls."""
        return ("encoder",)

    def encode(self, networks: Networks, image: Tensor, condition: Condition) -> Tensor:
        """Return E(x), the latent codes (batch, latent) of images (batch, channel, *space)."""
        code: Tensor = networks["encoder"](image)
        return code


class _Variational(Config):
    """q(z | x) = N(μ(x), σ²(x)); the encoder returns μ and log σ² side by side   (Kingma 2014, eq. 9)."""

    @property
    def encoder_roles(self) -> tuple[str, ...]:
        """The roles whose networks `encode` calls."""
        return ("encoder",)

    def encode(self, networks: Networks, image: Tensor, condition: Condition) -> Tensor:
        """Return μ(x), the means (batch, latent) of the codes of images (batch, channel, *space)."""
        mean: Tensor = networks["encoder"](image).chunk(2, 1)[0]
        return mean


class VAEGAN(_Variational):
    """VAE-GAN (Larsen 2016, algorithm 1) with voxels instead of features in the reconstruction (Kwon 2019, Sun 2022):

        E:  KL(E(x) ‖ N(0, 1)) + in_encoder |x - G(E(x))|²
        G:  in_generator |x - G(E(x))|² + softplus(-D(G(E(x)))) + softplus(-D(G(z)))
        D:  softplus(-D(x)) + softplus(D(G(E(x)))) + softplus(D(G(z)))

    KL is a mean over the numbers of the code. The default weights are those of the official code of Kwon 2019.

    Args:
        in_encoder: weight of the reconstruction in the encoder's loss.
        in_generator: weight of the reconstruction in the generator's loss.
        labels: weight of the label classification on reals (D) and fakes (G), for conditional models.
    """

    kind: Literal["vae-gan"] = "vae-gan"
    in_encoder: float = Field(10, ge=0)
    in_generator: float = Field(20, ge=0)
    labels: float = Field(1, ge=0)

    def build_phases(self, latent: int) -> tuple[Phase, ...]:
        """Build the phases of E, of G and of D; `latent` is the width of z."""

        def encode(networks: Networks, batch: Batch) -> Losses:
            code, divergence = _encode_reals(networks, batch, "encoder", latent)
            errors = (batch.real[0] - _decode(networks, code, batch)[0]).square()
            return {
                "divergence": divergence,
                "reconstruction": self.in_encoder * average_present(errors, batch.condition),
            }

        def generate(networks: Networks, batch: Batch) -> Losses:
            with torch.no_grad():
                code, _ = _encode_reals(networks, batch, "again", latent)
            again, made = _decode(networks, code, batch), generate_fakes(networks, batch, "generator", latent)
            judged = [score_images(networks["discriminator"], images, batch) for images in (again, made)]
            return {
                "reconstruction": self.in_generator
                * average_present((batch.real[0] - again[0]).square(), batch.condition),
                "again": F.softplus(-judged[0].scores).mean(),
                "made": F.softplus(-judged[1].scores).mean(),
                "labels": self.labels * compute_label_loss(judged[1].labels, batch.condition),
            }

        def discriminate(networks: Networks, batch: Batch) -> Losses:
            with torch.no_grad():
                again = _decode(networks, _encode_reals(networks, batch, "again", latent)[0], batch)
            made = generate_detached_fakes(networks, batch, "discriminator", latent)
            real = score_images(networks["discriminator"], batch.real, batch)
            return {
                "real": F.softplus(-real.scores).mean(),
                "again": F.softplus(score_images(networks["discriminator"], again, batch).scores).mean(),
                "made": F.softplus(score_images(networks["discriminator"], made, batch).scores).mean(),
                "labels": self.labels * compute_label_loss(real.labels, batch.condition),
            }

        return (
            Phase("encoder", ("encoder",), encode),
            Phase("generator", ("generator",), generate),
            Phase("discriminator", ("discriminator",), discriminate),
        )


class VAE(_Variational):
    """L = (N/2 log |x - G(E(x))|² + KL(E(x) ‖ N(0, 1))) / N, N voxels   (Kingma 2014, eq. 3; variance: Rybkin 2021).

    The variance of the voxels given the code is set to the mean squared error, which maximises the likelihood. The two
    summands therefore need no weight.
    """

    kind: Literal["vae"] = "vae"

    def build_phases(self, latent: int) -> tuple[Phase, ...]:
        """Build one phase, in which E and G learn together; `latent` is the width of z."""

        def autoencode(networks: Networks, batch: Batch) -> Losses:
            code, divergence = _encode_reals(networks, batch, "encoder", latent)
            errors = (batch.real[0] - _decode(networks, code, batch)[0]).square()
            error = average_over_processes(average_present(errors, batch.condition))
            voxels = batch.real[0][0].numel()
            return {"likelihood": (error + LEAST_ERROR).log() / 2, "divergence": divergence * latent / voxels}

        return (Phase("autoencoder", ("encoder", "generator"), autoencode, separable=False),)


def _encode_reals(networks: Networks, batch: Batch, purpose: str, latent: int) -> tuple[Tensor, Tensor]:
    """Draw z from q(z | x) for every real image x; return it with the divergence of q(z | x) from N(0, 1)."""
    return draw_code(networks["encoder"](batch.real[0]), batch.draw_noise(purpose, latent))


def draw_code(moments: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """z = μ + σ ε and KL = mean of (σ² + μ² - 1 - log σ²) / 2   (Kingma 2014, eq. 10).

    Args:
        moments: μ and log σ² side by side along the second axis.
        noise: ε, as many standard normal numbers for each image as its code has.

    Returns:
        z, in the shape of μ, and KL, a scalar: the mean over images and numbers of the code.
    """
    mean, log_variance = moments.chunk(2, 1)
    code = mean + noise.view_as(mean) * (log_variance / 2).exp()
    return code, (log_variance.exp() + mean.square() - 1 - log_variance).mean() / 2


def _decode(networks: Networks, code: Tensor, batch: Batch) -> ImageParts:
    """Return G(code) for the condition and scope of the batch."""
    images: ImageParts = networks["generator"](code, batch.condition, batch.scope)
    return images


def _penalty(networks: Networks, batch: Batch, fake: ImageParts, purpose: str) -> Tensor:
    """gp(x, fake) = E[(‖∇D(x̂)‖₂ - 1)²], x̂ uniformly between x and the fake   (Gulrajani 2017, eq. 3)."""
    squares = compute_squared_gradient_norms(
        lambda images: score_images(networks["discriminator"], images, batch).scores,
        interpolate_points(batch.real, fake, batch.draw_uniform(f"penalty-{purpose}")),
    )
    return compute_unit_norm_penalty(squares)


def _measure_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return |a - b|, the absolute differences."""
    return (a.float() - b).abs()
