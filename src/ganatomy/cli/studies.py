"""What the models are worth: benchmark, probe, explore, augment-study."""

import shlex
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from ganatomy.cli.app import DryRun, Pairs, Quiet, ShapeText, app
from ganatomy.cli.parsing import check_above_zero, parse_pairs, parse_shape
from ganatomy.errors import Refused
from ganatomy.machine import progress

TINY_KIMG = 0.064


@app.command
def benchmark(
    store: Path,
    out: Path = Path("benchmark"),
    budget: str | None = None,
    kimg: float | None = None,
    recipe: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME")] = (),
    seed: UseAppendAction[tuple[int, ...]] = (),
    shape: ShapeText = None,
    tiny: bool = False,
    n: int = 64,
    held_out: Path | None = None,
    extractor: str = "random",
    weights: Path | None = None,
    card: float | None = None,
    device: str | None = None,
    rounds: int | None = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Train the systems of the papers' tables on one store with equal budgets, compare them, write one page.

    Args:
        store: made by prepare
        out: a new folder, or one that an interrupted benchmark left
        budget: training time of each row, such as 90s, 30m or 2h
        kimg: thousands of images that each row sees, instead
        recipe: a row; may be given several times; all that fit the store by default
        seed: each row is trained with every one; may be given several times; 0 by default
        tiny: every recipe made small and a few steps of each, to see the page in minutes
        n: samples that are drawn and compared
        held_out: a store of other patients to compare with; the test patients of the store by default
        extractor: of features, as in evaluate
        weights: file of a pretrained extractor
        card: memory of a card in GiB, to say what would not fit
        device: cpu or cuda
        rounds: of the measurement of speed; 3 by default, 1 with --tiny
    """
    from ganatomy.benchmark.plan import BenchmarkPlan, choose_rows, parse_budget
    from ganatomy.data.store import open_store

    check_above_zero(kimg=kimg, n=n, card=card, rounds=rounds)
    if (budget is None) == (kimg is None) and not (tiny and budget is None):
        raise Refused("Give --budget 30m or --kimg 20, one of the two, or --tiny.")
    opened = open_store(store)
    size = parse_shape(shape) or opened.manifest.shape
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


@app.command
def probe(
    features: Positional[Path],
    table: Positional[Path],
    target: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="COLUMN")] = (),
    beside: Pairs = (),
    key: str = "file",
    out: Path | None = None,
    seed: int = 0,
    few: UseAppendAction[tuple[int, ...]] = (),
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Tell what features know of clinical measurements: R2 or AUC for patients not seen, with a permutation null.

    Args:
        features: a table made by encode
        table: CSV with the measurements
        target: a column of it, as it is or log:COLUMN; words are classes; may be given several times
        beside: features of another model, NAME=FILE; may be given several times
        key: the column that joins both tables
        out: a JSON file for the results
        seed: of the shuffles
        few: learn from so many labelled patients, too, and predict all others; may be given several times
    """
    if not target:
        raise Refused("Name what to predict: --target COLUMN, or --target log:COLUMN.")
    tables = {features.stem: features, **{name: Path(file) for name, file in parse_pairs(beside, "--beside").items()}}
    if dry_run:
        return progress.say(f"{', '.join(target)} of {table} would be predicted from {', '.join(tables)}.")
    from ganatomy.studies.probe import probe_features as run

    for one in run(tables, table, target, out, key, seed, few):
        progress.say(one.describe())


@app.command
def explore(
    run: Positional[Path],
    attribute: str,
    out: Path = Path("exploration"),
    n: int = 256,
    walks: int = 4,
    steps: int = 7,
    seed: int = 0,
    condition: Pairs = (),
    device: str | None = None,
    features: Path | None = None,
    table: Path | None = None,
    key: str = "file",
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Find the latent direction of an attribute, walk along it, and measure every image on the way again.

    Args:
        run: a run or a snapshot folder
        attribute: what the modality measures, such as lung_volume or density, of which the beginning is
            enough; component_1 to component_4 for directions that nobody named; or a column of --table
        out: a new folder
        n: random images that the direction is learnt on
        walks: codes that are moved
        steps: of a walk, from -3 to 3 standard deviations
        seed: of the codes
        condition: a fact of all images, such as view_position=MLO; may be given several times
        device: cpu or cuda
        features: codes of real images, made by encode with this model, to learn the direction of a column on
        table: CSV with the column
        key: the column that joins both tables
    """
    from ganatomy.checkpoint import find_snapshot, open_snapshot
    from ganatomy.studies.explore import TableColumn

    check_above_zero(n=n, walks=walks, steps=steps)
    if (features is None) != (table is None):
        raise Refused("A column of a table needs both --features and --table.")
    column = None if features is None or table is None else TableColumn(features, table, key)
    snapshot = open_snapshot(find_snapshot(run), ("generator",) if column is None else None)
    if dry_run:
        return progress.say(
            f"{walks} walks of {steps} steps along {attribute} of {snapshot.path} would be written to {out}."
        )
    from ganatomy.studies.explore import explore_attribute as run_

    told = run_(snapshot, attribute, out, n, walks, steps, seed, parse_pairs(condition, "--condition"), device, column)
    largest = max(told["leakage"].items(), key=lambda pair: abs(pair[1]), default=("nothing", 0.0))
    progress.say(
        f"{told['attribute']}: R2 of the direction {told['r2_of_the_direction']:.3f}, it grows on"
        f" {100 * told['monotony']:.0f} % of the steps, by {told['change_in_deviations']:.2f} deviations a walk; most"
        f" leakage into {largest[0]} ({largest[1]:.2f} of that). Pictures: {out / 'exploration.png'}"
    )


@app.command(name="augment-study")
def augment_study(
    store: Positional[Path],
    target: str,
    samples: Pairs = (),
    out: Path = Path("augment-study"),
    held_out: Path | None = None,
    share: UseAppendAction[tuple[float, ...]] = (),
    seeds: int = 3,
    steps: int = 300,
    shape: ShapeText = None,
    device: str | None = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Train classifiers on real images, with synthetic or jittered ones added, and on synthetic ones alone; compare.

    Args:
        store: the training images of the models
        target: the fact to classify by, which the models were conditioned on
        samples: synthetic images of a model, NAME=FOLDER; may be given several times
        out: a new folder, or one that an interrupted study left
        held_out: a store of other patients to test on; the test patients of the store by default
        share: of the real training patients, such as 0.1; may be given several times; 0.1, 0.25, 0.5 and 1 by default
        seeds: classifiers of each kind
        steps: of each classifier, of 16 images
        shape: a stored size at which images are classified; the full one by default
        device: cpu or cuda
    """
    from ganatomy.data.store import open_store

    check_above_zero(seeds=seeds, steps=steps)
    opened, other = open_store(store), None if held_out is None else open_store(held_out)
    folders = {name: Path(folder) for name, folder in parse_pairs(samples, "--samples").items()}
    if dry_run:
        return progress.say(f"{target} of {store} would be learnt with and without {', '.join(folders) or 'copies'}.")
    from ganatomy.studies.augment import PATIENT_SHARES, TABLE_FILE
    from ganatomy.studies.augment import run_augment_study as run

    told = run(opened, folders, target, out, other, share or PATIENT_SHARES, seeds, steps, parse_shape(shape), device)
    largest = max(share or PATIENT_SHARES)
    for row in told["rows"]:
        if row["share"] in (0.0, largest):
            progress.say(f"{row['trained_on']}: accuracy {row['accuracy']:.3f}, AUC {row['auc']:.3f}")
    progress.say(f"table: {out / TABLE_FILE}")
