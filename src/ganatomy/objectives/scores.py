"""Losses on scores: the mean over images; a discriminator with several scores an image has one term for each."""

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from ganatomy.objectives.adversarial_term import AdversarialTerm, Judged
from ganatomy.objectives.phase import Terms


class Wasserstein(AdversarialTerm):
    """D: E[D(fake)] - E[D(real)]; G: -E[D(fake)] (Arjovsky 2017)."""

    kind: Literal["wasserstein"] = "wasserstein"

    def discriminator(self, judged: Judged) -> Terms:
        assert judged.real is not None
        return {"wasserstein": _mean(judged.fake.scores) - _mean(judged.real.scores)}

    def generator(self, judged: Judged) -> Terms:
        return {"wasserstein": -_mean(judged.fake.scores)}


class NonSaturating(AdversarialTerm):
    """The plain GAN: D: E[softplus(D(fake))] + E[softplus(-D(real))]; G: E[softplus(-D(fake))] (Goodfellow 2014)."""

    kind: Literal["non-saturating"] = "non-saturating"

    def discriminator(self, judged: Judged) -> Terms:
        assert judged.real is not None
        return {"logistic": _mean(F.softplus(judged.fake.scores)) + _mean(F.softplus(-judged.real.scores))}

    def generator(self, judged: Judged) -> Terms:
        return {"logistic": _mean(F.softplus(-judged.fake.scores))}


class Relativistic(AdversarialTerm):
    """Each fake against a real: D: E[softplus(D(fake) - D(real))]; G: E[softplus(D(real) - D(fake))].

    The pairing makes a generator that leaves out a part of the data pay for it (Jolicoeur-Martineau 2019; Huang 2024,
    "R3GAN", where it goes with zero-centred penalties on both sides).
    """

    kind: Literal["relativistic"] = "relativistic"

    @property
    def generator_needs_reals(self) -> bool:
        return True

    def discriminator(self, judged: Judged) -> Terms:
        assert judged.real is not None
        return {"relativistic": _mean(F.softplus(judged.fake.scores - judged.real.scores))}

    def generator(self, judged: Judged) -> Terms:
        assert judged.real is not None
        return {"relativistic": _mean(F.softplus(judged.real.scores - judged.fake.scores))}


def _mean(values: Tensor) -> Tensor:
    """Over the batch; the sum over scores of one image: (batch,) or (batch, scores)."""
    return values.mean(0).sum()
