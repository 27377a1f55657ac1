"""Adversarial losses on the discriminator's scores; every E is a mean over images.

Where a discriminator gives several scores an image, the losses of all scores are added.
"""

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from ganatomy.objectives.adversarial_term import AdversarialTerm, ScoredBatch
from ganatomy.objectives.phase import Losses


class Wasserstein(AdversarialTerm):
    """L_D = E[D(G(z))] - E[D(x)],  L_G = -E[D(G(z))]   (Arjovsky 2017, eq. 3)."""

    kind: Literal["wasserstein"] = "wasserstein"

    def compute_discriminator_losses(self, scored: ScoredBatch) -> Losses:
        assert scored.real_output is not None
        return {"wasserstein": _mean(scored.fake_output.scores) - _mean(scored.real_output.scores)}

    def compute_generator_losses(self, scored: ScoredBatch) -> Losses:
        return {"wasserstein": -_mean(scored.fake_output.scores)}


class NonSaturating(AdversarialTerm):
    """L_D = E[softplus(D(G(z)))] + E[softplus(-D(x))],  L_G = E[softplus(-D(G(z)))]   (Goodfellow 2014, eq. 1).

    D is the score before the sigmoid. L_G is the form that section 3 of the paper prefers, since it does not saturate.
    """

    kind: Literal["non-saturating"] = "non-saturating"

    def compute_discriminator_losses(self, scored: ScoredBatch) -> Losses:
        assert scored.real_output is not None
        return {
            "logistic": _mean(F.softplus(scored.fake_output.scores)) + _mean(F.softplus(-scored.real_output.scores))
        }

    def compute_generator_losses(self, scored: ScoredBatch) -> Losses:
        return {"logistic": _mean(F.softplus(-scored.fake_output.scores))}


class Relativistic(AdversarialTerm):
    """L_D = E[softplus(D(G(z)) - D(x))],  L_G = E[softplus(D(x) - D(G(z)))]   (Jolicoeur-Martineau 2019; Huang 2024).

    Each fake is paired with a real image, so a generator that leaves out a part of the data pays for it. Huang 2024
    ("R3GAN") uses this loss with zero-centred penalties on both reals and fakes.
    """

    kind: Literal["relativistic"] = "relativistic"

    @property
    def generator_needs_reals(self) -> bool:
        return True

    def compute_discriminator_losses(self, scored: ScoredBatch) -> Losses:
        assert scored.real_output is not None
        return {"relativistic": _mean(F.softplus(scored.fake_output.scores - scored.real_output.scores))}

    def compute_generator_losses(self, scored: ScoredBatch) -> Losses:
        assert scored.real_output is not None
        return {"relativistic": _mean(F.softplus(scored.real_output.scores - scored.fake_output.scores))}


def _mean(values: Tensor) -> Tensor:
    """E[values]: the mean over images, summed over the scores of an image; values are (batch,) or (batch, scores)."""
    return values.mean(0).sum()
