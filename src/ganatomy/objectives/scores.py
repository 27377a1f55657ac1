"""Losses on scores."""

from typing import Literal

from torch.nn import functional as F

from ganatomy.objectives.judged import AdversarialTerm, Judged
from ganatomy.objectives.phase import Terms


class Wasserstein(AdversarialTerm):
    """D: E[D(fake)] - E[D(real)]; G: -E[D(fake)] (Arjovsky 2017)."""

    kind: Literal["wasserstein"] = "wasserstein"

    def discriminator(self, judged: Judged) -> Terms:
        assert judged.real is not None
        return {"wasserstein": judged.fake.scores.mean() - judged.real.scores.mean()}

    def generator(self, judged: Judged) -> Terms:
        return {"wasserstein": -judged.fake.scores.mean()}


class NonSaturating(AdversarialTerm):
    """The plain GAN: D: E[softplus(D(fake))] + E[softplus(-D(real))]; G: E[softplus(-D(fake))] (Goodfellow 2014)."""

    kind: Literal["non-saturating"] = "non-saturating"

    def discriminator(self, judged: Judged) -> Terms:
        assert judged.real is not None
        return {"logistic": F.softplus(judged.fake.scores).mean() + F.softplus(-judged.real.scores).mean()}

    def generator(self, judged: Judged) -> Terms:
        return {"logistic": F.softplus(-judged.fake.scores).mean()}
