"""The loop. It asks whether it is time and whether another batch is needed; it knows no method by name."""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from ganatomy.objectives.phase import Draw, Phase, Terms
from ganatomy.refused import Diverged
from ganatomy.scope import Images, Region, Scope
from ganatomy.training import distributed
from ganatomy.training.state import State


class Source(Protocol):
    """Where batches come from: image number n of a run is always the same image."""

    def batch(self, numbers: range, regions: tuple[Region, ...]) -> tuple[Images, Tensor]:
        """Each region of the images (batch, channel, *space) in [-1, 1], and conditions (batch, conditions)."""
        ...


def train(
    state: State, source: Source, seed: int, watch: Callable[[State], bool], precision: torch.dtype = torch.float32
) -> Iterator[Terms]:
    """Train until the recipe's end or until `watch` says stop; yields the terms of each step, detached.

    `watch` runs before every step, so that a resumed run reports the same moments as an unbroken one.

    Raises:
        Diverged: a loss term is not finite. The weights have not taken that step.
    """
    recipe = state.recipe
    while watch(state) and state.images < recipe.total_images:
        moment = recipe.at(state.images, seed)
        if moment.era != state.era:
            state.enter(moment.era)
        state.set_learning_rates()
        draws: list[Draw] = []
        terms: Terms = {}
        for phase in recipe.phases(moment.part):
            for update in range(int(phase.updates(state.images))):
                if update == len(draws):  # phases of one step share the first draw; further updates get fresh images
                    first = state.images + update * moment.batch_size
                    numbers = range(first, first + moment.batch_size)
                    draws.append(_draw(state, source, seed, moment.scope, numbers))
                terms |= {
                    f"{phase.name}/{name}": term for name, term in run(phase, state, draws[update], precision).items()
                }
        state.images += len(draws) * moment.batch_size
        state.steps += 1
        state.follow(len(draws) * moment.batch_size)
        yield terms


def run(phase: Phase, state: State, draw: Draw, precision: torch.dtype = torch.float32) -> Terms:
    """One update: freeze the others, loss, backward, average, step.

    With another precision than float32 the networks run under autocast; weights, optimiser and losses stay in float32.
    """
    state.players.let_learn(phase.trains)
    with torch.autocast(draw.image.device.type, precision, enabled=precision != torch.float32):
        terms = phase.loss(state.players, draw)
    total = sum(terms.values(), start=torch.zeros((), device=draw.image.device))
    if not torch.isfinite(total):
        raise Diverged(", ".join(f"{phase.name}/{name} = {term.item():.4g}" for name, term in terms.items()))
    learners = [state.optimizers[role] for role in phase.trains]
    total.backward()
    distributed.average_gradients(p for role in phase.trains for p in state.players[role].parameters())
    for optimizer in learners:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)  # before the next phase computes its own: less memory at the peak
    phase.constrain(state.players)
    return {name: term.detach() for name, term in terms.items()}


def _draw(state: State, source: Source, seed: int, scope: Scope, numbers: range) -> Draw:
    """This process's share of the images with these global numbers."""
    share = numbers[distributed.rank() :: distributed.world_size()]
    read, condition = source.batch(share, scope.reads)
    return Draw(read, condition, state.recipe.groups, scope, seed, share)
