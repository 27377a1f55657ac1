"""The base class of adversarial terms, and the scored batch from which a term computes its losses."""

from dataclasses import dataclass

from torch import nn

from ganatomy.config import Config
from ganatomy.objectives.phase import Batch, Losses
from ganatomy.steps.scope import ImageParts
from ganatomy.steps.space import DiscriminatorOutput


@dataclass(frozen=True)
class ScoredBatch:
    """x, G(z), D(x) and D(G(z)) of one batch, in the notation of Goodfellow 2014, eq. 1.

    Args:
        discriminator: D, for terms that need its gradient.
        batch: the real images x with their condition and scope.
        fakes: G(z).
        real_output: D(x); None in the generator's phase unless a term's `generator_needs_reals` is true.
        fake_output: D(G(z)).
    """

    discriminator: nn.Module
    batch: Batch
    fakes: ImageParts
    real_output: DiscriminatorOutput | None
    fake_output: DiscriminatorOutput


class AdversarialTerm(Config):
    """One summand of `Adversarial`: L_D = 0, L_G = 0, no constraint, unless a derived class overrides them."""

    @property
    def generator_needs_reals(self) -> bool:
        """Whether the generator's loss contains D(x)."""
        return False

    def compute_discriminator_losses(self, scored: ScoredBatch) -> Losses:
        """Compute L_D as named scalars; an empty result adds nothing to the loss."""
        return {}

    def compute_generator_losses(self, scored: ScoredBatch) -> Losses:
        """Compute L_G as named scalars; an empty result adds nothing to the loss."""
        return {}

    def constrain(self, discriminator: nn.Module) -> None:
        """Change the discriminator's weights after an update; by default nothing is changed."""
        return None
