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

from ganatomy.config import Value
from ganatomy.nn.across import averaged
from ganatomy.objectives.labels import label_entropy
from ganatomy.objectives.penalties import between, squared_slopes, unit_slope
from ganatomy.objectives.phase import Draw, Phase, Players, Terms, fakes, frozen_fakes
from ganatomy.steps.scope import Images
from ganatomy.steps.space import Verdict

LEAST_ERROR = 1e-6  # of a VAE's voxels: keeps the logarithm finite


class AlphaGAN(Value):
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

    def phases(self, latent: int) -> tuple[Phase, ...]:
        def encode_and_generate(players: Players, draw: Draw) -> Terms:
            code = self.encode(players, draw.real[0], draw.condition)
            again, made = _decoded(players, code, draw), fakes(players, draw, "generator", latent)
            judged = [_judged(players, images, draw) for images in (again, made)]
            terms = {
                "again": -judged[0].scores.mean(),
                "made": -judged[1].scores.mean(),
                "code": -players["code_discriminator"](code).mean(),
                "reconstruction": self.reconstruction * _distance(draw.real[0], again[0]),
                "labels": self.labels * label_entropy(judged[1].labels, draw),
            }
            if self.cycle:
                z = draw.noise("generator", latent)
                terms["cycle"] = self.cycle * _distance(z, self.encode(players, made[0], draw.condition))
            return terms

        def discriminate(players: Players, draw: Draw) -> Terms:
            with torch.no_grad():
                again = _decoded(players, self.encode(players, draw.real[0], draw.condition), draw)
            made = frozen_fakes(players, draw, "discriminator", latent)
            real = _judged(players, draw.real, draw)
            return {
                "again": _judged(players, again, draw).scores.mean() - real.scores.mean(),
                "made": _judged(players, made, draw).scores.mean() - real.scores.mean(),
                "penalty_again": self.penalty * _penalty(players, draw, again, "again"),
                "penalty_made": self.penalty * _penalty(players, draw, made, "made"),
                "labels": self.labels * label_entropy(real.labels, draw),
            }

        def judge_codes(players: Players, draw: Draw) -> Terms:
            with torch.no_grad():
                code = self.encode(players, draw.real[0], draw.condition)
            z, judge = draw.noise("code", latent), players["code_discriminator"]
            squares = squared_slopes(lambda at: judge(at[0]), between((z,), (code,), draw.uniform("code-penalty")))
            return {"wasserstein": judge(code).mean() - judge(z).mean(), "penalty": self.penalty * unit_slope(squares)}

        return (
            Phase("encoder_generator", ("encoder", "generator"), encode_and_generate),
            Phase("discriminator", ("discriminator",), discriminate),
            Phase("code_discriminator", ("code_discriminator",), judge_codes),
        )

    @property
    def encoders(self) -> tuple[str, ...]:
        return ("encoder",)

    def encode(self, players: Players, image: Tensor, condition: Tensor) -> Tensor:
        """Latent codes (batch, latent) of images (batch, channel, *space)."""
        code: Tensor = players["encoder"](image)
        return code


class _Variational(Value):
    """An encoder that gives mean and logarithm of the variance of a code."""

    @property
    def encoders(self) -> tuple[str, ...]:
        return ("encoder",)

    def encode(self, players: Players, image: Tensor, condition: Tensor) -> Tensor:
        """The mean of the codes (batch, latent) of images (batch, channel, *space)."""
        mean: Tensor = players["encoder"](image).chunk(2, 1)[0]
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

    def phases(self, latent: int) -> tuple[Phase, ...]:
        def encode(players: Players, draw: Draw) -> Terms:
            code, divergence = _drawn(players, draw, "encoder", latent)
            error = (draw.real[0] - _decoded(players, code, draw)[0]).square().mean()
            return {"divergence": divergence, "reconstruction": self.in_encoder * error}

        def generate(players: Players, draw: Draw) -> Terms:
            with torch.no_grad():
                code, _ = _drawn(players, draw, "again", latent)
            again, made = _decoded(players, code, draw), fakes(players, draw, "generator", latent)
            judged = [_judged(players, images, draw) for images in (again, made)]
            return {
                "reconstruction": self.in_generator * (draw.real[0] - again[0]).square().mean(),
                "again": F.softplus(-judged[0].scores).mean(),
                "made": F.softplus(-judged[1].scores).mean(),
                "labels": self.labels * label_entropy(judged[1].labels, draw),
            }

        def discriminate(players: Players, draw: Draw) -> Terms:
            with torch.no_grad():
                again = _decoded(players, _drawn(players, draw, "again", latent)[0], draw)
            made = frozen_fakes(players, draw, "discriminator", latent)
            real = _judged(players, draw.real, draw)
            return {
                "real": F.softplus(-real.scores).mean(),
                "again": F.softplus(_judged(players, again, draw).scores).mean(),
                "made": F.softplus(_judged(players, made, draw).scores).mean(),
                "labels": self.labels * label_entropy(real.labels, draw),
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

    def phases(self, latent: int) -> tuple[Phase, ...]:
        def autoencode(players: Players, draw: Draw) -> Terms:
            code, divergence = _drawn(players, draw, "encoder", latent)
            error = averaged((draw.real[0] - _decoded(players, code, draw)[0]).square().mean())
            voxels = draw.real[0][0].numel()
            return {"likelihood": (error + LEAST_ERROR).log() / 2, "divergence": divergence * latent / voxels}

        return (Phase("autoencoder", ("encoder", "generator"), autoencode, separable=False),)


def _drawn(players: Players, draw: Draw, purpose: str, latent: int) -> tuple[Tensor, Tensor]:
    """A code of each real image, and the divergence of what it was drawn from, a mean over the code's numbers."""
    return drawn_code(players["encoder"](draw.real[0]), draw.noise(purpose, latent))


def drawn_code(moments: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The same from mean and logarithm of the variance side by side, with as many normal numbers as a code has."""
    mean, log_variance = moments.chunk(2, 1)
    code = mean + noise.view_as(mean) * (log_variance / 2).exp()
    return code, (log_variance.exp() + mean.square() - 1 - log_variance).mean() / 2


def _decoded(players: Players, code: Tensor, draw: Draw) -> Images:
    images: Images = players["generator"](code, draw.condition, draw.scope)
    return images


def _judged(players: Players, images: Images, draw: Draw) -> Verdict:
    verdict: Verdict = players["discriminator"](images, draw.condition, draw.scope)
    return verdict


def _penalty(players: Players, draw: Draw, fake: Images, purpose: str) -> Tensor:
    places = between(draw.real, fake, draw.uniform(f"penalty-{purpose}"))
    return unit_slope(squared_slopes(lambda images: _judged(players, images, draw).scores, places))


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a.float() - b).abs().mean()
