"""Models of an autoencoder's codes: latent diffusion and the autoregressive model of tokens.

Players: ``encoder`` E; ``generator`` with a decoder D and a prior over codes c = E x. First the autoencoder learns,
then the prior, of codes that do not change any more (`strategies.TwoStages`). Bars are means over voxels.

    autoencoder:     |x - D(c)| + divergence KL(c || N(0, 1))            (no divergence where codes are rounded)
    flow:            |v(c_t, t) - (e - c)|^2,  c_t = (1 - t) c + t e,  e normal, t uniform        (Liu 2023, eq. 1)
    autoregressive:  -log p(token | tokens before it)                                            (van den Oord 2017)

Left out of both: the adversarial and the perceptual loss of the autoencoder, which would need a discriminator and
weights from elsewhere; reconstructions are softer for it.
"""

from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganatomy.config import Config
from ganatomy.objectives.autoencoding import draw_code
from ganatomy.objectives.phase import Batch, Losses, Networks, Phase
from ganatomy.steps.condition import Condition
from ganatomy.steps.modules import FlowGenerator, TokenGenerator


class LatentDiffusion(Config):
    """Codes of a variational autoencoder as the end of a flow that begins in noise.

    Args:
        divergence: weight of the divergence of codes from the normal distribution, a mean over the code's numbers.
    """

    kind: Literal["latent-diffusion"] = "latent-diffusion"
    divergence: float = Field(1e-3, ge=0)

    def build_phases(self, latent: int) -> tuple[Phase, ...]:
        def autoencode(networks: Networks, batch: Batch) -> Losses:
            generator = cast(FlowGenerator, networks["generator"])
            codes, divergence = draw_code(networks["encoder"](batch.real[0]), batch.draw_noise("autoencoder", latent))
            again = generator.decoder(codes)
            return {"reconstruction": (batch.real[0] - again).abs().mean(), "divergence": self.divergence * divergence}

        def flow(networks: Networks, batch: Batch) -> Losses:
            generator = cast(FlowGenerator, networks["generator"])
            with torch.no_grad():
                codes = generator.scale(networks["encoder"](batch.real[0]).chunk(2, 1)[0])
            noise, time = batch.draw_noise("prior", latent).view_as(codes), batch.draw_uniform("time")
            share = time.view(-1, *[1] * (codes.ndim - 1))
            velocity = generator.predict_velocity(codes.lerp(noise, share), time, batch.condition)
            return {"flow": (velocity - (noise - codes)).square().mean()}

        return (
            Phase("autoencoder", ("encoder", "generator"), autoencode, stage="autoencoder"),
            Phase("prior", ("generator",), flow, stage="prior"),
        )

    @property
    def encoder_roles(self) -> tuple[str, ...]:
        return ("encoder",)

    def encode(self, networks: Networks, image: Tensor, condition: Condition) -> Tensor:
        """The noise (batch, latent) from which the flow leads to images (batch, channel, *space)."""
        generator = cast(FlowGenerator, networks["generator"])
        codes = generator.standardise_codes(networks["encoder"](image).chunk(2, 1)[0])
        noise: Tensor = generator.integrate_flow(codes, condition, 0.0, 1.0)
        return noise.flatten(1)


class Autoregressive(Config):
    """Rounded codes of an autoencoder, each predicted from those before it."""

    kind: Literal["autoregressive"] = "autoregressive"

    def build_phases(self, latent: int) -> tuple[Phase, ...]:
        def autoencode(networks: Networks, batch: Batch) -> Losses:
            generator = cast(TokenGenerator, networks["generator"])
            again = generator.decoder(generator.quantise_codes(networks["encoder"](batch.real[0])))
            return {"reconstruction": (batch.real[0] - again).abs().mean()}

        def predict(networks: Networks, batch: Batch) -> Losses:
            generator = cast(TokenGenerator, networks["generator"])
            with torch.no_grad():
                tokens = generator.tokenise_codes(networks["encoder"](batch.real[0]))
            logits = generator.predict_logits(tokens[:, :-1], batch.condition)
            return {"surprise": F.cross_entropy(logits.flatten(0, 1), tokens.flatten())}

        return (
            Phase("autoencoder", ("encoder", "generator"), autoencode, stage="autoencoder"),
            Phase("prior", ("generator",), predict, stage="prior"),
        )

    @property
    def encoder_roles(self) -> tuple[str, ...]:
        return ("encoder",)

    def encode(self, networks: Networks, image: Tensor, condition: Condition) -> Tensor:
        """Latent codes (batch, tokens) for which the tokens of images (batch, channel, *space) are drawn again."""
        generator = cast(TokenGenerator, networks["generator"])
        codes: Tensor = generator.encode_tokens(generator.tokenise_codes(networks["encoder"](image)), condition)
        return codes
