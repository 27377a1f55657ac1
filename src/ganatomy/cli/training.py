"""From a store to the best snapshot: recipes, train, plan, select."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from ganatomy.cli.app import answer, command, command_arguments, remove_flag
from ganatomy.cli.options import (
    Amount,
    Changes,
    Count,
    DryRun,
    Json,
    OptionalCount,
    OptionalShape,
    Quiet,
    Seed,
    join_changes,
)
from ganatomy.errors import Refused
from ganatomy.machine import progress
from ganatomy.machine.choices import Precision, UpSampling

CompileFlag = Annotated[bool, arg(name="compile", help="compile networks with torch.compile", help_behavior_hint="")]


@command()
def recipes(json: Json = False, dry_run: DryRun = False, quiet: Quiet = False) -> None:
    """List the recipes, one per line."""
    from ganatomy.recipes import RECIPES

    if json:
        told = ((name, (make.__doc__ or "").strip().splitlines()[0]) for name, make in RECIPES.items())
        answer([{"name": name, "description": words} for name, words in told])
    for name, make in RECIPES.items():
        progress.say(f"{name:20s} {(make.__doc__ or '').strip().splitlines()[0]}")


@command(alone=lambda given: False)  # several trainings share a folder of runs, and each locks its own run
def train(
    recipe: Positional[str | None] = None,
    store: Positional[Path | None] = None,
    out: Path = Path("runs"),
    seed: Seed = 0,
    set_: Changes = (),
    recipe_file: Annotated[Path | None, arg(name="recipe")] = None,
    shape: OptionalShape = None,
    pace: Amount = 1,
    tiny: bool = False,
    device: str | None = None,
    threads: OptionalCount = None,
    condition: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME[:number]")] = (),
    generator: Path | None = None,
    begin_from: Annotated[Path | None, arg(name="from")] = None,
    freeze: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="ROLE.PART")] = (),
    precision: Precision | None = None,
    channels_last: bool | None = None,
    recompute: bool = False,
    compile_: CompileFlag = False,
    micro_batches: OptionalCount = None,
    hold_memory: bool | None = None,
    deterministic: bool = False,
    upsampling: UpSampling | None = None,
    search_kernels: bool = False,
    fit: bool = False,
    anyway: bool = False,
    processes: Count = 1,
    tick_kimg: Amount = 4,
    grid_kimg: Amount = 40,
    snapshot_kimg: Amount = 100,
    checkpoint_kimg: Amount = 100,
    track: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME")] = (),
    json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Train a recipe on a store; the same command resumes an interrupted training.

    Args:
        recipe: a name listed by "ganatomy recipes"; omit it when --recipe FILE is given
        store: folder of the training images, made by prepare
        out: folder in which the run folder is created
        seed: seed of the initial weights, the order of images and all random draws
        set_: change one setting of the recipe, such as strategy.fade_kimg=300; may be given several times
        recipe_file: YAML file with a base recipe and the settings that differ
        pace: multiply all lengths of the recipe (fades, schedules, averages, the end) by this number, such as 0.01
        tiny: train a small version of the recipe, to try it in seconds
        device: cpu or cuda; by default a GPU if there is one
        threads: number of CPU threads
        condition: a fact of the store to condition on, as a class or as a number (NAME:number, NAME:class); may be
            given several times
        generator: a run or snapshot with the finished generator that hagan-encoder learns from
        begin_from: a run or snapshot to begin with: all tensors that agree in name and shape are taken
        freeze: a part that keeps the weights of --from, such as discriminator.high.tower; may be given several times
        precision: float32, tf32 (NVIDIA), bfloat16 or float16; by default the fastest that is safe on the device
        channels_last: store the channels of a voxel next to each other in memory; by default chosen for the device
        recompute: discard activations and recompute them for the backward pass: less memory, more time
        micro_batches: number of pieces into which each batch is divided: less memory, the same result to rounding
        hold_memory: on a CPU, keep freed memory in the process: faster, with a higher peak
        deterministic: same bits every time on a GPU, too: slower, and refused where an operation has no such form
        upsampling: fold, phases or plain: how layers that double the size are computed; auto (the default on a GPU)
            times the three at the start; usual (the default on a CPU) is a fixed choice
        search_kernels: let cuDNN try its algorithms at every new shape: more memory, usually faster
        fit: if the training does not fit into memory, use the cheapest options with which it fits
        anyway: train even if the prediction says that memory will not suffice
        processes: number of processes on this machine that share every batch; use torchrun for several machines
        tick_kimg: write a line to the log every N thousand images
        grid_kimg: save a grid of samples every N thousand images
        snapshot_kimg: save a snapshot every N thousand images
        checkpoint_kimg: save a checkpoint every N thousand images; one is also saved when training is stopped
        track: tensorboard (the default where installed), mlflow, wandb or none; may be given several times; stays in
            the run folder unless MLFLOW_TRACKING_URI or WANDB_MODE=online says otherwise
    """
    import torch

    from ganatomy.data.store import open_store
    from ganatomy.library.recipe import choose_recipe
    from ganatomy.library.train import train as run
    from ganatomy.machine.device import select_device
    from ganatomy.training.callbacks import Intervals
    from ganatomy.training.distributed import count_processes as started
    from ganatomy.training.launch import launch_processes
    from ganatomy.training.plan import describe_recipe
    from ganatomy.training.train import TrainingRequest, describe_unused_facts, resolve_request, resolve_warm_start

    times = {
        "tick_kimg": tick_kimg,
        "grid_kimg": grid_kimg,
        "snapshot_kimg": snapshot_kimg,
        "checkpoint_kimg": checkpoint_kimg,
    }
    if threads:
        torch.set_num_threads(threads)
    if recipe_file is not None and store is None and recipe is not None:
        store, recipe = Path(recipe), None  # with --recipe FILE the only positional argument is the store
    size, changes = shape, join_changes(set_)
    chosen = choose_recipe(recipe, store, recipe_file, changes, size, tiny, pace, condition, freeze)
    how = {
        "precision": precision,
        "channels_last": channels_last,
        "recompute": recompute or None,
        "compiled": compile_ or None,
        "micro_batches": micro_batches,
        "hold_memory": hold_memory,
        "deterministic": deterministic or None,
        "upsampling": upsampling,
        "search_kernels": search_kernels or None,
    }
    if dry_run:
        if store is not None:  # all that a training checks, but for its memory, which is told below
            resolve_request(
                TrainingRequest(chosen, store, out, seed, device, how, generator, False, True, begin_from), processes
            )
        progress.say(describe_recipe(chosen))
        if (start := resolve_warm_start(chosen, begin_from)) is not None:
            progress.say(f"\n{start.describe()}")
        if store is not None and (unused := describe_unused_facts(chosen, open_store(store))) is not None:
            progress.say(f"\n{unused}")
        return progress.say(f"\nA run folder in {out} would be created or continued.")
    if store is None:
        raise Refused("No store is given: use ganatomy train RECIPE STORE, or --dry-run to see the plan.")
    if processes > 1 and started() == 1:
        # On GPUs each process checks the memory of its own GPU; this process would keep a CUDA context there.
        on_cards = select_device(device).type == "cuda"
        request = TrainingRequest(
            chosen, store, out, seed, device, how, generator, fit and not on_cards, anyway or on_cards, begin_from
        )
        resolve_request(request, processes)
        return launch_processes(processes, remove_flag(command_arguments, "--processes"))
    often = Intervals(**times)
    done = run(chosen, store, out, seed, device, often, how, generator, fit, anyway, begin_from, track=track)
    snapshots = done.list_snapshots()
    progress.say(f"{done.path}: complete, {chosen.total_kimg:g} kimg, {len(snapshots)} snapshots")
    if json:
        answer({"run": done.path, "recipe": chosen.name, "kimg": chosen.total_kimg, "snapshots": snapshots})


