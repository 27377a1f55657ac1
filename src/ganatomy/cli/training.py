"""From raw files to the best snapshot: phantom, fetch, prepare, recipes, plan, train, select."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from ganatomy.cli.app import DryRun, Json, Pairs, Quiet, ShapeText, answer, command, command_arguments
from ganatomy.cli.parsing import check_above_zero, parse_changes, parse_pairs, parse_shape, parse_shard, remove_flag
from ganatomy.errors import Refused
from ganatomy.machine import progress
from ganatomy.machine.choices import Precision, UpSampling

CompileFlag = Annotated[bool, arg(name="compile", help="compile networks with torch.compile", help_behavior_hint="")]


@command()
def phantom(
    kind: Positional[str],
    out: Path,
    patients: int = 16,
    seed: int = 0,
    shape: ShapeText = None,
    to: str = "dicom",
    labels: bool = False,
    workers: int | None = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Generate a cohort of phantom patients as DICOM or NIfTI, with a table of the true values.

    Args:
        kind: modality of the phantoms: mammogram, chest_ct or brain_mri
        out: output folder, new or empty
        patients: number of patients; each has four views for mammogram, one volume otherwise
        seed: seed of the random numbers; the same seed gives the same files
        to: output format: dicom or, for volumes, nifti
        labels: write the true structures of volumes as label maps beside the images, with --to nifti
        workers: number of worker processes; by default one per core
    """
    from ganatomy.phantoms.cohort import write_cohort
    from ganatomy.phantoms.table import get_phantom

    check_above_zero(patients=patients, workers=workers)
    get_phantom(kind)  # refuses an unknown kind first
    if seed < 0:
        raise Refused(f"--seed {seed}: give a number of zero or more.")
    if dry_run:
        return progress.say(f"{patients} phantom patients and truth.csv would be written to {out}.")
    made = write_cohort(kind, out, patients, seed, parse_shape(shape), to, workers, labels)
    progress.say(f"{made} images of {patients} phantom patients in {out}, true values in {out / 'truth.csv'}")


@command()
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
    """Download a public collection of the NCI Imaging Data Commons.

    --dry-run shows its size, licence and citation without a network connection.

    Args:
        collection: name of the collection, such as cmmd or lctsc
        out: folder for the downloaded files
        modality: DICOM modality code, such as MG, CT or MR
        patients: number of patients to download, the first in the order of their names
        match: select series by a column of the index, such as SeriesDescription=CHEST; may be given several times
        licence: licences to accept in addition to CC0 and CC BY
        endpoint: another server with the same buckets, such as a mirror
        workers: number of series to download at the same time
    """
    from ganatomy.fetching.fetch import fetch_collection as run
    from ganatomy.fetching.index import FREE_LICENCES, select_series

    check_above_zero(patients=patients, workers=workers)
    found = select_series(collection, modality, patients, parse_pairs(match, "--match"), (*FREE_LICENCES, *licence))
    progress.say(found.describe())
    if dry_run:
        return progress.say(f"They would be downloaded to {out}.")
    files = run(found, out, workers, endpoint)
    progress.say(f"{out / collection}: {files} files, all that the index lists; LICENCE.txt says how to attribute them")


