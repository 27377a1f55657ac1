"""Models of an autoencoder's codes: latent diffusion and the autoregressive model of tokens.

The networks are ``encoder`` E and ``generator``, which consists of a decoder D and a prior over codes c = E(x). The
autoencoder learns first. Then its weights are fixed, and the prior learns from its codes (`strategies.TwoStages`).

The published autoencoders also have an adversarial and a perceptual loss, which need a discriminator and pretrained
weights. Both are left out here, which makes reconstructions softer.
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
from ganatomy.steps.missing import average_present
from ganatomy.steps.modules import FlowGenerator, TokenGenerator


class LatentDiffusion(Config):
    """Latent diffusion (Rombach 2022, sections 3.1 and 3.2) with the loss of rectified flow (Liu 2023, eq. 1):

        autoencoder:  |x - D(c)| + divergence KL(c ‖ N(0, 1))
        prior:        |v(c_t, t) - (ε - c)|²,   c_t = (1 - t) c + t ε,   ε standard normal, t uniform in [0, 1)

    |·| is the mean absolute value and |·|² the mean square.

    Args:
        divergence: weight of KL, which is a mean over the numbers of the code.
    """

    kind: Literal["latent-diffusion"] = "latent-diffusion"
    divergence: float = Field(1e-3, ge=0)

    def build_phases(self, latent: int) -> tuple[Phase, ...]:
        """Build the phase of the autoencoder, then that of the prior; `latent` is the width of ε."""

        def autoencode(networks: Networks, batch: Batch) -> Losses:
            generator = cast(FlowGenerator, networks["generator"])
            codes, divergence = draw_code(networks["encoder"](batch.real[0]), batch.draw_noise("autoencoder", latent))
            again = generator.decoder(codes)
            return {
                "reconstruction": average_present((batch.real[0] - again).abs(), batch.condition),
                "divergence": self.divergence * divergence,
            }

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
        """The roles whose networks `encode` calls, besides the generator."""
        return ("encoder",)

    def encode(self, networks: Networks, image: Tensor, condition: Condition) -> Tensor:
        """Return the noise (batch, latent) at t = 1 from which the flow leads to the codes of the images."""
        generator = cast(FlowGenerator, networks["generator"])
        codes = generator.standardise_codes(networks["encoder"](image).chunk(2, 1)[0])
        noise: Tensor = generator.integrate_flow(codes, condition, 0.0, 1.0)
        return noise.flatten(1)


class Autoregressive(Config):
    """An autoregressive prior of rounded codes (van den Oord 2017, section 3.3; rounding: Mentzer 2024, section 3.1):

    autoencoder:  |x - D(round(c))|
    prior:        -log p(tokenᵢ | tokens before i), a mean over tokens
    """

    kind: Literal["autoregressive"] = "autoregressive"

    def build_phases(self, latent: int) -> tuple[Phase, ...]:
        """Build the phase of the autoencoder, then that of the prior."""

        def autoencode(networks: Networks, batch: Batch) -> Losses:
            generator = cast(TokenGenerator, networks["generator"])
            again = generator.decoder(generator.quantise_codes(networks["encoder"](batch.real[0])))
            return {"reconstruction": average_present((batch.real[0] - again).abs(), batch.condition)}

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
        """The roles whose networks `encode` calls, besides the generator."""
        return ("encoder",)

    def encode(self, networks: Networks, image: Tensor, condition: Condition) -> Tensor:
        """Return latent codes (batch, tokens) for which the generator draws the tokens of the images."""
        generator = cast(TokenGenerator, networks["generator"])
        codes: Tensor = generator.encode_tokens(generator.tokenise_codes(networks["encoder"](image)), condition)
        return codes
