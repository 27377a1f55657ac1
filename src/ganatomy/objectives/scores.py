"""Losses on scores: the mean over images; a discriminator with several scores an image has one term for each."""

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from ganatomy.objectives.adversarial_term import AdversarialTerm, ScoredBatch
from ganatomy.objectives.phase import Losses


class Wasserstein(AdversarialTerm):
    """D: E[D(fake)] - E[D(real)]; G: -E[D(fake)] (Arjovsky 2017)."""

    kind: Literal["wasserstein"] = "wasserstein"

    def compute_discriminator_losses(self, scored: ScoredBatch) -> Losses:
        assert scored.real_output is not None
        return {"wasserstein": _mean(scored.fake_output.scores) - _mean(scored.real_output.scores)}

    def compute_generator_losses(self, scored: ScoredBatch) -> Losses:
        return {"wasserstein": -_mean(scored.fake_output.scores)}


class NonSaturating(AdversarialTerm):
    """The plain GAN: D: E[softplus(D(fake))] + E[softplus(-D(real))]; G: E[softplus(-D(fake))] (Goodfellow 2014)."""

    kind: Literal["non-saturating"] = "non-saturating"

    def compute_discriminator_losses(self, scored: ScoredBatch) -> Losses:
        assert scored.real_output is not None
        return {
            "logistic": _mean(F.softplus(scored.fake_output.scores)) + _mean(F.softplus(-scored.real_output.scores))
        }

    def compute_generator_losses(self, scored: ScoredBatch) -> Losses:
        return {"logistic": _mean(F.softplus(-scored.fake_output.scores))}


class Relativistic(AdversarialTerm):
    """Each fake against a real: D: E[softplus(D(fake) - D(real))]; G: E[softplus(D(real) - D(fake))].

    The pairing makes a generator that leaves out a part of the data pay for it (Jolicoeur-Martineau 2019; Huang 2024,
    "R3GAN", where it goes with zero-centred penalties on both sides).
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
    """Over the batch; the sum over scores of one image: (batch,) or (batch, scores)."""
    return values.mean(0).sum()