@command(alone=lambda _: False)  # `prepare` itself holds the place; the jobs of a sharded store share it
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
    labels: Pairs = (),
    workers: int | None = None,
    shard: str | None = None,
    dask: str | None = None,
    key: Path | None = None,
    json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Convert a folder of raw files to a store; the same command resumes, or takes files that were added since.

    Args:
        raw: folder of DICOM, NIfTI, PNG, TIFF or JPEG files
        modality: mammogram, chest_ct or brain_mri
        out: folder of the store
        facts: CSV with a column "file" (for a series: its folder) and facts, which override those of a file's header
        column: column of the CSV that holds a fact, such as laterality=side or gold=GOLD; may be given several times
        fact: a fact that is the same for every file, such as view_position=CC; may be given several times
        voi: apply the VOI LUT or window of DICOM mammograms; applied by default
        field_of_view_mm: width of the grid of a brain in mm; 192 by default
        labels: a class of a label map and the pattern of its masks relative to the folder of an image, such as
            lung={stem}_lung.nii.gz or lesion={stem}_seg.nii.gz:2 for the value 2; {stem} is the name of the image
            without its suffix; may be given several times
        workers: number of worker processes; by default one per core
        shard: i/n: prepare every n-th part, beginning with part i, and leave the others to other jobs, such as those of
            a SLURM array
        dask: address of a Dask scheduler whose workers prepare the store, such as tcp://127.0.0.1:8786
        key: file of the secret key for pseudonyms, created if absent; by default the path in GANATOMY_PSEUDONYM_KEY,
            or ganatomy/pseudonyms.key in the user's configuration folder
    """
    from ganatomy.data.balance import describe_balance, read_balance
    from ganatomy.data.doubts import describe_doubts
    from ganatomy.data.numbers import describe_facts
    from ganatomy.data.prepare import prepare as run
    from ganatomy.data.prepare import preview_store
    from ganatomy.modalities.facts import FactSource
    from ganatomy.modalities.label_files import make_label_source
    from ganatomy.modalities.table import make_modality

    check_above_zero(workers=workers, field_of_view_mm=field_of_view_mm)
    table = FactSource(facts, parse_pairs(column, "--column"), parse_pairs(fact, "--fact"))
    masks = make_label_source(parse_pairs(labels, "--labels")) if labels else None
    own = {"voi": voi, "field_of_view_mm": field_of_view_mm, "shape": parse_shape(shape), "labels": masks}
    kind = make_modality(modality, facts=table, **own)
    if dry_run:
        return progress.say(preview_store(raw, kind, out))
    part = None if shard is None else parse_shard(shard)
    done = run(raw, kind, out, workers, dask, key, shard=part)
    if done is None:
        if json:
            answer({"store": out, "complete": False})
        return progress.say(f"{out}: shard {shard} is done; the store is complete when all shards are done.")
    manifest = done.manifest
    progress.say(f"{out}: {manifest.cases} images of {manifest.patients} patients; {manifest.splits}")
    progress.say(f"facts: {describe_facts(manifest.facts)}")
    if manifest.synthetic:
        progress.say(f"{manifest.synthetic} of the images say that they are synthetic: phantoms or samples")
    if (balance := read_balance(out)) is not None:
        for line in describe_balance(balance):
            progress.say(line)
    for line in describe_doubts(out):
        progress.say(line)
    progress.say(f"fingerprint {manifest.fingerprint[:16]}")
    if json:
        answer({"store": out, "complete": True, **manifest.model_dump(mode="json")})


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
    seed: int = 0,
    set_: Annotated[UseAppendAction[tuple[str, ...]], arg(name="set", metavar="PATH=VALUE")] = (),
    recipe_file: Annotated[Path | None, arg(name="recipe")] = None,
    shape: ShapeText = None,
    pace: float = 1,
    tiny: bool = False,
    device: str | None = None,
    threads: int | None = None,
    condition: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME[:number]")] = (),
    generator: Path | None = None,
    begin_from: Annotated[Path | None, arg(name="from")] = None,
    freeze: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="ROLE.PART")] = (),
    precision: Precision | None = None,
    channels_last: bool | None = None,
    recompute: bool = False,
    compile_: CompileFlag = False,
    micro_batches: int | None = None,
    hold_memory: bool | None = None,
    deterministic: bool = False,
    upsampling: UpSampling | None = None,
    search_kernels: bool = False,
    fit: bool = False,
    anyway: bool = False,
    processes: int = 1,
    tick_kimg: float = 4,
    grid_kimg: float = 40,
    snapshot_kimg: float = 100,
    checkpoint_kimg: float = 100,
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
    check_above_zero(threads=threads, micro_batches=micro_batches, processes=processes, pace=pace, **times)
    if threads:
        torch.set_num_threads(threads)
    if recipe_file is not None and store is None and recipe is not None:
        store, recipe = Path(recipe), None  # with --recipe FILE the only positional argument is the store
    size, changes = parse_shape(shape), parse_changes(set_)
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
    set_: Annotated[UseAppendAction[tuple[str, ...]], arg(name="set", metavar="PATH=VALUE")] = (),
    recipe_file: Annotated[Path | None, arg(name="recipe")] = None,
    shape: ShapeText = None,
    batch: int | None = None,
    device: str | None = None,
    processes: int = 1,
    precision: Precision | None = None,
    recompute: bool = False,
    micro_batches: int | None = None,
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

    check_above_zero(batch=batch, processes=processes, micro_batches=micro_batches)
    chosen = build_recipe(recipe, recipe_file, parse_changes(set_), parse_shape(shape))
    asked = ask_memory(chosen, memory, device, batch, processes, precision, recompute, micro_batches, hold_memory)
    if json:
        return answer(asked.predict())
    progress.say(asked.describe())


@command(place=lambda given: given["run"], alone=lambda given: False, heard=True)
def select(
    run: Positional[Path],
    store: Path | None = None,
    n: int | None = None,
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

    check_above_zero(n=n)
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
