"""What a term of an adversarial objective is given, and what it does when it has nothing to say."""

from dataclasses import dataclass

from torch import nn

from ganatomy.config import Config
from ganatomy.objectives.phase import Batch, Losses
from ganatomy.steps.scope import ImageParts
from ganatomy.steps.space import DiscriminatorOutput


@dataclass(frozen=True)
class ScoredBatch:
    """Reals and fakes of one draw with the discriminator's verdicts on both.

    `real` is None in the generator's phase unless a term says that it needs it.
    """

    discriminator: nn.Module
    batch: Batch
    fakes: ImageParts
    real_output: DiscriminatorOutput | None
    fake_output: DiscriminatorOutput


class AdversarialTerm(Config):
    """A term with no part in either phase; each term replaces the parts it has."""

    @property
    def generator_needs_reals(self) -> bool:
        return False

    def compute_discriminator_losses(self, scored: ScoredBatch) -> Losses:
        return {}

    def compute_generator_losses(self, scored: ScoredBatch) -> Losses:
        return {}

    def constrain(self, discriminator: nn.Module) -> None:
        return None
