"""ganatomy <verb>: one sub-command per verb, the same names as the functions."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg
from tyro.extras import SubcommandApp

from ganatomy import progress
from ganatomy.durable import FULL
from ganatomy.refused import Ended, Refused
from ganatomy.words import above_zero, conditioned, modality_of, pairs_of, recipe_of, shape_of, share_of

if TYPE_CHECKING:
    from ganatomy.exporting import Sample

app = SubcommandApp()

Quiet = Annotated[bool, arg(help="no progress and no messages", help_behavior_hint="")]
DryRun = Annotated[bool, arg(help="say what would be done and do nothing", help_behavior_hint="")]
Pairs = Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=VALUE")]
Shape = Annotated[
    str | None, arg(metavar="H,W | D,H,W", help="voxels per axis instead of the recipe's or the modality's own")
]
Despite = Annotated[bool, arg(help="export samples that failed the privacy audit", help_behavior_hint="")]
Compile = Annotated[bool, arg(name="compile", help="let torch compile the networks", help_behavior_hint="")]


@app.command
def phantom(
    kind: Positional[str], out: Path, patients: int = 16, seed: int = 0, shape: Shape = None, to: str = "dicom",
    workers: int | None = None, dry_run: DryRun = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Make a cohort of phantom patients as DICOM or NIfTI with a table of truth.

    Args:
        kind: what to make: mammogram, chest_ct or brain_mri
        out: a new folder
        patients: how many; a mammogram patient has four views, the others one volume
        seed: the same seed gives the same files
        to: dicom or, for volumes, nifti
        workers: processes; one a core by default
    """
    from ganatomy.phantoms.cohort import KINDS, cohort

    above_zero(patients=patients, workers=workers)
    if kind not in KINDS:
        raise Refused(f"There is no phantom {kind!r}; there are {', '.join(KINDS)}.")
    if seed < 0:
        raise Refused(f"--seed {seed}: give a number of zero or more.")
    if dry_run:
        return progress.say(f"{patients} phantom patients and truth.csv would be written to {out}.")
    made = cohort(kind, out, patients, seed, shape_of(shape), to, workers)
    progress.say(f"{made} images of {patients} phantom patients in {out}, truth in {out / 'truth.csv'}")


@app.command
def prepare(
    raw: Positional[Path], modality: str, out: Path, facts: Path | None = None, column: Pairs = (), fact: Pairs = (),
    voi: bool | None = None, field_of_view_mm: float | None = None, shape: Shape = None,
    workers: int | None = None, dry_run: DryRun = False, quiet: Quiet = False,
) -> None:  # fmt: skip
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
    """
    from ganatomy.data.prepare import prepare as run
    from ganatomy.data.prepare import preview
    from ganatomy.modalities.facts import Facts

    above_zero(workers=workers, field_of_view_mm=field_of_view_mm)
    table = Facts(facts, pairs_of(column, "--column"), pairs_of(fact, "--fact"))
    kind = modality_of(modality, facts=table, voi=voi, field_of_view_mm=field_of_view_mm, shape=shape_of(shape))
    if dry_run:
        return progress.say(preview(raw, kind))
    manifest = run(raw, kind, out, workers).manifest
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
    recipe: Positional[str | None] = None, store: Positional[Path | None] = None,
    out: Path = Path("runs"), seed: int = 0,
    set_: Annotated[UseAppendAction[tuple[str, ...]], arg(name="set", metavar="PATH=VALUE")] = (),
    recipe_file: Annotated[Path | None, arg(name="recipe")] = None,
    shape: Shape = None, tiny: bool = False, device: str | None = None, threads: int | None = None,
    condition: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME")] = (), generator: Path | None = None,
    precision: str | None = None, channels_last: bool | None = None, recompute: bool = False, compile_: Compile = False,
    tick_kimg: float = 4, grid_kimg: float = 40, snapshot_kimg: float = 100, checkpoint_kimg: float = 100,
    dry_run: DryRun = False, quiet: Quiet = False,
) -> None:  # fmt: skip
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
        precision: float32 or bfloat16; what is fastest and safe on the device by default, like the next
        channels_last: keep the channels of a voxel together in memory
        recompute: forget activations and compute them again: less memory, more time
        tick_kimg: a line in the log every so many thousand images
        grid_kimg: a picture of samples every so many
        snapshot_kimg: a snapshot every so many
        checkpoint_kimg: a checkpoint every so many, besides those when stopped
    """
    import torch

    from ganatomy.training.computing import chosen as computing
    from ganatomy.training.plan import described
    from ganatomy.training.train import train as run
    from ganatomy.training.watch import Intervals

    times = {
        "tick_kimg": tick_kimg,
        "grid_kimg": grid_kimg,
        "snapshot_kimg": snapshot_kimg,
        "checkpoint_kimg": checkpoint_kimg,
    }
    above_zero(threads=threads, **times)
    if threads:
        torch.set_num_threads(threads)
    if recipe_file is not None and store is None and recipe is not None:
        store, recipe = Path(recipe), None  # with --recipe FILE the only word is the store
    chosen = conditioned(recipe_of(recipe, recipe_file, set_, shape, tiny), condition, store)
    if dry_run:
        progress.say(described(chosen))
        return progress.say(f"\na run folder would be made or continued in {out}")
    if store is None:
        raise Refused("Give the store to train on: ganatomy train RECIPE STORE, or --dry-run to see the plan.")
    how = computing(len(chosen.shape), device, precision, channels_last, recompute, compile_)
    done = run(chosen, store, out, seed, device, Intervals(**times), how, generator)
    progress.say(f"{done.path}: complete, {chosen.total_kimg:g} kimg, {len(done.snapshots())} snapshots")


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

    above_zero(n=n)
    opened = open_run(run)
    if dry_run:
        return progress.say(
            f"{len(opened.snapshots())} snapshots would be ranked and {run / 'selection.json'} written."
        )
    best = selection.select(opened, store, n)
    progress.say(selection.told(opened))
    progress.say(f"best: {best.path}")


