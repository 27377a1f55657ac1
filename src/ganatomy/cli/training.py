"""From raw files to the best snapshot: phantom, fetch, prepare, recipes, plan, train, select."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from ganatomy.cli.app import DryRun, Pairs, Quiet, ShapeText, app, command_arguments
from ganatomy.cli.parsing import (
    build_recipe,
    check_above_zero,
    condition_recipe,
    make_modality,
    parse_bytes,
    parse_pairs,
    parse_shape,
    parse_shard,
    remove_flag,
)
from ganatomy.errors import Refused
from ganatomy.machine import progress

CompileFlag = Annotated[bool, arg(name="compile", help="let torch compile the networks", help_behavior_hint="")]


@app.command
def phantom(
    kind: Positional[str],
    out: Path,
    patients: int = 16,
    seed: int = 0,
    shape: ShapeText = None,
    to: str = "dicom",
    workers: int | None = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Make a cohort of phantom patients as DICOM or NIfTI with a table of truth.

    Args:
        kind: what to make: mammogram, chest_ct or brain_mri
        out: a new folder
        patients: how many; a mammogram patient has four views, the others one volume
        seed: the same seed gives the same files
        to: dicom or, for volumes, nifti
        workers: processes; one a core by default
    """
    from ganatomy.phantoms.cohort import write_cohort
    from ganatomy.phantoms.table import get_phantom

    check_above_zero(patients=patients, workers=workers)
    get_phantom(kind)  # refuses an unknown one before anything else
    if seed < 0:
        raise Refused(f"--seed {seed}: give a number of zero or more.")
    if dry_run:
        return progress.say(f"{patients} phantom patients and truth.csv would be written to {out}.")
    made = write_cohort(kind, out, patients, seed, parse_shape(shape), to, workers)
    progress.say(f"{made} images of {patients} phantom patients in {out}, truth in {out / 'truth.csv'}")