@command(heard=True)
def plan(
    recipe: Positional[str | None] = None,
    memory: str | None = None,
    set_: Changes = (),
    recipe_file: Annotated[Path | None, arg(name="recipe")] = None,
    shape: OptionalShape = None,
    batch: OptionalCount = None,
    device: str | None = None,
    processes: Count = 1,
    precision: Precision | None = None,
    recompute: bool = False,
    micro_batches: OptionalCount = None,
    hold_memory: bool | None = None,
    json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Predict whether training and sampling fit into memory, and which options would make them fit.

    Args:
        recipe: a name listed by "ganatomy recipes"; omit it when --recipe FILE is given
        memory: available memory, such as 16GB or 24GiB; by default what is free on the device
        set_: change one setting of the recipe, such as strategy.fade_kimg=300; may be given several times
        recipe_file: YAML file with a base recipe and the settings that differ
        batch: images per step, summed over all processes
        device: cpu or cuda; with --memory the default is cuda, even on a machine without a GPU
        processes: number of processes that share every batch
        precision: float32, tf32 (NVIDIA), bfloat16 or float16; by default the usual one on the device
        recompute: discard activations and recompute them for the backward pass
        micro_batches: number of pieces into which each batch is divided
        hold_memory: on a CPU, keep freed memory in the process
    """
    from ganatomy.library.plan import ask_memory
    from ganatomy.library.recipe import build_recipe

    chosen = build_recipe(recipe, recipe_file, join_changes(set_), shape)
    asked = ask_memory(chosen, memory, device, batch, processes, precision, recompute, micro_batches, hold_memory)
    if json:
        return answer(asked.predict())
    progress.say(asked.describe())


@command(place=lambda given: given["run"], alone=lambda given: False, heard=True)
def select(
    run: Positional[Path],
    store: Path | None = None,
    n: OptionalCount = None,
    device: str | None = None,
    json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Rank the snapshots of a run by sliced Wasserstein distance to validation patients.

    Args:
        run: a run folder
        store: the store that the run was trained on; by default at the path it had during training
        n: number of validation images to compare with
        device: cpu or cuda; by default a GPU if there is one
    """
    from ganatomy import selection
    from ganatomy.machine.durable import read_json
    from ganatomy.training.run import open_run

    opened = open_run(run)
    if dry_run:
        return progress.say(
            f"{len(opened.list_snapshots())} snapshots would be ranked and {run / 'selection.json'} written."
        )
    best = selection.select(opened, store, n, device)
    progress.say(selection.describe_selection(opened))
    progress.say(f"best: {best.path}")
    if json:
        answer({"snapshot": best.path, **read_json(run / "selection.json")})