@app.command
def sample(
    run: Positional[Path], out: Path, n: int = 16, seed: int = 0, condition: Pairs = (),
    truncation: float | None = None, to: str | None = None, spacing: float | None = None, date: str | None = None,
    batch_size: int = 8, planes: int | None = None, device: str | None = None, reject_worst: str | None = None,
    store: Path | None = None, dry_run: DryRun = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Draw images from a snapshot or from the selected snapshot of a run.

    Args:
        run: a run or a snapshot folder
        out: a new folder
        n: how many
        seed: image i of a seed is always the same
        condition: a wanted fact, such as view_position=MLO; may be given several times
        truncation: draw latent numbers within this bound only
        to: png (16 bit), nifti, npy or dicom; png for mammograms and nifti for volumes by default
        spacing: millimetres, where the training images had none
        date: YYYYMMDD of the DICOM study; today by default
        batch_size: images a pass on a GPU
        planes: make a volume so many planes at a time, in bounded memory; in one pass by default
        device: cpu or cuda
        reject_worst: leave out the samples with the most artefacts, such as 5%; more are drawn instead
        store: with --reject-worst, the training set; for a run, its own by default
    """
    from ganatomy import exporting, sampling
    from ganatomy.checkpoint import find_snapshot, open_snapshot

    above_zero(n=n, truncation=truncation, spacing=spacing, batch_size=batch_size)
    share = share_of(reject_worst, "--reject-worst")
    snapshot = open_snapshot(find_snapshot(run), ("generator", "discriminator"))

    def draw(count: int) -> "Iterator[Sample]":
        wanted = pairs_of(condition, "--condition")
        return sampling.sample(snapshot, count, seed, wanted, truncation, batch_size, device, planes=planes)

    drawn = draw(n)
    if share is not None:
        from ganatomy.evaluation.rejecting import without_worst
        from ganatomy.evaluation.sides import store_of

        drawn = without_worst(snapshot, store_of(run, store), n, share, draw)
    if dry_run:
        return progress.say(f"{n} images of {snapshot.path} as {to or 'usual'} would be written to {out}.")
    made = exporting.write_samples(drawn, n, snapshot.modality, out, to, date, spacing)
    progress.say(f"{made} synthetic images of {snapshot.path} in {out}")


@app.command
def encode(
    run: Positional[Path], store: Positional[Path], out: Path = Path("features.parquet"), split: str | None = None,
    n: int | None = None, to: str | None = None, device: str | None = None, dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Turn images of a store into features: a table with one row a case, and a picture of the reconstructions.

    Args:
        run: a run or a snapshot with encoders: hagan-2022, or hagan-encoder after hagan
        store: made by prepare
        out: a file that ends in .parquet or .csv
        split: train, validation or test; all by default
        n: at most so many cases
        to: nifti, to write the reconstructions as well
        device: cpu or cuda
    """
    from ganatomy.checkpoint import find_snapshot, open_snapshot
    from ganatomy.data.store import open_store
    from ganatomy.encoding import encode as run_

    above_zero(n=n)
    snapshot, opened = open_snapshot(find_snapshot(run), roles=None), open_store(store)
    if dry_run:
        return progress.say(f"Features of {opened.path} by {snapshot.path} would be written to {out}.")
    rows = run_(snapshot, opened, out, split, n, device, to)
    progress.say(f"{rows} cases in {out}, originals beside reconstructions in {out.with_suffix('.png')}")


@app.command
def evaluate(
    images: Positional[Path], store: Positional[Path | None] = None, out: Path = Path("report"), n: int | None = None,
    extractor: str = "random", weights: Path | None = None, protocol: str | None = None, held_out: Path | None = None,
    facts: Path | None = None, column: Pairs = (), fact: Pairs = (), shape: Shape = None, beside: Pairs = (),
    reader_study: Path | None = None, answers: Path | None = None, serve: int | None = None,
    dry_run: DryRun = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Compare images with patients that the training has not seen; write report.json and report.html.

    Args:
        images: a run or snapshot, a folder of samples, or anybody's folder of DICOM, NIfTI, PNG or NPY
        store: real images it was trained on; for a run, its own store by default
        out: a new folder
        n: images a side at most
        extractor: of features: random (needs no weights), handcrafted, med3d-10, -18, -34, -50, inception-2015,
            dinov2-s, -b, -l
        weights: file of a pretrained extractor; nothing is downloaded
        protocol: also compute a published definition: hagan-2022 or pggan-swd-16384
        held_out: a store of other patients to compare with; the test patients of the store by default
        facts: CSV with a column "file" and the facts that anybody's images do not carry themselves
        column: a fact and its column in that table; may be given several times
        fact: a fact that holds for every one of anybody's images, such as view_position=CC; may be given several times
        beside: images of another model, NAME=FOLDER, for the figure of features; may be given several times
        reader_study: write a blinded set of real and synthetic images and a page to rate them here, instead of a report
        answers: a folder of readers' answers (JSON) to a reader study; images is then the study's folder
        serve: show the reader study's page on this port of this machine; images is then the study's folder
    """
    above_zero(n=n)
    if answers is not None or serve is not None:
        return _reading(images, answers, serve, dry_run)
    from ganatomy.modalities.facts import Facts

    told = Facts(facts, pairs_of(column, "--column"), pairs_of(fact, "--fact"))
    if dry_run:
        return progress.say(f"{images} would be compared with {store or 'its store'} and a report written to {out}.")
    if reader_study is not None:
        from ganatomy.evaluation.reader_study import study

        shown = study(images, reader_study, store, n, facts=told, shape=shape_of(shape), held_out=held_out)
        return progress.say(f"{shown} images in {reader_study}; open page.html there, or: ganatomy evaluate"
                            f" {reader_study} --serve 8000")  # fmt: skip
    from ganatomy.evaluation.evaluate import evaluate as run

    others = {name: Path(folder) for name, folder in pairs_of(beside, "--beside").items()}
    content = run(images, store, out, n, extractor=extractor, weights=weights, protocol=protocol, held_out=held_out,
                  facts=told, shape=shape_of(shape), beside=others)  # fmt: skip
    swd = content["swd"]
    progress.say(
        f"SWD x 1000: {swd['fake']['average']:g}, real floor {swd['real_floor']['average']:g} ({swd['protocol']})"
    )
    for row in content["scores"]:
        if row["p"] is not None or row["metric"] == "Frechet distance":
            progress.say(f"{row['metric']} ({row['extractor']}): {row['value']:.4g}, real floor {row['floor']:.4g}")
    progress.say(content["privacy"]["verdict"])
    progress.say(f"report: {out / 'report.html'}")


def _reading(folder: Path, answers: Path | None, serve: int | None, dry_run: bool) -> None:
    from ganatomy.evaluation import reader_study

    if dry_run:
        return progress.say(f"The reader study in {folder} would be {'read back' if answers else 'shown'}.")
    if answers is not None:
        return progress.say(reader_study.told(reader_study.read(folder, answers)))
    return reader_study.serve(folder, serve or 0)


@app.command
def export(
    samples: Positional[Path], out: Path, to: str = "dicom", spacing: float | None = None, date: str | None = None,
    despite_audit: Despite = False,
    dry_run: DryRun = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Write samples in another format.

    Args:
        samples: a folder made by sample
        out: a new folder
        to: dicom, png, nifti or npy
        spacing: millimetres, where the training images had none
        date: YYYYMMDD of the DICOM study; today by default
    """
    from ganatomy import exporting

    above_zero(spacing=spacing)
    if dry_run:
        rows, _ = exporting.read_samples(samples)
        exporting.check_audit(samples, despite_audit)
        return progress.say(f"{len(rows)} images would be written to {out} as {to}.")
    progress.say(f"{exporting.export(samples, out, to, date, spacing, despite_audit)} images in {out}")


def main(arguments: list[str] | None = None) -> int:
    """Run a command. 0 done, 1 our fault or a training that diverged, 2 the user's, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    progress.quiet = "--quiet" in words
    try:
        app.cli(
            args=words,
            prog="ganatomy",
            description="From a folder of DICOM to synthetic DICOM.",
            config=(OmitArgPrefixes,),
        )
    except Ended as end:
        print(f"ganatomy: {end}", file=sys.stderr)
        return end.exit_code
    except KeyboardInterrupt:
        print("ganatomy: interrupted; the same command goes on where that is possible.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in FULL:
            raise
        where = f" ({error.filename})" if error.filename else ""
        print(f"ganatomy: The disk is full{where}. Free some space, then give the same command again.", file=sys.stderr)
        return 2
    return 0
