"""Adversarial training: a phase of the discriminator and a phase of the generator, each a sum of terms."""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from ganatomy.config import Config
from ganatomy.objectives.adversarial_term import ScoredBatch
from ganatomy.objectives.augmentation import Augmentation
from ganatomy.objectives.labels import LabelClassification
from ganatomy.objectives.penalties import Drift, GradientPenalty, WeightClipping, ZeroCentredPenalty
from ganatomy.objectives.phase import (
    Batch,
    Losses,
    Networks,
    Phase,
    generate_detached_fakes,
    generate_fakes,
    generate_shared_fakes,
    score_images,
)
from ganatomy.objectives.scores import NonSaturating, Relativistic, Wasserstein
from ganatomy.steps.schedules import ConstantSchedule, Schedule
from ganatomy.steps.scope import ImageParts

LossTerm = Annotated[
    Wasserstein
    | NonSaturating
    | Relativistic
    | GradientPenalty
    | ZeroCentredPenalty
    | Drift
    | WeightClipping
    | LabelClassification,
    Field(discriminator="kind"),
]


class Adversarial(Config):
    """D minimises Σₖ L_D,k, then G minimises Σₖ L_G,k; k runs over `terms`   (Goodfellow 2014, algorithm 1).

    Each term may have a loss for the discriminator, a loss for the generator, and a constraint on the discriminator's
    weights.

    Args:
        terms: losses and penalties, which are added up.
        discriminator_updates: updates of the discriminator before each update of the generator.
        share_fakes: whether the generator learns from the fakes that the discriminator has just scored instead of from
            new ones, which saves one pass of the generator per step.
        augmentation: augmentation of the reals and fakes that the discriminator scores; None = no augmentation.
    """

    kind: Literal["adversarial"] = "adversarial"
    terms: tuple[LossTerm, ...]
    discriminator_updates: Schedule = ConstantSchedule(value=1)
    share_fakes: bool = False
    augmentation: Augmentation | None = None

    def build_phases(self, latent: int) -> tuple[Phase, ...]:
        """Build the discriminator's phase, then the generator's; `latent` is the width of z."""

        def discriminate(networks: Networks, batch: Batch) -> Losses:
            if self.share_fakes:
                fake = tuple(image.detach() for image in generate_shared_fakes(networks, batch, "generator", latent))
            else:
                fake = generate_detached_fakes(networks, batch, "discriminator", latent)
            return self._sum_losses(
                lambda term, judged: term.compute_discriminator_losses(judged), networks, batch, fake, with_reals=True
            )

        def generate(networks: Networks, batch: Batch) -> Losses:
            fake = (generate_shared_fakes if self.share_fakes else generate_fakes)(networks, batch, "generator", latent)
            reals = any(term.generator_needs_reals for term in self.terms)
            return self._sum_losses(
                lambda term, judged: term.compute_generator_losses(judged), networks, batch, fake, with_reals=reals
            )

        return (
            Phase("discriminator", ("discriminator",), discriminate, self.discriminator_updates, self._constrain),
            Phase("generator", ("generator",), generate),
        )

    def _sum_losses(
        self,
        compute_losses: Callable[[LossTerm, ScoredBatch], Losses],
        networks: Networks,
        batch: Batch,
        fake: ImageParts,
        with_reals: bool,
    ) -> Losses:
        """Compute the losses of all terms by name, from one pass of D over the fakes and, if needed, the reals."""
        judge = networks["discriminator"]
        if self.augmentation is not None:
            fake = self.augmentation(fake, batch, "augment-fake")
            batch = batch.replace_reals(self.augmentation(batch.real, batch, "augment-real"))
        verdict_real = score_images(judge, batch.real, batch) if with_reals else None
        scored = ScoredBatch(judge, batch, fake, verdict_real, score_images(judge, fake, batch))
        losses: Losses = {}
        for term in self.terms:
            losses |= compute_losses(term, scored)
        return losses

    def _constrain(self, networks: Networks) -> None:
        for term in self.terms:
            term.constrain(networks["discriminator"])
