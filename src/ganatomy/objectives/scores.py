"""Adversarial losses on the discriminator's scores; every E is a mean over images.

If a discriminator returns several scores per image, the losses of all scores are added.
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

    D is the score before the sigmoid. L_G is the non-saturating form that section 3 of the paper recommends.
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
    """L_D = E[softplus(D(G(z)) - D(x))],  L_G = E[softplus(D(x) - D(G(z)))]   (Huang 2024, section 2).

    Each fake is paired with a real image (relativistic loss: Jolicoeur-Martineau 2019). A generator that omits a part
    of the data therefore has a higher loss. Huang 2024 ("R3GAN") combines this loss with zero-centred penalties on both
    reals and fakes.
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
    """Return E[values]: the mean over images, summed over scores; values are (batch,) or (batch, scores)."""
    return values.mean(0).sum()
