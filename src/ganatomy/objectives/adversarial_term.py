"""What a term of an adversarial objective is given, and what it does when it has nothing to say."""

from dataclasses import dataclass

from torch import nn

from ganatomy.config import Value
from ganatomy.objectives.phase import Draw, Terms
from ganatomy.steps.scope import Images
from ganatomy.steps.space import Verdict


@dataclass(frozen=True)
class Judged:
    """Reals and fakes of one draw with the discriminator's verdicts on both.

    `real` is None in the generator's phase unless a term says that it needs it.
    """

    discriminator: nn.Module
    draw: Draw
    fakes: Images
    real: Verdict | None
    fake: Verdict


class AdversarialTerm(Value):
    """A term with no part in either phase; each term replaces the parts it has."""

    @property
    def generator_needs_reals(self) -> bool:
        return False

    def discriminator(self, judged: Judged) -> Terms:
        return {}

    def generator(self, judged: Judged) -> Terms:
        return {}

    def constrain(self, discriminator: nn.Module) -> None:
        return None
