"""Models of an autoencoder's codes: latent diffusion and the autoregressive model of tokens.

Players: ``encoder`` E; ``generator`` with a decoder D and a prior over codes c = E x. First the autoencoder learns,
then the prior, of codes that do not change any more (`strategies.TwoStages`). Bars are means over voxels.

    autoencoder:     |x - D(c)| + divergence KL(c || N(0, 1))            (no divergence where codes are rounded)
    flow:            |v(c_t, t) - (e - c)|^2,  c_t = (1 - t) c + t e,  e normal, t uniform        (Liu 2023, eq. 1)
    autoregressive:  -log p(token | tokens before it)                                            (van den Oord 2017)

Left out of both: the adversarial and the perceptual loss of the autoencoder, which would need a discriminator and
weights from elsewhere; reconstructions are softer for it.
"""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganatomy.config import Value
from ganatomy.objectives.autoencoding import drawn_code
from ganatomy.objectives.phase import Draw, Phase, Players, Terms


class LatentDiffusion(Value):
    """Codes of a variational autoencoder as the end of a flow that begins in noise.

    Args:
        divergence: weight of the divergence of codes from the normal distribution, a mean over the code's numbers.
    """

    kind: Literal["latent-diffusion"] = "latent-diffusion"
    divergence: float = Field(1e-3, ge=0)

    def phases(self, latent: int) -> tuple[Phase, ...]:
        def autoencode(players: Players, draw: Draw) -> Terms:
            generator: Any = players["generator"]
            codes, divergence = drawn_code(players["encoder"](draw.real[0]), draw.noise("autoencoder", latent))
            again = generator.decoder(codes)
            return {"reconstruction": (draw.real[0] - again).abs().mean(), "divergence": self.divergence * divergence}

        def flow(players: Players, draw: Draw) -> Terms:
            generator: Any = players["generator"]
            with torch.no_grad():
                codes = generator.scale(players["encoder"](draw.real[0]).chunk(2, 1)[0])
            noise, time = draw.noise("prior", latent).view_as(codes), draw.uniform("time")
            share = time.view(-1, *[1] * (codes.ndim - 1))
            velocity = generator.velocity(codes.lerp(noise, share), time, draw.condition)
            return {"flow": (velocity - (noise - codes)).square().mean()}

        return (
            Phase("autoencoder", ("encoder", "generator"), autoencode, part="autoencoder"),
            Phase("prior", ("generator",), flow, part="prior"),
        )

    @property
    def encoders(self) -> tuple[str, ...]:
        return ("encoder",)

    def encode(self, players: Players, image: Tensor, condition: Tensor) -> Tensor:
        """The noise (batch, latent) from which the flow leads to images (batch, channel, *space)."""
        generator: Any = players["generator"]
        codes = generator.scaled(players["encoder"](image).chunk(2, 1)[0])
        noise: Tensor = generator.flown(codes, condition, 0.0, 1.0)
        return noise.flatten(1)


class Autoregressive(Value):
    """Rounded codes of an autoencoder, each predicted from those before it."""

    kind: Literal["autoregressive"] = "autoregressive"

    def phases(self, latent: int) -> tuple[Phase, ...]:
        def autoencode(players: Players, draw: Draw) -> Terms:
            generator: Any = players["generator"]
            again = generator.decoder(generator.rounded(players["encoder"](draw.real[0])))
            return {"reconstruction": (draw.real[0] - again).abs().mean()}

        def predict(players: Players, draw: Draw) -> Terms:
            generator: Any = players["generator"]
            with torch.no_grad():
                tokens = generator.tokens(players["encoder"](draw.real[0]))
            logits = generator.logits(tokens[:, :-1], draw.condition)
            return {"surprise": F.cross_entropy(logits.flatten(0, 1), tokens.flatten())}

        return (
            Phase("autoencoder", ("encoder", "generator"), autoencode, part="autoencoder"),
            Phase("prior", ("generator",), predict, part="prior"),
        )

    @property
    def encoders(self) -> tuple[str, ...]:
        return ("encoder",)

    def encode(self, players: Players, image: Tensor, condition: Tensor) -> Tensor:
        """Latent codes (batch, tokens) for which the tokens of images (batch, channel, *space) are drawn again."""
        generator: Any = players["generator"]
        codes: Tensor = generator.latents(generator.tokens(players["encoder"](image)), condition)
        return codes
