"""The verb `train`: make a run, or continue it."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from ganatomy.checkpoint import Snapshot, find_snapshot, open_snapshot
from ganatomy.config import explain_validation_error
from ganatomy.data.feed import Feed, check_store_for_training
from ganatomy.data.numbers import describe_facts
from ganatomy.data.store import Store, open_store
from ganatomy.errors import Diverged, Interrupted, Refused
from ganatomy.machine import progress
from ganatomy.machine.device import describe_device, find_unordered_operation, is_out_of_memory, measure_free_memory
from ganatomy.modalities.table import get_modality
from ganatomy.nn.across import get_rank, get_world_size
from ganatomy.pyramid import rescale_spacing
from ganatomy.recipes import get_recipe
from ganatomy.recipes.recipe import Recipe
from ganatomy.training import distributed, loop, plan
from ganatomy.training.announcement import describe_training
from ganatomy.training.callbacks import (
    GRID_IMAGES,
    Callback,
    Callbacks,
    Intervals,
    install_stop_handlers,
    save_reals_picture,
)
from ganatomy.training.computing import ComputeSettings, get_default_settings, override_settings
from ganatomy.training.launch import RUN_ID
from ganatomy.training.prefetch import Prefetcher
from ganatomy.training.run import GivenWeights, Run, describe_store, find_run, hold_run, number_new_run
from ganatomy.training.state import NO_WEIGHTS, State, Tensors
from ganatomy.training.tracking.table import make_trackers
from ganatomy.training.tracking.tracker import Tracker
from ganatomy.training.upsampling import settle_upsampling
from ganatomy.training.warm_start import WarmStart, plan_warm_start

DIVERGENCE_ADVICE = (
    "Try a lower learning rate (--set optimizers.discriminator.lr=0.001), a larger batch or, if levels fade in, longer"
    " fades (--set strategy.fade_kimg=...)."
)


def train(
    recipe: Recipe | str,
    store: Store | Path | str,
    out: Path | str,
    seed: int = 0,
    device: str | None = None,
    intervals: Intervals | None = None,
    computing: ComputeSettings | Mapping[str, Any] | None = None,
    generator: Path | str | None = None,
    fit: bool = False,
    anyway: bool = False,
    begin_from: Path | str | None = None,
    trackers: Sequence[str | Tracker] | None = None,
) -> Run:
    """Train a recipe on a store; a second call with the same arguments continues an interrupted run.

    If torchrun has started several processes, each computes its share of every batch, and the first writes the run.

    Args:
        recipe: a name of `RECIPES`, or a recipe.
        store: the store, whose training patients are used.
        out: folder of runs. A new run is made in it, or the run of this recipe, store and seed is continued.
        seed: seed of the initial weights, the order of images and all other random numbers.
        device: ``cpu``, ``cuda``, ``cuda:1`` and so on; None = a GPU if there is one. Each process started by torchrun
            gets its own GPU.
        intervals: intervals of log, grids, snapshots and checkpoints, in thousands of images.
        computing: the compute settings, or a mapping of those that differ from the settings with which the run was
            begun. The defaults of a new run are the fastest settings that are safe on the device.
        generator: a run or snapshot with the generator from which the recipe's networks learn (`hagan-encoder`); the
            recipe takes over its shape, conditions and widths.
        fit: if the training would not fit into memory, use the fastest settings that fit.
        anyway: train even if the plan predicts that memory is too small.
        begin_from: a run or snapshot with whose weights the networks begin, as far as tensors agree in name and shape.
            All other tensors get initial weights, and the conditions may differ.
        trackers: receivers of the progress beside ``log.jsonl``: ``tensorboard``, ``mlflow``, ``wandb`` or objects of
            your own; None = TensorBoard if it is installed. Nothing leaves the machine unless MLFLOW_TRACKING_URI or
            WANDB_MODE=online says so.

    Returns:
        The complete run.

    Raises:
        Refused: the recipe does not fit the store or the memory, `out` is another run, or memory has run out.
        Diverged: a loss or gradient is not finite; the last checkpoint is kept.
        Interrupted: SIGINT or SIGTERM was received; a checkpoint was saved.

    Example:
        >>> import ganatomy
        >>> recipe = ganatomy.RECIPES["pggan-mammogram"]().make_tiny()  # 20 x 16 pixels, 480 images
        >>> run = ganatomy.train(recipe, "store", "runs", seed=0)
        >>> run.path.name, run.list_snapshots()[-1].name
        ('00000-pggan-mammogram', '000000480')
    """
    request = TrainingRequest(recipe, store, Path(out), seed, device, computing, generator, fit, anyway, begin_from)
    told = make_trackers(trackers)
    resolved = resolve_request(request, distributed.count_processes())
    try:
        return _train_request(resolved, intervals or Intervals(), told)
    except RuntimeError as error:
        if operation := find_unordered_operation(error):
            raise Refused(
                f"--deterministic: {operation} has no form on {resolved.device} that gives the same bits every time;"
                f" leave the flag out, or train {resolved.recipe.name} on the CPU (--device cpu)."
            ) from error
        if not is_out_of_memory(error):
            raise
        processes = distributed.count_processes()
        raise Refused(
            plan.describe_shortage(resolved.recipe, resolved.computing, resolved.device, processes)
        ) from error


@dataclass(frozen=True)
class TrainingRequest:
    """The arguments of `train`."""

    recipe: Recipe | str
    store: Store | Path | str
    out: Path
    seed: int = 0
    device: str | None = None
    computing: ComputeSettings | Mapping[str, Any] | None = None
    generator: Path | str | None = None
    fit: bool = False
    anyway: bool = False
    begin_from: Path | str | None = None


@dataclass(frozen=True)
class ResolvedRequest:
    """The arguments of `train` after they were checked and resolved."""

    recipe: Recipe
    store: Store
    generator_snapshot: Snapshot | None
    out: Path
    seed: int
    device: torch.device
    computing: ComputeSettings
    warm_start: WarmStart | None = None

    @property
    def given(self) -> GivenWeights:
        """The weights that were given to the training."""
        return _describe_given(self.generator_snapshot, self.warm_start)


def _describe_given(generator: Snapshot | None, start: WarmStart | None) -> GivenWeights:
    return GivenWeights(
        None if generator is None else generator.digest, None if start is None else start.snapshot.describe_ancestry()
    )


def resolve_warm_start(recipe: Recipe, begin_from: Path | str | None) -> WarmStart | None:
    """Determine which weights of a run or snapshot a recipe can begin with; None if no run or snapshot is given.

    Raises:
        Refused: no tensor agrees, or frozen parts would keep random weights.
    """
    if begin_from is not None:
        return plan_warm_start(recipe, open_snapshot(find_snapshot(Path(begin_from)), roles=None))
    if recipe.frozen:
        raise Refused(f"{', '.join(recipe.frozen)} would keep random weights; give trained weights: --from RUN.")
    return None


def resolve_request(request: TrainingRequest, processes: int) -> ResolvedRequest:
    """Check that recipe, store, generator, device, memory and number of processes fit together; nothing is written.

    Raises:
        Refused: they do not.
    """
    distributed.check_device(request.device, processes)
    device = distributed.select_process_device(request.device)
    recipe = get_recipe(request.recipe) if isinstance(request.recipe, str) else request.recipe
    source = None if request.generator is None else open_snapshot(find_snapshot(Path(request.generator)))
    recipe = recipe if source is None else recipe.adapt_to_generator(source.recipe)
    _get_pretrained_weights(recipe, source)
    store = request.store if isinstance(request.store, Store) else open_store(Path(request.store))
    check_store_for_training(store, recipe.shape, recipe.channels, recipe.condition_space)
    warm_start = resolve_warm_start(recipe, request.begin_from)
    begun = find_run(request.out, recipe, store, request.seed, _describe_given(source, warm_start))
    ndim = len(recipe.shape)
    computing = request.computing
    if not isinstance(computing, ComputeSettings):
        usual = (None if begun is None else _read_settings(begun)) or get_default_settings(ndim, device)
        computing = override_settings(usual, **(computing or {}))
    computing.check(ndim, device)
    distributed.check_pieces(recipe, processes, computing.micro_batches)
    if os.environ.get("TORCHELASTIC_RUN_ID") != RUN_ID:  # else the launching command has said it
        path = (begun or number_new_run(request.out, recipe)).path
        progress.say(describe_training(path, begun is not None, recipe, store, device, computing, processes))
        if warm_start is not None:
            progress.say(warm_start.describe())
    local = processes if device.type == "cpu" else 1  # processes share the memory of a machine; every GPU has its own
    if request.fit:
        wished, computing = (
            computing,
            plan.fit_settings(recipe, computing, device, measure_free_memory(device) // local, processes),
        )
        progress.say(f"--fit: {plan.format_flags(computing, wished)}")
    elif not request.anyway:
        plan.check_memory(recipe, computing, device, measure_free_memory(device) // local, processes)
    return ResolvedRequest(recipe, store, source, request.out, request.seed, device, computing, warm_start)


def describe_unused_facts(recipe: Recipe, store: Store) -> str | None:
    """Say which facts of a store the recipe is not conditioned on; None if there are none.

    Facts that images do not show, such as the laterality of a mammogram in canonical orientation, are not mentioned.
    """
    free = get_modality(store.manifest.modality)().free_conditions
    unused = [name for name in store.manifest.facts if name not in recipe.condition_space.names and name not in free]
    if not unused:
        return None
    told = describe_facts({name: store.manifest.facts[name] for name in unused})
    return f"The store has {told}, which the recipe is not conditioned on; --condition {unused[0]} would use it."


def _train_request(request: ResolvedRequest, intervals: Intervals, trackers: Sequence[Tracker]) -> Run:
    recipe, store, seed, device = request.recipe, request.store, request.seed, request.device
    ndim = len(recipe.shape)
    fixed = recipe.plan_step(0, seed).batch_size if recipe.order == "stored" else None
    with distributed.process_group(device), ExitStack() as stack:
        settings = distributed.run_on_first_process(
            lambda: request.computing
        )  # each process has measured the free memory at another time
        stack.enter_context(settings.flags(device))
        if device.type == "cuda":
            progress.say(f"{device}: {settings.precision}" + (", deterministic" if settings.deterministic else ""))
        layout = settings.get_layout(ndim)
        feed = Feed(store, "train", recipe.condition_space, seed, device, layout, whole_batch_size=fixed)
        given = _get_pretrained_weights(recipe, request.generator_snapshot)
        state = State(recipe, seed, device, given, layout, settings.precision == "float16")
        if request.warm_start is not None:
            request.warm_start.apply_to(state)
        # Written only now, so that networks that cannot be built leave no folder of a run.
        run = Run(
            distributed.run_on_first_process(
                lambda: stack.enter_context(hold_run(request.out, recipe, store, seed, request.given)).path
            )
        )
        settings = distributed.run_on_first_process(lambda: _settle_upsampling(run, state, settings, device))
        distributed.run_on_first_process(
            lambda: run.record_settings(settings.model_dump(mode="json"), get_world_size(), describe_device(device))
        )
        _resume_run(run, state)
        settings.apply_to(state.networks, ndim)
        if get_rank() > 0:
            _run_loop(run, state, feed, seed, Callback(intervals, state), settings)
            return run
        if (unused := describe_unused_facts(recipe, store)) is not None:
            progress.say(unused)
        if state.images == 0:
            shown = (
                feed.read_batch(range(n, n + 1), recipe.get_final_scope().regions)[0][0] for n in range(GRID_IMAGES)
            )
            save_reals_picture(run.path / "reals.png", shown, store.shows_patients)
        space = recipe.condition_space
        condition = space.encode(space.spread_facts(GRID_IMAGES))
        about = _describe_training(store, recipe, request.given)
        callbacks = Callbacks(run, intervals, about, seed, condition, state, trackers)
        _run_loop(run, state, feed, seed, callbacks, settings)
        return run


def _resume_run(run: Run, state: State) -> None:
    """Load the newest intact checkpoint; the first process searches it and sets damaged checkpoints aside."""
    found = None

    def newest() -> None:
        nonlocal found
        found = run.load_newest_checkpoint()

    distributed.run_on_first_process(newest)
    if get_rank() > 0:
        newest()
    if found is not None:
        state.load(found[0], found[1]["counts"])
        progress.say(f"{run.path}: continuing at {state.images / 1000:.1f} of {state.recipe.total_kimg:g} kimg")


def _settle_upsampling(run: Run, state: State, settings: ComputeSettings, device: torch.device) -> ComputeSettings:
    """Choose, for ``auto``, the ways of up-sampling of the run so far, or those that are fastest on this device."""
    begun = _read_settings(run)
    if settings.upsampling == "auto" and begun is not None and begun.upsampling_by_layer:
        return settings.replace(upsampling_by_layer=begun.upsampling_by_layer)
    pieces = get_world_size() * settings.micro_batches
    settled, told = settle_upsampling(state.recipe, state.networks, settings, device, pieces)
    if told is not None:
        progress.say(told)
    return settled


def _read_settings(run: Run) -> ComputeSettings | None:
    """Read the settings of the run so far, so that continuing on another machine does not change them unasked."""
    try:
        return None if run.computing is None else ComputeSettings.model_validate(run.computing)
    except ValidationError as error:
        why = explain_validation_error(error, ComputeSettings)
        raise Refused(f"{run.path / 'environment.json'} was changed: {why}; restore it, or start anew.") from error


def _get_pretrained_weights(recipe: Recipe, snapshot: Snapshot | None) -> Mapping[str, Tensors]:
    """Return the weights of the networks that do not learn."""
    if not recipe.pretrained_roles:
        return NO_WEIGHTS
    if snapshot is None:
        raise Refused(f"{recipe.name} needs a trained {' and '.join(recipe.pretrained_roles)}: give --generator RUN.")
    return snapshot.weights


def _run_loop(
    run: Run, state: State, feed: Feed, seed: int, callbacks: Callbacks | Callback, settings: ComputeSettings
) -> None:
    undo = install_stop_handlers(callbacks)
    before = state.images
    source = Prefetcher(feed, loop.list_requests(state.recipe, state.images, seed, settings))
    try:
        with progress.bar(state.recipe.name, state.recipe.total_images, state.images) as bar:
            for losses in loop.run_steps(state, source, seed, callbacks, settings):
                callbacks.record_losses(losses)
                bar.advance(state.images - before, *callbacks.describe_progress(state))
                before = state.images
    except Diverged as error:
        kept = run.list_checkpoints()
        where = f"The checkpoint {kept[-1].name} is kept" if kept else "No checkpoint had been saved yet"
        raise Diverged(
            f"Training diverged at {state.images / 1000:.1f} kimg: {error} is not finite. {where}. {DIVERGENCE_ADVICE}"
        ) from error
    finally:
        undo()
        callbacks.close()
        source.close()
    if callbacks.stop_reason:
        raise Interrupted(
            f"{callbacks.stop_reason}: stopped at {state.images / 1000:.1f} kimg with a checkpoint; the same"
            " command continues."
        )


def _describe_training(store: Store, recipe: Recipe, given: GivenWeights) -> dict[str, Any]:
    """Make the meta data of a snapshot besides the recipe; the spacing is that of the recipe's shape."""
    spacing = rescale_spacing(store.manifest.spacing, store.manifest.shape, recipe.shape)
    about = describe_store(store)
    origin = {} if given.began_from is None else {"began_from": given.began_from}
    return {"modality": about["modality"], "spacing": spacing, "trained_on": about, **origin}
