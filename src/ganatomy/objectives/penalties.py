"""What keeps a discriminator within bounds."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganatomy.nn.convolution import input_gradients_only
from ganatomy.objectives.adversarial_term import AdversarialTerm, ScoredBatch
from ganatomy.objectives.phase import Losses
from ganatomy.steps.scope import ImageParts


class GradientPenalty(AdversarialTerm):
    """weight * E[(|grad D(x)|_2 - 1)^2] at x between a real and a fake, a uniform share each (Gulrajani 2017).

    Images of a tuple (sub-volume, low-resolution volume) are mixed with the same share and their gradients form one
    vector.
    """

    kind: Literal["gradient-penalty"] = "gradient-penalty"
    weight: float = Field(10, ge=0)

    def compute_discriminator_losses(self, scored: ScoredBatch) -> Losses:
        batch = scored.batch
        squares = compute_squared_gradient_norms(
            lambda mixed: scored.discriminator(mixed, batch.condition, batch.scope).scores,
            interpolate_points(batch.real, scored.fakes, batch.draw_uniform("gradient-penalty")),
        )
        return {"gradient_penalty": self.weight * compute_unit_norm_penalty(squares)}


def interpolate_points(a: ImageParts, b: ImageParts, share: Tensor) -> ImageParts:
    """Points on the straight lines from `a` to `b`, at a share of each image (batch,)."""
    return tuple(x.lerp(y, share.view(-1, *[1] * (x.ndim - 1))) for x, y in zip(a, b, strict=True))


def compute_squared_gradient_norms(score: Callable[[ImageParts], Tensor], points: ImageParts) -> Tensor:
    """|grad of the judge's scores|^2 at some points, one number each (batch,); differentiable again."""
    places = tuple(x.detach().requires_grad_(True) for x in points)
    scores = score(places)
    with input_gradients_only():
        gradients = torch.autograd.grad(scores.sum(), places, create_graph=True)
    return torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0)


def compute_unit_norm_penalty(squared_norms: Tensor) -> Tensor:
    """E[(|grad| - 1)^2] (Gulrajani 2017, equation 3), from the squared norms (batch,).

    The square root has an infinite derivative at zero, which would make every gradient nan; there the penalty is one
    and its derivative is taken as zero.
    """
    positive = squared_norms > 0
    norms = torch.where(positive, torch.where(positive, squared_norms, 1).sqrt(), 0)
    return (norms - 1).square().mean()


class ZeroCentredPenalty(AdversarialTerm):
    """weight / 2 * E[|grad D(x)|^2] at reals (R1) or fakes (R2) (Mescheder 2018).

    Args:
        at: ``reals`` or ``fakes``.
        weight: gamma.
        every: compute it in every so many steps, as many times as strong (StyleGAN2's lazy regularisation).
    """

    kind: Literal["zero-centred-penalty"] = "zero-centred-penalty"
    at: Literal["reals", "fakes"] = "reals"
    weight: float = Field(10, ge=0)
    every: int = Field(1, ge=1)

    def compute_discriminator_losses(self, scored: ScoredBatch) -> Losses:
        batch = scored.batch
        if batch.step % self.every:
            return {}
        squares = compute_squared_gradient_norms(
            lambda images: scored.discriminator(images, batch.condition, batch.scope).scores,
            batch.real if self.at == "reals" else scored.fakes,
        )
        return {f"slope_at_{self.at}": self.weight / 2 * self.every * squares.mean()}


class Drift(AdversarialTerm):
    """weight * E[D(real)^2]: keeps the scores near zero (Karras 2018, appendix A.1)."""

    kind: Literal["drift"] = "drift"
    weight: float = Field(0.001, ge=0)

    def compute_discriminator_losses(self, scored: ScoredBatch) -> Losses:
        assert scored.real_output is not None
        return {"drift": self.weight * scored.real_output.scores.square().mean(0).sum()}


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
