"""The two phases of every GAN, as a sum of terms."""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from ganatomy.config import Value
from ganatomy.objectives.adversarial_term import Judged
from ganatomy.objectives.augmentation import Augmentation
from ganatomy.objectives.labels import LabelClassification
from ganatomy.objectives.penalties import Drift, GradientPenalty, WeightClipping, ZeroCentredPenalty
from ganatomy.objectives.phase import Draw, Phase, Players, Terms, fakes, frozen_fakes, shared_fakes
from ganatomy.objectives.scores import NonSaturating, Relativistic, Wasserstein
from ganatomy.steps.schedules import Constant, Schedule
from ganatomy.steps.scope import Images

Term = Annotated[
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


class Adversarial(Value):
    """A discriminator and a generator that learn in turn from the same terms.

    `terms` are added up; each may have a part for the discriminator, one for the generator, and a constraint on the
    discriminator's weights. `discriminator_updates` is how many discriminator updates go before one of the generator.
    With `share_fakes` the generator learns from the fakes that its discriminator has just seen instead of from new
    ones: one pass of the generator less a step. With `augmentation` the discriminator sees reals and fakes through it.
    """

    kind: Literal["adversarial"] = "adversarial"
    terms: tuple[Term, ...]
    discriminator_updates: Schedule = Constant(value=1)
    share_fakes: bool = False
    augmentation: Augmentation | None = None

    def phases(self, latent: int) -> tuple[Phase, ...]:
        def discriminate(players: Players, draw: Draw) -> Terms:
            if self.share_fakes:
                fake = tuple(image.detach() for image in shared_fakes(players, draw, "generator", latent))
            else:
                fake = frozen_fakes(players, draw, "discriminator", latent)
            return self._sum(lambda term, judged: term.discriminator(judged), players, draw, fake, reals=True)

        def generate(players: Players, draw: Draw) -> Terms:
            fake = (shared_fakes if self.share_fakes else fakes)(players, draw, "generator", latent)
            reals = any(term.generator_needs_reals for term in self.terms)
            return self._sum(lambda term, judged: term.generator(judged), players, draw, fake, reals=reals)

        return (
            Phase("discriminator", ("discriminator",), discriminate, self.discriminator_updates, self._constrain),
            Phase("generator", ("generator",), generate),
        )

    def _sum(
        self, part: Callable[[Term, Judged], Terms], players: Players, draw: Draw, fake: Images, reals: bool
    ) -> Terms:
        judge = players["discriminator"]
        if self.augmentation is not None:
            fake = self.augmentation(fake, draw, "augment-fake")
            draw = draw.seen(self.augmentation(draw.real, draw, "augment-real"))
        verdict_real = judge(draw.real, draw.condition, draw.scope) if reals else None
        judged = Judged(judge, draw, fake, verdict_real, judge(fake, draw.condition, draw.scope))
        terms: Terms = {}
        for term in self.terms:
            terms |= part(term, judged)
        return terms

    def _constrain(self, players: Players) -> None:
        for term in self.terms:
            term.constrain(players["discriminator"])
