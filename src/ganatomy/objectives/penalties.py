"""Penalties and constraints on the gradient, the scores and the weights of the discriminator."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganatomy.nn.convolution import input_gradients_only
from ganatomy.objectives.adversarial_term import AdversarialTerm, ScoredBatch
from ganatomy.objectives.phase import Losses, score_images
from ganatomy.steps.scope import ImageParts


class GradientPenalty(AdversarialTerm):
    """L_D = weight · E[(‖∇D(x̂)‖₂ - 1)²],  x̂ = (1 - u) x + u G(z),  u uniform in [0, 1)   (Gulrajani 2017, eq. 3).

    If an image has two parts (sub-volume and low-resolution volume), both have the same u, and the norm is that of both
    gradients together.
    """

    kind: Literal["gradient-penalty"] = "gradient-penalty"
    weight: float = Field(10, ge=0)

    def compute_discriminator_losses(self, scored: ScoredBatch) -> Losses:
        batch = scored.batch
        squares = compute_squared_gradient_norms(
            lambda mixed: score_images(scored.discriminator, mixed, batch).scores,
            interpolate_points(batch.real, scored.fakes, batch.draw_uniform("gradient-penalty")),
        )
        return {"gradient_penalty": self.weight * compute_unit_norm_penalty(squares)}


def interpolate_points(a: ImageParts, b: ImageParts, share: Tensor) -> ImageParts:
    """x̂ = (1 - u) a + u b for all parts of the images; u is `share` (batch,)   (Gulrajani 2017, algorithm 1)."""
    return tuple(x.lerp(y, share.view(-1, *[1] * (x.ndim - 1))) for x, y in zip(a, b, strict=True))


def compute_squared_gradient_norms(score: Callable[[ImageParts], Tensor], points: ImageParts) -> Tensor:
    """‖∇ score‖₂² at `points`, one number per image (batch,)   (in Gulrajani 2017, eq. 3, and Mescheder 2018, eq. 9).

    The squares of all parts of an image are added. The result can be differentiated again.
    """
    places = tuple(x.detach().requires_grad_(True) for x in points)
    scores = score(places)
    with input_gradients_only():
        gradients = torch.autograd.grad(scores.sum(), places, create_graph=True)
    return torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0)


def compute_unit_norm_penalty(squared_norms: Tensor) -> Tensor:
    """E[(‖∇D‖₂ - 1)²] from squared norms (batch,)   (Gulrajani 2017, eq. 3).

    The derivative of the square root is infinite at zero and would make every gradient nan. At zero, the penalty is one
    and its derivative is defined as zero.
    """
    positive = squared_norms > 0
    norms = torch.where(positive, torch.where(positive, squared_norms, 1).sqrt(), 0)
    return (norms - 1).square().mean()


class ZeroCentredPenalty(AdversarialTerm):
    """R₁: L_D = weight/2 · E[‖∇D(x)‖²];  R₂: L_D = weight/2 · E[‖∇D(G(z))‖²]   (Mescheder 2018, eq. 9 and 10).

    Args:
        at: ``reals`` for R₁, ``fakes`` for R₂.
        weight: gamma.
        every: n; the penalty is computed in every n-th step and multiplied by n (lazy regularisation: Karras 2020,
            StyleGAN2, section 3.1).
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
            lambda images: score_images(scored.discriminator, images, batch).scores,
            batch.real if self.at == "reals" else scored.fakes,
        )
        return {f"slope_at_{self.at}": self.weight / 2 * self.every * squares.mean()}


class Drift(AdversarialTerm):
    """L_D = weight · E[D(x)²], which keeps the scores near zero   (Karras 2018, appendix A.1)."""

    kind: Literal["drift"] = "drift"
    weight: float = Field(0.001, ge=0)

    def compute_discriminator_losses(self, scored: ScoredBatch) -> Losses:
        assert scored.real_output is not None
        return {"drift": self.weight * scored.real_output.scores.square().mean(0).sum()}


class WeightClipping(AdversarialTerm):
    """w ← clip(w, -limit, limit) for every weight w of D, after each update   (Arjovsky 2017, algorithm 1).

    The limit applies to the stored weights. Those of an equalised layer initially have unit variance, so a limit of one
    is one standard deviation in every layer. The paper's limit of 0.01 is half the standard deviation of about 0.02
    with which its weights are initialised.
    """

    kind: Literal["weight-clipping"] = "weight-clipping"
    limit: float = Field(0.5, gt=0)

    def constrain(self, discriminator: nn.Module) -> None:
        with torch.no_grad():
            for parameter in (p for p in discriminator.parameters() if p.requires_grad):  # without frozen weights
                parameter.clamp_(-self.limit, self.limit)
