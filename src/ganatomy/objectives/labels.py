"""Conditioning by an auxiliary classifier (AC-GAN: Odena 2017, as in the official progressive GAN code)."""

from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganatomy.objectives.adversarial_term import AdversarialTerm, ScoredBatch
from ganatomy.objectives.phase import Losses
from ganatomy.steps.condition import Condition


class LabelClassification(AdversarialTerm):
    """Cross-entropy of the discriminator's label logits: on reals and fakes for D, on fakes for G.

    Several conditions are several one-hot groups side by side, each with a softmax of its own. Without conditions the
    terms are zero.
    """

    kind: Literal["label-classification"] = "label-classification"
    real_weight: float = Field(1, ge=0)
    fake_weight: float = Field(1, ge=0)
    generator_weight: float = Field(1, ge=0)

    def compute_discriminator_losses(self, scored: ScoredBatch) -> Losses:
        assert scored.real_output is not None
        batch = scored.batch
        return {
            "labels_real": self.real_weight * compute_label_loss(scored.real_output.labels, batch.condition),
            "labels_fake": self.fake_weight * compute_label_loss(scored.fake_output.labels, batch.condition),
        }

    def compute_generator_losses(self, scored: ScoredBatch) -> Losses:
        return {"labels": self.generator_weight * compute_label_loss(scored.fake_output.labels, scored.batch.condition)}


def compute_label_loss(logits: Tensor, condition: Condition) -> Tensor:
    """Cross-entropy of label logits (batch, labels) and the categories of the images, a softmax for each group."""
    groups = list(condition.groups)
    pairs = zip(logits.split(groups, 1), condition.categories.split(groups, 1), strict=True)
    return sum((F.cross_entropy(a, b) for a, b in pairs), start=logits.new_zeros(()))
