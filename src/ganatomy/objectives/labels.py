"""Conditioning by an auxiliary classifier (AC-GAN: Odena 2017, as in the official progressive GAN code)."""

from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganatomy.objectives.adversarial_term import AdversarialTerm, Judged
from ganatomy.objectives.phase import Draw, Terms


class LabelClassification(AdversarialTerm):
    """Cross-entropy of the discriminator's label logits: on reals and fakes for D, on fakes for G.

    Several conditions are several one-hot groups side by side, each with a softmax of its own. Without conditions the
    terms are zero.
    """

    kind: Literal["label-classification"] = "label-classification"
    real_weight: float = Field(1, ge=0)
    fake_weight: float = Field(1, ge=0)
    generator_weight: float = Field(1, ge=0)

    def discriminator(self, judged: Judged) -> Terms:
        assert judged.real is not None
        draw = judged.draw
        return {
            "labels_real": self.real_weight * label_entropy(judged.real.labels, draw),
            "labels_fake": self.fake_weight * label_entropy(judged.fake.labels, draw),
        }

    def generator(self, judged: Judged) -> Terms:
        return {"labels": self.generator_weight * label_entropy(judged.fake.labels, judged.draw)}


def label_entropy(logits: Tensor, draw: Draw) -> Tensor:
    """Cross-entropy of label logits (batch, conditions) and the draw's conditions, a softmax for each group."""
    groups = list(draw.groups)
    pairs = zip(logits.split(groups, 1), draw.condition.split(groups, 1), strict=True)
    return sum((F.cross_entropy(a, b) for a, b in pairs), start=logits.new_zeros(()))
