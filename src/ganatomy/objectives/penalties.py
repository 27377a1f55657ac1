"""What keeps a discriminator within bounds."""

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ganatomy.nn.convolution import input_gradients_only
from ganatomy.objectives.judged import AdversarialTerm, Judged
from ganatomy.objectives.phase import Terms


class GradientPenalty(AdversarialTerm):
    """weight * E[(|grad D(x)|_2 - 1)^2] at x between a real and a fake, a uniform share each (Gulrajani 2017).

    Images of a tuple (sub-volume, low-resolution volume) are mixed with the same share and their gradients form one
    vector.
    """

    kind: Literal["gradient-penalty"] = "gradient-penalty"
    weight: float = Field(10, ge=0)

    def discriminator(self, judged: Judged) -> Terms:
        draw = judged.draw
        share = draw.uniform("gradient-penalty")
        mixed = tuple(
            real.lerp(fake, share.view(-1, *[1] * (real.ndim - 1))).requires_grad_(True)
            for real, fake in zip(draw.real, judged.fakes, strict=True)
        )
        scores = judged.discriminator(mixed, draw.condition, draw.scope).scores
        with input_gradients_only():
            gradients = torch.autograd.grad(scores.sum(), mixed, create_graph=True)
        norm = sum(g.flatten(1).square().sum(1) for g in gradients).sqrt()  # type: ignore[union-attr]
        return {"gradient_penalty": self.weight * (norm - 1).square().mean()}


class Drift(AdversarialTerm):
    """weight * E[D(real)^2]: keeps the scores near zero (Karras 2018, appendix A.1)."""

    kind: Literal["drift"] = "drift"
    weight: float = Field(0.001, ge=0)

    def discriminator(self, judged: Judged) -> Terms:
        assert judged.real is not None
        return {"drift": self.weight * judged.real.scores.square().mean(0).sum()}


class WeightClipping(AdversarialTerm):
    """Every discriminator weight within +-limit after each update (Arjovsky 2017).

    The limit counts in stored weights. Those of an equalised layer have unit variance at the start, so a limit of one
    is one standard deviation of every layer; the 0.01 of the paper, meant for weights with a deviation near 0.02,
    would be half of one.
    """

    kind: Literal["weight-clipping"] = "weight-clipping"
    limit: float = Field(0.5, gt=0)

    def constrain(self, discriminator: nn.Module) -> None:
        with torch.no_grad():
            for parameter in discriminator.parameters():
                parameter.clamp_(-self.limit, self.limit)
