"""The verb: make or continue a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganatomy.checkpoint import Snapshot, find_snapshot, open_snapshot
from ganatomy.data import conditions
from ganatomy.data.feed import Feed, check_fit
from ganatomy.data.store import Store, open_store
from ganatomy.errors import Diverged, Interrupted, Refused
from ganatomy.machine import progress
from ganatomy.machine.device import free_memory
from ganatomy.nn.across import rank, world_size
from ganatomy.pyramid import spread
from ganatomy.recipes import named
from ganatomy.recipes.recipe import Recipe
from ganatomy.training import distributed, loop, plan
from ganatomy.training.callbacks import GRID, Follower, Intervals, Watch, reals_picture, stopping
from ganatomy.training.computing import Computing, usual
from ganatomy.training.prefetch import Ahead
from ganatomy.training.run import Run, about_store, find_run, make_or_continue
from ganatomy.training.state import NOTHING, State, Tensors

ADVICE = (
    "What to try: a lower learning rate (--set optimizers.discriminator.lr=0.001), a larger batch, or where levels fade"
    " in, longer fades (--set strategy.fade_kimg=...)."
)


def train(
    recipe: Recipe | str,
    store: Store | Path | str,
    out: Path | str,
    seed: int = 0,
    device: str | None = None,
    intervals: Intervals | None = None,
    computing: Computing | None = None,
    generator: Path | str | None = None,
    fit: bool = False,
    anyway: bool = False,
) -> Run:
    """Train a recipe on a store; the same call again continues where it was.

    In processes that torchrun has started each computes its share of every batch; the first writes the run.

    Args:
        recipe: a name or a value.
        store: where the images are.
        out: folder of runs; a new one is made in it, or the one of this recipe, store and seed goes on.
        seed: decides the first weights, the order of images and every draw.
        device: None = a GPU if there is one; of several processes started by torchrun each gets one of its own.
        intervals: how often to log, draw, and save.
        computing: precision, memory layout and the like; None = as the run was begun, and at its beginning the fastest
            that is safe on the device.
        generator: a run or snapshot whose generator the recipe's networks learn from, such as `hagan-encoder`; the
            recipe takes over its shape, conditions and widths.
        fit: where it would not fit into memory, compute it in the cheapest way that does (`need.easier`).
        anyway: try what will not fit by prediction.

    Returns:
        The run, complete.

    Raises:
        Refused: the recipe does not fit the store or the memory, or `out` is another run.
        Diverged: a loss is no finite number; the last good checkpoint is kept.
        Interrupted: SIGINT or SIGTERM; a checkpoint was saved.
    """
    wish = Wish(recipe, store, Path(out), seed, device, computing, generator, fit, anyway)
    return _train(ready(wish, distributed.processes()), intervals or Intervals())


@dataclass(frozen=True)
class Wish:
    """What was given to `train`."""

    recipe: Recipe | str
    store: Store | Path | str
    out: Path
    seed: int = 0
    device: str | None = None
    computing: Computing | None = None
    generator: Path | str | None = None
    fit: bool = False
    anyway: bool = False


@dataclass(frozen=True)
class Ready:
    """What was found to go together."""

    recipe: Recipe
    store: Store
    source: Snapshot | None
    out: Path
    seed: int
    place: torch.device
    computing: Computing

    @property
    def digest(self) -> str | None:
        """SHA-256 of the generator that was given, if one was."""
        return None if self.source is None else self.source.digest


def ready(wish: Wish, processes: int) -> Ready:
    """Recipe, store, generator, device, memory and so many processes, found to go together; nothing is written.

    Raises:
        Refused: they do not.
    """
    place = distributed.place(wish.device)
    recipe = named(wish.recipe) if isinstance(wish.recipe, str) else wish.recipe
    source = None if wish.generator is None else open_snapshot(find_snapshot(Path(wish.generator)))
    recipe = recipe if source is None else recipe.after(source.recipe)
    _given(recipe, source)
    store = wish.store if isinstance(wish.store, Store) else open_store(Path(wish.store))
    check_fit(store, recipe.shape, recipe.channels, recipe.conditions)
    begun = find_run(wish.out, recipe, store, wish.seed, None if source is None else source.digest)
    ndim = len(recipe.shape)
    computing = wish.computing or (None if begun is None else _begun(begun)) or usual(ndim, place)
    computing.check(ndim, place)
    distributed.check_pieces(recipe, processes, computing.micro_batches)
    local = processes if place.type == "cpu" else 1  # processes on a machine share its memory, GPUs do not
    if wish.fit:
        wished, computing = computing, plan.fit(recipe, computing, place, free_memory(place) // local, processes)
        progress.say(f"--fit: {plan.flags(computing, wished)}")
    elif not wish.anyway:
        plan.check(recipe, computing, place, free_memory(place) // local, processes)
    return Ready(recipe, store, source, wish.out, wish.seed, place, computing)


def _train(found: Ready, intervals: Intervals) -> Run:
    recipe, store, seed, place = found.recipe, found.store, found.seed, found.place
    ndim = len(recipe.shape)
    fixed = recipe.at(0, seed).batch_size if recipe.order == "stored" else None
    with distributed.joined(place):
        how = distributed.first(lambda: found.computing)  # each has seen the free memory at a moment of its own
        feed = Feed(store, "train", recipe.conditions, seed, place, how.layout(ndim), whole_batches_of=fixed)
        run = Run(distributed.first(lambda: make_or_continue(found.out, recipe, store, seed, found.digest).path))
        distributed.first(lambda: run.note(how.model_dump(), world_size()))
        given = _given(recipe, found.source)
        state = State(recipe, seed, place, given, how.layout(ndim), how.precision == "float16")
        _go_on(run, state)
        how.applied(state.players, ndim)
        if rank() > 0:
            _loop(run, state, feed, seed, Follower(intervals, state), how)
            return run
        if state.images == 0:
            shown = (feed.batch(range(n, n + 1), recipe.final().reads)[0][0] for n in range(GRID))
            reals_picture(run.path / "reals.png", shown)
        watch = Watch(run, intervals, _about(store, recipe), seed, _grid_conditions(recipe), state)
        _loop(run, state, feed, seed, watch, how)
        return run


def _go_on(run: Run, state: State) -> None:
    """Load the newest checkpoint that is whole; the first process looks for it and sets damaged ones aside."""
    found = None

    def newest() -> None:
        nonlocal found
        found = run.load_newest()

    distributed.first(newest)
    if rank() > 0:
        newest()
    if found is not None:
        state.load(found[0], found[1]["counts"])
        progress.say(f"{run.path}: going on at {state.images / 1000:.1f} of {state.recipe.total_kimg:g} kimg")


def _begun(run: Run) -> Computing | None:
    """How the run was computed before, so that going on elsewhere does not change it unasked."""
    return None if run.computing is None else Computing.model_validate(run.computing)


def _given(recipe: Recipe, source: Snapshot | None) -> Mapping[str, Tensors]:
    """Weights of the networks that do not learn."""
    if not recipe.given:
        return NOTHING
    if source is None:
        raise Refused(f"{recipe.name} needs a finished {' and '.join(recipe.given)}: give --generator RUN.")
    return source.weights


def _loop(run: Run, state: State, feed: Feed, seed: int, watch: Watch | Follower, how: Computing) -> None:
    undo = stopping(watch)
    before = state.images
    source = Ahead(feed, loop.requests(state.recipe, state.images, seed, how))
    try:
        with progress.bar(state.recipe.name, state.recipe.total_images, state.images) as bar:
            for terms in loop.train(state, source, seed, watch, how):
                watch.note(terms)
                bar.advance(state.images - before, watch.words(state))
                before = state.images
    except Diverged as error:
        kept = run.checkpoints()
        where = f"The checkpoint {kept[-1].name} is kept" if kept else "No checkpoint had been saved yet"
        raise Diverged(
            f"Training diverged at {state.images / 1000:.1f} kimg: {error} is not finite. {where}. {ADVICE}"
        ) from error
    finally:
        undo()
        watch.close()
        source.close()
    if watch.stop:
        raise Interrupted(
            f"{watch.stop}: stopped at {state.images / 1000:.1f} kimg with a checkpoint; the same command goes on."
        )


def _about(store: Store, recipe: Recipe) -> dict[str, Any]:
    """What a snapshot says besides the recipe. The spacing is that of the recipe's shape."""
    spacing = spread(store.manifest.spacing, store.manifest.shape, recipe.shape)
    about = about_store(store)
    return {"modality": about["modality"], "spacing": spacing, "trained_on": about}


def _grid_conditions(recipe: Recipe) -> torch.Tensor:
    """The first half of a grid has the first value of the first condition, and so on, in equal runs."""
    vectors = []
    for i in range(GRID):
        facts = {name: values[i * len(values) // GRID] for name, values in recipe.conditions.items()}
        vectors.append(conditions.vector(recipe.conditions, facts))
    return torch.from_numpy(np.stack(vectors))
