"""The loop. It asks whether it is time and whether another batch is needed; it knows no method by name."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from ganatomy.errors import Diverged
from ganatomy.objectives.phase import Draw, Phase, Terms
from ganatomy.recipes.recipe import Recipe
from ganatomy.steps.scope import Images, Region, Scope
from ganatomy.training import distributed
from ganatomy.training.computing import Computing
from ganatomy.training.state import State


class Source(Protocol):
    """Where batches come from: image number n of a run is always the same image."""

    def batch(self, numbers: range, regions: tuple[Region, ...]) -> tuple[Images, Tensor]:
        """Each region of the images (batch, channel, *space) in [-1, 1], and conditions (batch, conditions)."""
        ...


def train(
    state: State,
    source: Source,
    seed: int,
    watch: Callable[[State], bool],
    how: Computing = Computing(),  # noqa: B008
) -> Iterator[Terms]:
    """Train until the recipe's end or until `watch` says stop; yields the terms of each step, detached.

    `watch` runs before every step, so that a resumed run reports the same moments as an unbroken one.

    Raises:
        Diverged: a loss term or a gradient is not finite. The weights have not taken that step.
    """
    recipe = state.recipe
    while watch(state) and state.images < recipe.total_images:
        moment = recipe.at(state.images, seed)
        if moment.era != state.era:
            state.enter(moment.era)
        state.set_learning_rates()
        planned = _planned(recipe, state.images, seed, how.micro_batches)
        batches: list[list[Draw]] = []
        terms: Terms = {}
        for phase in recipe.phases(moment.part):
            for update in range(int(phase.updates(state.images))):
                if update == len(batches):  # phases of one step share the first batch; further updates get fresh images
                    batches.append([_draw(state, source, seed, moment.scope, piece) for piece in planned[update]])
                found = run(phase, state, batches[update], how)
                terms |= {f"{phase.name}/{name}": term for name, term in found.items()}
        state.images += len(batches) * moment.batch_size
        state.steps += 1
        state.follow(len(batches) * moment.batch_size)
        yield terms


def _planned(recipe: Recipe, images: int, seed: int, micro_batches: int) -> list[list[range]]:
    """The batches of a step at a count of images seen, each in this process's pieces, by numbers of images."""
    moment = recipe.at(images, seed)
    count = max(int(phase.updates(images)) for phase in recipe.phases(moment.part))
    firsts = (images + update * moment.batch_size for update in range(count))
    return [distributed.share(range(first, first + moment.batch_size), micro_batches) for first in firsts]


def requests(
    recipe: Recipe,
    images: int,
    seed: int,
    how: Computing = Computing(),  # noqa: B008
) -> Iterator[tuple[range, tuple[Region, ...]]]:
    """What `train` will ask of its source from a count of images on, in order, until the recipe's end."""
    while images < recipe.total_images:
        moment = recipe.at(images, seed)
        planned = _planned(recipe, images, seed, how.micro_batches)
        for batch in planned:
            for piece in batch:
                yield piece, moment.scope.reads
        images += len(planned) * moment.batch_size


def run(phase: Phase, state: State, pieces: Sequence[Draw], how: Computing = Computing()) -> Terms:  # noqa: B008
    """One update from a batch in one piece or several: freeze the others, loss, backward, average, step.

    With another precision than float32 the networks run under autocast; weights, optimiser and losses stay in float32.
    With float16 the loss is scaled up for the backward pass, and an update that overflows is left out.
    """
    state.players.let_learn(phase.trains)
    device = pieces[0].image.device
    sums: Terms = {}
    zero = torch.zeros((), device=device)
    for draw in _one_by_one(pieces, state.players):
        with torch.autocast(device.type, how.dtype, enabled=how.dtype != torch.float32):
            terms = phase.loss(state.players, draw)
        if terms:
            state.scaler.scale(sum(terms.values(), start=zero) / len(pieces)).backward()
        sums = {name: sums.get(name, zero) + term.detach() / len(pieces) for name, term in terms.items()}
        del terms
    learners = [state.optimizers[role] for role in phase.trains]
    gradients = distributed.gradients(p for role in phase.trains for p in state.players[role].parameters())
    distributed.average([*gradients, *sums.values()])
    if state.scaler.is_enabled():
        _scaled_step(phase, state, learners, sums)
    else:
        _check(phase, gradients, sums)
        for optimizer in learners:
            optimizer.step()
    for optimizer in learners:
        optimizer.zero_grad(set_to_none=True)  # before the next phase computes its own: less memory at the peak
    phase.constrain(state.players)
    return sums


def _one_by_one(pieces: Sequence[Draw], players: nn.Module) -> Iterator[Draw]:
    """The pieces of a batch; of several each is new to the phase, and finds the networks' buffers as the first did.

    So that nothing of a piece stays in memory, and the power iteration of a spectral norm takes no step more.
    """
    if len(pieces) == 1:
        yield pieces[0]
        return
    before = [buffer.clone() for buffer in players.buffers()]
    for piece in pieces:
        with torch.no_grad():
            for buffer, value in zip(players.buffers(), before, strict=True):
                buffer.copy_(value)
        yield replace(piece)


def _check(phase: Phase, gradients: list[Tensor], terms: Terms) -> None:
    """Refuse to step on numbers that are not finite."""
    norm = torch.nn.utils.get_total_norm(gradients) if gradients else torch.zeros(())
    if torch.isfinite(norm + sum(terms.values(), start=torch.zeros((), device=norm.device))):
        return
    raise Diverged(_named(phase, terms))


def _named(phase: Phase, terms: Terms) -> str:
    bad = {name: term for name, term in terms.items() if not torch.isfinite(term)}
    if not bad:
        return f"the gradient of {' and '.join(phase.trains)} in the phase {phase.name}"
    return ", ".join(f"{phase.name}/{name} = {term.item():.4g}" for name, term in bad.items())


def _scaled_step(phase: Phase, state: State, learners: list[torch.optim.Adam], terms: Terms) -> None:
    """Step on scaled gradients; when they overflow, leave the step out and scale less the next time."""
    for optimizer in learners:
        state.scaler.step(optimizer)
    state.scaler.update()
    if state.scaler.get_scale() < 1:
        raise Diverged(_named(phase, terms) + ", even with losses that are not scaled up,")


def _draw(state: State, source: Source, seed: int, scope: Scope, numbers: range) -> Draw:
    """The images with these global numbers."""
    read, condition = source.batch(numbers, scope.reads)
    return Draw(read, condition, state.recipe.groups, scope, seed, numbers)
