"""The training loop. It runs the phases of the recipe's objective and contains no code for particular methods."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from ganatomy.errors import Diverged
from ganatomy.objectives.phase import Batch, Losses, Phase
from ganatomy.recipes.recipe import Recipe
from ganatomy.steps.condition import Condition
from ganatomy.steps.scope import ImageParts, Region, Scope
from ganatomy.training import distributed
from ganatomy.training.computing import ComputeSettings
from ganatomy.training.state import State

PLAIN_SETTINGS = ComputeSettings()


class BatchSource(Protocol):
    """A source of batches, in which image number n of a run is always the same image."""

    def read_batch(self, numbers: range, regions: tuple[Region, ...]) -> tuple[ImageParts, Condition]:
        """Read each region of the images, (batch, channel, *space) in [-1, 1], and their condition."""
        ...


def run_steps(
    state: State,
    source: BatchSource,
    seed: int,
    callbacks: Callable[[State], bool],
    settings: ComputeSettings = ComputeSettings(),  # noqa: B008
) -> Iterator[Losses]:
    """Train until the recipe's end or until `callbacks` returns False; yield the detached loss terms of each step.

    `callbacks` runs before every step, so that a resumed run reports at the same counts of images as an uninterrupted
    one.

    Raises:
        Diverged: a loss term or a gradient is not finite. The weights are those before the step.
    """
    recipe = state.recipe
    while callbacks(state) and state.images < recipe.total_images:
        step = recipe.plan_step(state.images, seed)
        if step.optimizer_epoch != state.optimizer_epoch:
            state.restart_optimizers(step.optimizer_epoch)
        state.set_learning_rates()
        planned = _plan_batches(recipe, state.images, seed, settings.micro_batches)
        batches: list[list[Batch]] = []
        losses: Losses = {}
        for phase in recipe.build_phases(step.stage):
            for update in range(int(phase.updates(state.images))):
                if update == len(batches):  # phases of one step share the first batch; further updates get fresh images
                    batches.append([_read_batch(state, source, seed, step.scope, piece) for piece in planned[update]])
                found = run_update(phase, state, batches[update], settings)
                losses |= {f"{phase.name}/{name}": term for name, term in found.items()}
        state.images += len(batches) * step.batch_size
        state.steps += 1
        state.update_ema(len(batches) * step.batch_size)
        yield losses


def _plan_batches(recipe: Recipe, images: int, seed: int, micro_batches: int) -> list[list[range]]:
    """Plan the batches of the step after `images` images: for each batch, this process's pieces as image numbers."""
    step = recipe.plan_step(images, seed)
    count = max(int(phase.updates(images)) for phase in recipe.build_phases(step.stage))
    firsts = (images + update * step.batch_size for update in range(count))
    return [distributed.split_batch(range(first, first + step.batch_size), micro_batches) for first in firsts]


def list_requests(
    recipe: Recipe,
    images: int,
    seed: int,
    settings: ComputeSettings = ComputeSettings(),  # noqa: B008
) -> Iterator[tuple[range, tuple[Region, ...]]]:
    """List in order what `run_steps` will read from its source after `images` images, until the recipe's end."""
    while images < recipe.total_images:
        step = recipe.plan_step(images, seed)
        planned = _plan_batches(recipe, images, seed, settings.micro_batches)
        for batch in planned:
            for piece in batch:
                yield piece, step.scope.regions
        images += len(planned) * step.batch_size


def run_update(
    phase: Phase, state: State, pieces: Sequence[Batch], settings: ComputeSettings = PLAIN_SETTINGS
) -> Losses:
    """Run one update of a phase on a batch in one or several pieces, and return its detached losses.

    All other networks are frozen; gradients are averaged over pieces and processes. In precisions other than float32,
    the networks run under autocast; weights, optimiser and losses remain in float32. In float16, the loss is scaled up
    for the backward pass, and an update that overflows is skipped.
    """
    state.networks.set_trainable(phase.trained_roles)
    device = pieces[0].image.device
    sums: Losses = {}
    zero = torch.zeros((), device=device)
    for batch in _one_by_one(pieces, state.networks):
        with torch.autocast(device.type, settings.dtype, enabled=settings.dtype != torch.float32):
            losses = phase.compute_losses(state.networks, batch)
        if losses:
            state.scaler.scale(sum(losses.values(), start=zero) / len(pieces)).backward()
        sums = {name: sums.get(name, zero) + term.detach() / len(pieces) for name, term in losses.items()}
        del losses
    learners = [state.optimizers[role] for role in phase.trained_roles]
    gradients = distributed.list_gradients(p for role in phase.trained_roles for p in state.networks[role].parameters())
    distributed.average_tensors([*gradients, *sums.values()])
    if state.scaler.is_enabled():
        _scaled_step(phase, state, learners, sums)
    else:
        _check_finite(phase, gradients, sums)
        for optimizer in learners:
            optimizer.step()
    for optimizer in learners:
        optimizer.zero_grad(set_to_none=True)  # freed before the next phase, for a lower peak of memory
    phase.constrain(state.networks)
    return sums


def _one_by_one(pieces: Sequence[Batch], networks: nn.Module) -> Iterator[Batch]:
    """Yield the pieces of a batch; each of several pieces is a new object and starts with the same network buffers.

    Therefore no tensor of a piece remains in memory, and the power iteration of a spectral norm advances once per
    batch.
    """
    if len(pieces) == 1:
        yield pieces[0]
        return
    before = [buffer.clone() for buffer in networks.buffers()]
    for piece in pieces:
        with torch.no_grad():
            for buffer, value in zip(networks.buffers(), before, strict=True):
                buffer.copy_(value)
        yield replace(piece)


def _check_finite(phase: Phase, gradients: list[Tensor], losses: Losses) -> None:
    """Raise `Diverged` if a gradient or a loss is not finite."""
    norm = torch.nn.utils.get_total_norm(gradients) if gradients else torch.zeros(())
    if torch.isfinite(norm + sum(losses.values(), start=torch.zeros((), device=norm.device))):
        return
    raise Diverged(_describe_divergence(phase, losses))


def _describe_divergence(phase: Phase, losses: Losses) -> str:
    bad = {name: term for name, term in losses.items() if not torch.isfinite(term)}
    if not bad:
        return f"the gradient of {' and '.join(phase.trained_roles)} in the phase {phase.name}"
    return ", ".join(f"{phase.name}/{name} = {term.item():.4g}" for name, term in bad.items())


def _scaled_step(phase: Phase, state: State, optimizers: list[torch.optim.Adam], losses: Losses) -> None:
    """Take a step with scaled gradients. If they overflow, skip the step and use a smaller scale from then on."""
    for optimizer in optimizers:
        state.scaler.step(optimizer)
    state.scaler.update()
    if state.scaler.get_scale() < 1:
        raise Diverged(_describe_divergence(phase, losses) + ", even with losses that are not scaled up,")


def _read_batch(state: State, source: BatchSource, seed: int, scope: Scope, numbers: range) -> Batch:
    """Read the images with these global numbers as a batch."""
    read, condition = source.read_batch(numbers, scope.regions)
    return Batch(read, condition, scope, seed, numbers, state.recipe.channels)
