"""The commands that study models: benchmark, probe, explore, augment-study."""

import shlex
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from ganatomy.cli.app import command
from ganatomy.cli.options import (
    Count,
    DryRun,
    OptionalAmount,
    OptionalCount,
    OptionalShape,
    Pairs,
    Quiet,
    Seed,
    join_pairs,
    join_paths,
)
from ganatomy.errors import Refused
from ganatomy.machine import progress
from ganatomy.machine.choices import StudyTaskName

TINY_KIMG = 0.064


@command()
def benchmark(
    store: Path,
    out: Path = Path("benchmark"),
    budget: str | None = None,
    kimg: OptionalAmount = None,
    recipe: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME")] = (),
    seed: UseAppendAction[tuple[int, ...]] = (),
    shape: OptionalShape = None,
    tiny: bool = False,
    n: Count = 64,
    held_out: Path | None = None,
    extractor: str = "random",
    weights: Path | None = None,
    card: OptionalAmount = None,
    device: str | None = None,
    rounds: OptionalCount = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Train the systems of the papers' tables on one store with equal budgets and compare them on one page.

    Args:
        store: folder of the training images, made by prepare
        out: a new folder, or the folder of an interrupted benchmark
        budget: training time of each row, such as 90s, 30m or 2h
        kimg: training length of each row in thousands of images, instead of --budget
        recipe: a recipe to include as a row; may be given several times; by default all that suit the store
        seed: train every row with this seed; may be given several times; by default 0
        tiny: train small versions of the recipes for a few steps, to see the page in minutes
        n: number of samples that are drawn and compared
        held_out: a store of other patients to compare with; by default the test patients of the store
        extractor: feature extractor, as in evaluate
        weights: file of a pretrained extractor
        card: memory of a GPU in GiB; the page says which rows would not fit
        device: cpu or cuda
        rounds: repetitions of the speed measurement; by default 3, with --tiny 1
    """
    from ganatomy.benchmark.plan import BenchmarkPlan, choose_rows, parse_budget
    from ganatomy.data.store import open_store

    if (budget is None) == (kimg is None) and not (tiny and budget is None):
        raise Refused("Give either --budget, such as 30m, or --kimg, such as 20, or --tiny.")
    opened = open_store(store)
    size = shape or opened.manifest.shape
    plan = BenchmarkPlan(
        store=str(store.resolve()),
        fingerprint=opened.manifest.fingerprint,
        held_out=None if held_out is None else str(held_out.resolve()),
        recipes=choose_rows(recipe, len(size)),
        seeds=seed or (0,),
        shape=size,
        kimg=kimg or (TINY_KIMG if tiny and budget is None else None),
        seconds=None if budget is None else parse_budget(budget),
        tiny=tiny,
        n=n,
        extractor=extractor,
        weights=None if weights is None else str(weights.resolve()),
        device=device,
        rounds=rounds or (1 if tiny else 3),
    )
    for name in plan.recipes:
        plan.recipe(name)
    if dry_run:
        told = f"{len(plan.recipes)} recipes with {len(plan.seeds)} seeds would be trained: {', '.join(plan.recipes)}"
        return progress.say(told)
    from ganatomy.benchmark.run import run_benchmark as run

    given = {
        "--held-out": held_out and held_out.name,
        "--shape": shape,
        "--kimg": kimg,
        "--budget": budget,
        "--n": n,
        "--rounds": rounds,
        "--extractor": extractor,
    }
    command = " ".join(f"{flag} {shlex.quote(str(value))}" for flag, value in given.items() if value is not None)
    page = run(plan, out, f"ganatomy benchmark --store {store.name} {command}{' --tiny' if tiny else ''}", card)
    progress.say(f"page: {page}")


@command(folder=False)
def probe(
    features: Positional[Path],
    table: Positional[Path],
    target: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="COLUMN")] = (),
    beside: Pairs = (),
    key: str = "file",
    out: Path | None = None,
    seed: Seed = 0,
    few: UseAppendAction[tuple[int, ...]] = (),
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Predict clinical measurements from features: cross-validated R2 or AUC by patient, with a permutation test.

    Args:
        features: a table made by encode
        table: CSV with the measurements
        target: the column to predict, COLUMN or log:COLUMN; a column of words is a set of classes; may be given several
            times
        beside: features of another model, NAME=FILE; may be given several times
        key: the column that joins both tables
        out: JSON file for the results
        seed: seed of the permutations
        few: also learn from only this many labelled patients and predict all others; may be given several times
    """
    if not target:
        raise Refused("No column to predict is given: use --target COLUMN or --target log:COLUMN.")
    tables = {features.stem: features, **join_paths(beside, "--beside")}
    if dry_run:
        return progress.say(f"{', '.join(target)} of {table} would be predicted from {', '.join(tables)}.")
    from ganatomy.studies.probe import probe_features as run

    for one in run(tables, table, target, out, key, seed, few):
        progress.say(one.describe())


@command()
def explore(
    run: Positional[Path],
    attribute: str,
    out: Path = Path("exploration"),
    n: Count = 256,
    walks: Count = 4,
    steps: Count = 7,
    seed: Seed = 0,
    condition: Pairs = (),
    device: str | None = None,
    features: Path | None = None,
    table: Path | None = None,
    key: str = "file",
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Find the latent direction of an attribute, move codes along it, and measure every generated image.

    Args:
        run: a run or a snapshot folder
        attribute: a measure of the modality, such as lung_volume or density (the first letters suffice); a principal
            component, component_1 to component_4; or a column of --table
        out: output folder, new or empty
        n: number of random images from which the direction is learnt
        walks: number of codes that are moved along the direction
        steps: number of steps per walk, from -3 to 3 standard deviations
        seed: seed of the codes
        condition: a fact of all images, such as view_position=MLO; may be given several times
        device: cpu or cuda
        features: codes of real images, made by encode with this model, from which the direction of a column is learnt
        table: CSV with the column
        key: the column that joins both tables
    """
    from ganatomy.checkpoint import find_snapshot, open_snapshot
    from ganatomy.studies.explore import TableColumn

    if (features is None) != (table is None):
        raise Refused("The direction of a table's column needs both --features and --table.")
    column = None if features is None or table is None else TableColumn(features, table, key)
    snapshot = open_snapshot(find_snapshot(run), ("generator",) if column is None else None)
    if dry_run:
        return progress.say(
            f"{walks} walks of {steps} steps along {attribute} of {snapshot.path} would be written to {out}."
        )
    from ganatomy.studies.explore import explore_attribute as run_

    told = run_(snapshot, attribute, out, n, walks, steps, seed, join_pairs(condition, "--condition"), device, column)
    largest = max(told["leakage"].items(), key=lambda pair: abs(pair[1]), default=("nothing", 0.0))
    progress.say(
        f"{told['attribute']}: R2 of the direction {told['r2_of_the_direction']:.3f}; the measure increases"
        f" on {100 * told['monotony']:.0f} % of the steps, by {told['change_in_deviations']:.2f} deviations per walk;"
        f" largest leakage: {largest[0]} ({largest[1]:.2f} of that). Figure: {out / 'exploration.png'}"
    )


@command("augment-study")
def augment_study(
    store: Positional[Path],
    target: str | None = None,
    samples: Pairs = (),
    task: StudyTaskName = "classification",
    out: Path = Path("augment-study"),
    held_out: Path | None = None,
    share: UseAppendAction[tuple[float, ...]] = (),
    seeds: Count = 3,
    steps: Count = 300,
    shape: OptionalShape = None,
    device: str | None = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Compare networks trained on real images, on real images with synthetic ones or controls, and on synthetic alone.

    Args:
        store: store of the models' training images
        target: for classification, the fact to classify by; the models must be conditioned on it
        samples: synthetic images of a model, NAME=FOLDER; may be given several times
        task: classification of a fact, or segmentation of the classes of label maps
        out: a new folder, or the folder of an interrupted study
        held_out: a store of other patients to test on; by default the test patients of the store
        share: share of the real training patients, such as 0.1; may be given several times; by default 0.1, 0.25, 0.5
            and 1
        seeds: number of networks of each kind
        steps: training steps of each network, of 16 images each
        shape: a stored size at which images are used; by default the full size
        device: cpu or cuda
    """
    from ganatomy.data.store import open_store

    opened, other = open_store(store), None if held_out is None else open_store(held_out)
    folders = join_paths(samples, "--samples")
    if dry_run:
        return progress.say(
            f"{target or 'The label map'} of {store} would be learnt with and without {', '.join(folders) or 'copies'}."
        )
    from ganatomy.studies.augment import PATIENT_SHARES, TABLE_FILE
    from ganatomy.studies.augment import run_augment_study as run

    told = run(opened, folders, target, out, other, share or PATIENT_SHARES, seeds, steps, shape, device, task)
    largest = max(share or PATIENT_SHARES)
    for row in told["rows"]:
        if row["share"] in (0.0, largest):
            scores = ", ".join(f"{title} {row[metric]:.3f}" for metric, title in told["metrics"].items())
            progress.say(f"{row['trained_on']}: {scores}")
    progress.say(f"table: {out / TABLE_FILE}")