@app.command
def fetch(
    collection: str,
    out: Path = Path("raw"),
    modality: str | None = None,
    patients: int | None = None,
    match: Pairs = (),
    licence: tuple[str, ...] = (),
    endpoint: str | None = None,
    workers: int = 8,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Get a public collection of the NCI Imaging Data Commons; --dry-run tells its size, licence and citation offline.

    Args:
        collection: its name there, such as cmmd or lctsc
        out: a folder of raw files
        modality: DICOM's code, such as MG, CT or MR
        patients: so many patients, the first by name
        match: a column of the index and its value, such as SeriesDescription=CHEST; may be given several times
        licence: accept these besides CC0 and CC BY
        endpoint: another server of the same buckets, such as a mirror
        workers: series at a time
    """
    from ganatomy.fetching.fetch import fetch_collection as run
    from ganatomy.fetching.index import FREE_LICENCES, select_series

    check_above_zero(patients=patients, workers=workers)
    found = select_series(collection, modality, patients, parse_pairs(match, "--match"), (*FREE_LICENCES, *licence))
    progress.say(found.describe())
    if dry_run:
        return progress.say(f"They would be downloaded to {out}.")
    files = run(found, out, workers, endpoint)
    progress.say(f"{out / collection}: {files} files, all that the index has; LICENCE.txt says how to attribute them")


@app.command
def prepare(
    raw: Positional[Path],
    modality: str,
    out: Path,
    facts: Path | None = None,
    column: Pairs = (),
    fact: Pairs = (),
    voi: bool | None = None,
    field_of_view_mm: float | None = None,
    shape: ShapeText = None,
    workers: int | None = None,
    shard: str | None = None,
    dask: str | None = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Turn a folder of raw files into a store; give the same command again to go on after an interruption.

    Args:
        raw: folder of DICOM, NIfTI, PNG, TIFF or JPEG files
        modality: mammogram, chest_ct or brain_mri
        out: the store
        facts: CSV with a column "file" (for a series: its folder) and the facts that the files do not carry themselves
        column: a fact and its column in the table, such as laterality=side or gold=GOLD; may be given several times
        fact: a fact that holds for every file, such as view_position=CC; may be given several times
        voi: apply the VOI LUT or window of DICOM mammograms; it is applied by default
        field_of_view_mm: what the grid of a brain covers; 192 by default
        workers: processes; one a core by default
        shard: i/n, to do every n-th part in this job and the others in others, such as a SLURM array's
        dask: address of a Dask scheduler whose workers do the work, such as tcp://127.0.0.1:8786
    """
    from ganatomy.data.prepare import prepare as run
    from ganatomy.data.prepare import prepare_shard, preview_store
    from ganatomy.modalities.facts import FactSource

    check_above_zero(workers=workers, field_of_view_mm=field_of_view_mm)
    table = FactSource(facts, parse_pairs(column, "--column"), parse_pairs(fact, "--fact"))
    kind = make_modality(modality, facts=table, voi=voi, field_of_view_mm=field_of_view_mm, shape=parse_shape(shape))
    if dry_run:
        return progress.say(preview_store(raw, kind))
    if shard is not None and dask is not None:
        raise Refused("--shard and --dask are two ways to share the work; give one.")
    if shard is not None:
        done = prepare_shard(raw, kind, out, parse_shard(shard), workers)
        if done is None:
            return progress.say(f"{out}: shard {shard} is done; the store is complete when all are.")
        manifest = done.manifest
    else:
        manifest = run(raw, kind, out, workers, dask).manifest
    progress.say(f"{out}: {manifest.cases} images of {manifest.patients} patients; {manifest.splits}; {manifest.facts}")
    left_out = sum(manifest.quarantined.values())
    reasons = "; ".join(f"{count} x {reason}" for reason, count in manifest.quarantined.items())
    progress.say(
        f"{left_out} of {manifest.files} files left out" + (f": {reasons}. See quarantine.jsonl." if left_out else ".")
    )
    progress.say(f"fingerprint {manifest.fingerprint[:16]}")


@app.command
def recipes(dry_run: DryRun = False, quiet: Quiet = False) -> None:
    """List the recipes, one a line."""
    from ganatomy.recipes import RECIPES

    for name, make in RECIPES.items():
        progress.say(f"{name:20s} {(make.__doc__ or '').strip().splitlines()[0]}")


@app.command
def train(
    recipe: Positional[str | None] = None,
    store: Positional[Path | None] = None,
    out: Path = Path("runs"),
    seed: int = 0,
    set_: Annotated[UseAppendAction[tuple[str, ...]], arg(name="set", metavar="PATH=VALUE")] = (),
    recipe_file: Annotated[Path | None, arg(name="recipe")] = None,
    shape: ShapeText = None,
    tiny: bool = False,
    device: str | None = None,
    threads: int | None = None,
    condition: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME")] = (),
    generator: Path | None = None,
    precision: str | None = None,
    channels_last: bool | None = None,
    recompute: bool = False,
    compile_: CompileFlag = False,
    micro_batches: int | None = None,
    hold_memory: bool | None = None,
    fit: bool = False,
    anyway: bool = False,
    processes: int = 1,
    tick_kimg: float = 4,
    grid_kimg: float = 40,
    snapshot_kimg: float = 100,
    checkpoint_kimg: float = 100,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Train a recipe on a store; the same command again continues where it was.

    Args:
        recipe: a name from "ganatomy recipes"; left out when --recipe FILE is given
        store: made by prepare
        out: folder of runs
        seed: first weights, order of images, every draw
        set_: change the recipe, such as strategy.fade_kimg=300; may be given several times
        recipe_file: YAML that names a base recipe and what differs
        tiny: the recipe made small, to try it in seconds
        device: cpu or cuda; a GPU if there is one by default
        threads: of the processor
        condition: a fact of the store to condition on, with the values found there; may be given several times
        generator: a run or snapshot whose finished generator is learnt from, for hagan-encoder
        precision: float32, bfloat16 or float16; what is fastest and safe on the device by default, like the next
        channels_last: keep the channels of a voxel together in memory
        recompute: forget activations and compute them again: less memory, more time
        micro_batches: compute a batch in so many pieces: less memory, the same result to rounding
        hold_memory: on a processor, keep freed memory within the process: faster, a higher peak
        fit: where it would not fit into memory, compute it in the cheapest way that does
        anyway: try what will not fit by prediction
        processes: on this machine, which share every batch; for several machines see torchrun
        tick_kimg: a line in the log every so many thousand images
        grid_kimg: a picture of samples every so many
        snapshot_kimg: a snapshot every so many
        checkpoint_kimg: a checkpoint every so many, besides those when stopped
    """
    import torch

    from ganatomy.training.callbacks import Intervals
    from ganatomy.training.computing import choose_settings as computing
    from ganatomy.training.distributed import count_processes as started
    from ganatomy.training.launch import launch_processes
    from ganatomy.training.plan import describe_recipe
    from ganatomy.training.train import TrainingRequest, resolve_request
    from ganatomy.training.train import train as run

    times = {
        "tick_kimg": tick_kimg,
        "grid_kimg": grid_kimg,
        "snapshot_kimg": snapshot_kimg,
        "checkpoint_kimg": checkpoint_kimg,
    }
    check_above_zero(threads=threads, micro_batches=micro_batches, processes=processes, **times)
    if threads:
        torch.set_num_threads(threads)
    if recipe_file is not None and store is None and recipe is not None:
        store, recipe = Path(recipe), None  # with --recipe FILE the only word is the store
    chosen = condition_recipe(build_recipe(recipe, recipe_file, set_, shape, tiny), condition, store)
    if dry_run:
        progress.say(describe_recipe(chosen))
        return progress.say(f"\na run folder would be made or continued in {out}")
    if store is None:
        raise Refused("Give the store to train on: ganatomy train RECIPE STORE, or --dry-run to see the plan.")
    how = computing(
        len(chosen.shape),
        device,
        precision=precision,
        channels_last=channels_last,
        recompute=recompute or None,
        compiled=compile_ or None,
        micro_batches=micro_batches,
        hold_memory=hold_memory,
    )
    if processes > 1 and started() == 1:
        resolve_request(TrainingRequest(chosen, store, out, seed, device, how, generator, fit, anyway), processes)
        return launch_processes(processes, remove_flag(command_arguments, "--processes"))
    done = run(chosen, store, out, seed, device, Intervals(**times), how, generator, fit, anyway)
    progress.say(f"{done.path}: complete, {chosen.total_kimg:g} kimg, {len(done.list_snapshots())} snapshots")


@app.command
def plan(
    recipe: Positional[str | None] = None,
    memory: str | None = None,
    set_: Annotated[UseAppendAction[tuple[str, ...]], arg(name="set", metavar="PATH=VALUE")] = (),
    recipe_file: Annotated[Path | None, arg(name="recipe")] = None,
    shape: ShapeText = None,
    batch: int | None = None,
    device: str | None = None,
    processes: int = 1,
    precision: str | None = None,
    recompute: bool = False,
    micro_batches: int | None = None,
    hold_memory: bool | None = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Say whether training and sampling fit into memory, before anything is allocated, and what would make them fit.

    Args:
        recipe: a name from "ganatomy recipes"; left out when --recipe FILE is given
        memory: such as 16GB or 24GiB; what is free on the device by default
        set_: change the recipe, such as strategy.fade_kimg=300; may be given several times
        recipe_file: YAML that names a base recipe and what differs
        batch: images a step, of all processes together
        device: cpu or cuda; cuda where --memory is given, whether there is one here or not
        processes: that share every batch
        precision: float32, bfloat16 or float16; what is usual on the device by default
        recompute: forget activations and compute them again
        micro_batches: compute a batch in so many pieces
        hold_memory: on a processor, keep freed memory within the process
    """
    import torch

    from ganatomy.machine.device import measure_free_memory
    from ganatomy.machine.device import select_device as named_device
    from ganatomy.training.computing import override_settings
    from ganatomy.training.distributed import check_pieces
    from ganatomy.training.plan import change_batch_size, describe_plan, get_recipe_default_settings

    check_above_zero(batch=batch, processes=processes, micro_batches=micro_batches)
    chosen = change_batch_size(build_recipe(recipe, recipe_file, set_, shape, tiny=False), batch)
    kinds = ("cpu", "cuda")
    if device not in (None, *kinds):
        raise Refused(f"--device {device}: a plan is for {' or '.join(kinds)}.")
    place = torch.device(device or "cuda") if memory else named_device(device)
    how = override_settings(
        get_recipe_default_settings(chosen, place),
        precision=precision,
        recompute=recompute or None,
        micro_batches=micro_batches,
        hold_memory=hold_memory,
    )
    check_pieces(chosen, processes, how.micro_batches)
    progress.say(
        describe_plan(chosen, how, place, parse_bytes(memory) if memory else measure_free_memory(place), processes)
    )


@app.command
def select(
    run: Positional[Path],
    store: Path | None = None,
    n: int | None = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Rank the snapshots of a run by sliced Wasserstein distance to validation patients.

    Args:
        run: a run folder
        store: the store it was trained on; where it was by default
        n: validation images to compare with
    """
    from ganatomy import selection
    from ganatomy.training.run import open_run

    check_above_zero(n=n)
    opened = open_run(run)
    if dry_run:
        return progress.say(
            f"{len(opened.list_snapshots())} snapshots would be ranked and {run / 'selection.json'} written."
        )
    best = selection.select(opened, store, n)
    progress.say(selection.describe_selection(opened))
    progress.say(f"best: {best.path}")
