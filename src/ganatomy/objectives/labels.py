"""Conditioning by an auxiliary classifier (AC-GAN: Odena 2017), as in the official progressive GAN code."""

from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganatomy.objectives.adversarial_term import AdversarialTerm, ScoredBatch
from ganatomy.objectives.phase import Losses
from ganatomy.steps.condition import Condition


class LabelClassification(AdversarialTerm):
    """L_D = w_r CE(D_c(x), c) + w_f CE(D_c(G(z)), c),  L_G = w_g CE(D_c(G(z)), c)   (Odena 2017, eq. 3).

    D_c are the label logits of the discriminator, c the condition of the images and CE the cross-entropy. If c contains
    a number such as the age, CE is half its squared error, which is the cross-entropy of a normal distribution. Without
    conditions all three losses are zero.

    Args:
        real_weight, fake_weight, generator_weight: w_r, w_f and w_g.
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
    """CE = -Σ over groups of log softmax(logits)[category] + Σ over numbers of (ĉ - c)² / 2, a mean over images.

    The first sum is the negative of Odena 2017, eq. 3. Up to a constant, the second sum is the negative log-likelihood
    of a number c that is normally distributed around the prediction ĉ with unit variance.

    Args:
        logits: (batch, labels): first the groups side by side, each with its own softmax, then the predictions ĉ.
        condition: condition of the images.
    """
    groups = list(condition.groups)
    classes, told = logits[:, : sum(groups)], logits[:, sum(groups) :]
    pairs = zip(classes.split(groups, 1), condition.categories.split(groups, 1), strict=True)
    loss = sum((F.cross_entropy(a, b) for a, b in pairs), start=logits.new_zeros(()))
    numbers = zip(told.unbind(1), condition.numbers.unbind(1), strict=True)
    return sum((F.mse_loss(a, b) / 2 for a, b in numbers), start=loss)
