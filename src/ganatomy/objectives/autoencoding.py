"""Generators that learn with an encoder: alpha-GAN with its cycle-consistent form, VAE-GAN, VAE.

Players: ``encoder`` E, ``generator`` G, ``discriminator`` D, and for the alpha-GAN a ``code_discriminator`` C. x is a
real image, z a standard normal code; bars are means over voxels.

    alpha-GAN (Rosca 2017) as Kwon 2019 trains it, with Wasserstein losses and gradient penalties gp:
        E, G:  -D(G(E x)) - D(G z) - C(E x) + reconstruction |x - G(E x)| + cycle |z - E(G z)|
        D:     -2 D(x) + D(G(E x)) + D(G z) + gp(x, G(E x)) + gp(x, G z)
        C:     -C(z) + C(E x) + gp(z, E x)
    VAE-GAN (Larsen 2016) with voxels instead of features in the reconstruction (Kwon 2019, Sun 2022):
        E:     KL(E x || N(0, 1)) + in_encoder |x - G(E x)|^2
        G:     in_generator |x - G(E x)|^2 + softplus(-D(G(E x))) + softplus(-D(G z))
        D:     softplus(-D(x)) + softplus(D(G(E x))) + softplus(D(G z))
    VAE, with no discriminator (Kingma 2014; Rybkin 2021):
        E, G:  (N/2 log |x - G(E x)|^2 + KL(E x || N(0, 1))) / N,   N voxels
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
from ganatomy.objectives.phase import Batch, Losses, Networks, Phase, generate_detached_fakes, generate_fakes
from ganatomy.steps.condition import Condition
from ganatomy.steps.scope import ImageParts
from ganatomy.steps.space import DiscriminatorOutput

LEAST_ERROR = 1e-6  # of a VAE's voxels: keeps the logarithm finite


class AlphaGAN(Config):
    """An encoder and a generator that learn together against two discriminators.

    Kwon's published code steps the generator's Adam twice on one gradient; that is nothing but a longer step, so here
    it steps once. The paper's generator loss leaves out -C(E x), which the code has; so has this.

    Args:
        reconstruction: weight of |x - G(E x)|.
        cycle: weight of |z - E(G z)|: the cycle through the latent space (CCE-GAN: Xing 2021; our reading).
        penalty: weight of every gradient penalty.
        labels: weight of the label classification on reals (D) and fakes (G), for conditional models.
    """

    kind: Literal["alpha-gan"] = "alpha-gan"
    reconstruction: float = Field(10, ge=0)
    cycle: float = Field(0, ge=0)
    penalty: float = Field(10, ge=0)
    labels: float = Field(1, ge=0)

    def build_phases(self, latent: int) -> tuple[Phase, ...]:
        def encode_and_generate(networks: Networks, batch: Batch) -> Losses:
            code = self.encode(networks, batch.real[0], batch.condition)
            again, made = _decode(networks, code, batch), generate_fakes(networks, batch, "generator", latent)
            judged = [_score_images(networks, images, batch) for images in (again, made)]
            terms = {
                "again": -judged[0].scores.mean(),
                "made": -judged[1].scores.mean(),
                "code": -networks["code_discriminator"](code).mean(),
                "reconstruction": self.reconstruction * _distance(batch.real[0], again[0]),
                "labels": self.labels * compute_label_loss(judged[1].labels, batch.condition),
            }
            if self.cycle:
                z = batch.draw_noise("generator", latent)
                terms["cycle"] = self.cycle * _distance(z, self.encode(networks, made[0], batch.condition))
            return terms

        def discriminate(networks: Networks, batch: Batch) -> Losses:
            with torch.no_grad():
                again = _decode(networks, self.encode(networks, batch.real[0], batch.condition), batch)
            made = generate_detached_fakes(networks, batch, "discriminator", latent)
            real = _score_images(networks, batch.real, batch)
            return {
                "again": _score_images(networks, again, batch).scores.mean() - real.scores.mean(),
                "made": _score_images(networks, made, batch).scores.mean() - real.scores.mean(),
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
        return ("encoder",)

    def encode(self, networks: Networks, image: Tensor, condition: Condition) -> Tensor:
        """Latent codes (batch, latent) of images (batch, channel, *space)."""
        code: Tensor = networks["encoder"](image)
        return code


class _Variational(Config):
    """An encoder that gives mean and logarithm of the variance of a code."""

    @property
    def encoder_roles(self) -> tuple[str, ...]:
        return ("encoder",)

    def encode(self, networks: Networks, image: Tensor, condition: Condition) -> Tensor:
        """The mean of the codes (batch, latent) of images (batch, channel, *space)."""
        mean: Tensor = networks["encoder"](image).chunk(2, 1)[0]
        return mean


class VAEGAN(_Variational):
    """A variational autoencoder whose decoder is the generator of a GAN.

    The weights are those of Kwon's code: 20 for the reconstruction in the generator's loss, 10 in the encoder's. The KL
    term is a mean over the code's numbers, the reconstruction one over voxels.
    """

    kind: Literal["vae-gan"] = "vae-gan"
    in_encoder: float = Field(10, ge=0)
    in_generator: float = Field(20, ge=0)
    labels: float = Field(1, ge=0)

    def build_phases(self, latent: int) -> tuple[Phase, ...]:
        def encode(networks: Networks, batch: Batch) -> Losses:
            code, divergence = _encode_reals(networks, batch, "encoder", latent)
            error = (batch.real[0] - _decode(networks, code, batch)[0]).square().mean()
            return {"divergence": divergence, "reconstruction": self.in_encoder * error}

        def generate(networks: Networks, batch: Batch) -> Losses:
            with torch.no_grad():
                code, _ = _encode_reals(networks, batch, "again", latent)
            again, made = _decode(networks, code, batch), generate_fakes(networks, batch, "generator", latent)
            judged = [_score_images(networks, images, batch) for images in (again, made)]
            return {
                "reconstruction": self.in_generator * (batch.real[0] - again[0]).square().mean(),
                "again": F.softplus(-judged[0].scores).mean(),
                "made": F.softplus(-judged[1].scores).mean(),
                "labels": self.labels * compute_label_loss(judged[1].labels, batch.condition),
            }

        def discriminate(networks: Networks, batch: Batch) -> Losses:
            with torch.no_grad():
                again = _decode(networks, _encode_reals(networks, batch, "again", latent)[0], batch)
            made = generate_detached_fakes(networks, batch, "discriminator", latent)
            real = _score_images(networks, batch.real, batch)
            return {
                "real": F.softplus(-real.scores).mean(),
                "again": F.softplus(_score_images(networks, again, batch).scores).mean(),
                "made": F.softplus(_score_images(networks, made, batch).scores).mean(),
                "labels": self.labels * compute_label_loss(real.labels, batch.condition),
            }

        return (
            Phase("encoder", ("encoder",), encode),
            Phase("generator", ("generator",), generate),
            Phase("discriminator", ("discriminator",), discriminate),
        )


class VAE(_Variational):
    """A variational autoencoder whose variance of voxels is what the error shows (Kingma 2014; Rybkin 2021).

    So nothing has to be weighed: with N voxels and the mean squared error e the likelihood's part is N/2 log e.
    """

    kind: Literal["vae"] = "vae"

    def build_phases(self, latent: int) -> tuple[Phase, ...]:
        def autoencode(networks: Networks, batch: Batch) -> Losses:
            code, divergence = _encode_reals(networks, batch, "encoder", latent)
            error = average_over_processes((batch.real[0] - _decode(networks, code, batch)[0]).square().mean())
            voxels = batch.real[0][0].numel()
            return {"likelihood": (error + LEAST_ERROR).log() / 2, "divergence": divergence * latent / voxels}

        return (Phase("autoencoder", ("encoder", "generator"), autoencode, separable=False),)


def _encode_reals(networks: Networks, batch: Batch, purpose: str, latent: int) -> tuple[Tensor, Tensor]:
    """A code of each real image, and the divergence of what it was drawn from, a mean over the code's numbers."""
    return draw_code(networks["encoder"](batch.real[0]), batch.draw_noise(purpose, latent))


def draw_code(moments: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The same from mean and logarithm of the variance side by side, with as many normal numbers as a code has."""
    mean, log_variance = moments.chunk(2, 1)
    code = mean + noise.view_as(mean) * (log_variance / 2).exp()
    return code, (log_variance.exp() + mean.square() - 1 - log_variance).mean() / 2


def _decode(networks: Networks, code: Tensor, batch: Batch) -> ImageParts:
    images: ImageParts = networks["generator"](code, batch.condition, batch.scope)
    return images


def _score_images(networks: Networks, images: ImageParts, batch: Batch) -> DiscriminatorOutput:
    verdict: DiscriminatorOutput = networks["discriminator"](images, batch.condition, batch.scope)
    return verdict


def _penalty(networks: Networks, batch: Batch, fake: ImageParts, purpose: str) -> Tensor:
    places = interpolate_points(batch.real, fake, batch.draw_uniform(f"penalty-{purpose}"))
    return compute_unit_norm_penalty(
        compute_squared_gradient_norms(lambda images: _score_images(networks, images, batch).scores, places)
    )


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a.float() - b).abs().mean()
