"""Select the best snapshot of a run by the sliced Wasserstein distance to held-out patients (Korkinof 2018)."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import linregress

from ganatomy.checkpoint import Snapshot, open_snapshot
from ganatomy.data.store import Store, open_store
from ganatomy.errors import Refused
from ganatomy.evaluation.images.sample_cache import SampleCache
from ganatomy.evaluation.images.sets import (
    MAX_TRAINING_IMAGES,
    RealImages,
    list_numbers,
    list_requested_facts,
    select_matching_images,
    select_real_images,
)
from ganatomy.evaluation.learned.two_sample import attempt_learned_test
from ganatomy.evaluation.swd_scores import make_swd_reference
from ganatomy.evaluation.verdicts import describe_view
from ganatomy.machine import progress
from ganatomy.machine.device import usual_device
from ganatomy.machine.durable import read_json, write_json
from ganatomy.pyramid import format_shape
from ganatomy.sampling import sample
from ganatomy.training.run import Run, open_run

SAMPLING_SEEDS = range(3)  # one set of samples per seed; a difference below their spread is not meaningful
LEARNED_SNAPSHOTS = 2  # snapshots with the smallest SWD that, with the newest, are tested by the learned test
LEARNED_SAMPLES, LEARNED_SEED = 60, 3  # of the learned test; the seed differs from those of the distance
DESCENT_SNAPSHOTS = 4  # last snapshots, whose distances show whether the training was finished
WORTH_HAVING = 0.03  # least relative decrease of the distance per snapshot for which a longer training is suggested
MAX_VALIDATION_IMAGES = 2048  # unless --n sets another number


def select(
    run: Run | str | PathLike[str],
    store: Store | str | PathLike[str] | None = None,
    n: int | None = None,
    device: str | None = None,
) -> Snapshot:
    """Rank the snapshots of full size by SWD against validation patients and write ``selection.json`` in the run.

    SWD is the sliced Wasserstein distance (Karras 2018, section 5), the criterion of Korkinof 2018. The report of
    `evaluate` uses the test patients, so that no image serves both.

    Args:
        run: a run, or its folder.
        store: the store it was trained on; None = at the path it had during training.
        n: number of validation images to compare with; None = at most 2,048.
        device: where to compute; None = a GPU if there is one.

    Returns:
        The snapshot with the smallest distance. From then on `evaluate` and the command line use it for this run.

    Raises:
        Refused: no snapshot has reached the full size, or the store is not the one that the run was trained on.

    Example:
        >>> import ganatomy
        >>> best = ganatomy.select("runs/00000-pggan-mammogram")
        >>> best.path.name, best.is_full_size
        ('000000480', True)
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    with usual_device(device):
        return _rank_snapshots(run, open_run_store(run, store), n)


def _rank_snapshots(run: Run, store: Store, n: int | None) -> Snapshot:
    """What `select` does, on the usual device."""
    found = run.list_snapshots()
    newest_one = open_snapshot(found[-1]) if found else None
    if newest_one is None or not newest_one.is_full_size:  # all snapshots after the first of full size have it, too
        newest = f"the newest is at {newest_one.images / 1000:g} kimg" if newest_one else "the run has no snapshot"
        raise Refused(
            f"No snapshot of {run.path} has reached the full size {format_shape(run.recipe.shape)} ({newest}); continue"
            " the training."
        )
    held_out = select_real_images(store, "validation", run.recipe.shape, n or MAX_VALIDATION_IMAGES)
    measure = make_swd_reference(held_out, select_matching_images(store, "train", held_out))
    ranked = []
    with progress.bar("snapshots", len(found)) as bar:
        for path in found:
            snapshot = open_snapshot(path)  # one at a time, since the snapshots of a run take gigabytes
            if snapshot.is_full_size:
                ranked.append((measure.score_snapshot(snapshot, SAMPLING_SEEDS), path.name, snapshot.images / 1000))
            bar.advance()
    ranked.sort(key=lambda row: row[0].average)
    best = open_snapshot(run.path / "snapshots" / ranked[0][1])
    train = select_real_images(store, "train", run.recipe.shape, MAX_TRAINING_IMAGES)
    opened = {one.path.name: one for one in (best, newest_one)}
    told_apart = {
        name: _tell_apart(opened.get(name) or open_snapshot(run.path / "snapshots" / name), train, held_out)
        for name in dict.fromkeys([*(name for _, name, _ in ranked[:LEARNED_SNAPSHOTS]), newest_one.path.name])
    }
    unfinished = _describe_descent([(kimg, distance.average) for distance, _, kimg in ranked])
    write_json(
        run.path / "selection.json",
        {
            "best": best.path.name,
            "kimg": best.images / 1000,
            "protocol": measure.description,
            "held_out": "validation",
            "floor": measure.floor.model_dump(),
            "verdict": _verdict([(distance.average, distance.spread or 0.0) for distance, *_ in ranked]),
            "still_improving": unfinished,
            "ranking": [
                {"snapshot": name, "kimg": kimg, **distance.model_dump(), "told_apart": told_apart.get(name)}
                for distance, name, kimg in ranked
            ],
        },
    )
    return best


def _tell_apart(snapshot: Snapshot, train: RealImages, held_out: RealImages) -> dict[str, Any]:
    """Run the learned two-sample test on samples of a snapshot with the facts of the validation images."""
    wanted = list_requested_facts(snapshot, held_out)
    rounds = -(-LEARNED_SAMPLES // len(wanted))
    count = rounds * len(wanted)
    fakes = SampleCache(sample(snapshot, count, LEARNED_SEED, wanted * rounds), count, held_out.shape)
    numbers = list_numbers(train.store)
    told, _ = attempt_learned_test(train, held_out, fakes, list(range(count)), numbers=numbers)
    return {key: value for key, value in told.items() if key != "definition"}


def _describe_descent(distances: list[tuple[float, float]]) -> str | None:
    """Say that the distance was still decreasing at the end of the training; None if it was not.

    A line through the logarithms of the last distances has to decrease by more than its standard error and by at least
    `WORTH_HAVING` per snapshot.
    """
    last = sorted(distances)[-DESCENT_SNAPSHOTS:]
    if len(last) < DESCENT_SNAPSHOTS:
        return None
    line = linregress(range(len(last)), np.log([max(value, 1e-9) for _, value in last]))
    share = 1 - float(np.exp(line.slope))
    if share < WORTH_HAVING or line.slope + 2 * line.stderr > 0:
        return None
    return (
        f"The distance still decreased by {100 * share:.0f} % per snapshot over the last {len(last)} snapshots. A"
        " longer training is likely to give better images."
    )


def open_run_store(run: Run, store: Store | str | PathLike[str] | None) -> Store:
    """Open the store of a run and compare its fingerprint.

    Raises:
        Refused: it does not exist any more, or is another store.
    """
    store = store if isinstance(store, Store) else open_store(Path(store or run.store["path"]))
    if store.manifest.fingerprint != run.store["fingerprint"]:
        raise Refused(f"{store.path} is not the store that {run.path} was trained on; give that store with --store.")
    return store


def describe_selection(run: Run) -> str:
    """Format the selection of a run as a table."""
    selection = read_json(run.path / "selection.json")
    lines = [selection["protocol"], f"{'kimg':<12} {'SWD x 1000':<12} {'spread':<10} AUC against real images"]
    lines += [
        f"{row['kimg']:<12g} {row['average']:<12g} {row['spread']:<10g} {_describe_areas(row['told_apart'])}".rstrip()
        for row in selection["ranking"]
    ]
    lines.append(f"real floor   {selection['floor']['average']:g}")
    return "\n".join([*lines, selection["verdict"], *filter(None, [selection["still_improving"]])])


def _describe_areas(told: dict[str, Any] | None) -> str:
    if told is None:
        return ""
    if "why" in told:
        return f"not tested: it {told['why']}"
    return ", ".join(f"{row['auc']:.2f} {describe_view(row['view'])}" for row in told["views"])


def _verdict(ranked: list[tuple[float, float]]) -> str:
    """Compare the margin of the best snapshot with the spread over sampling seeds, in one sentence."""
    if len(ranked) == 1:
        return "The run has only one snapshot of full size, so no selection was necessary."
    (first, spread_first), (second, spread_second) = ranked[:2]
    spread = (spread_first**2 + spread_second**2) ** 0.5
    share = 100 * (second - first) / second
    worth = "more" if second - first > 2 * spread else "not more"
    return (
        f"The best snapshot is ahead of the next by {second - first:.2f} ({share:.1f} %), which is {worth} than two"
        f" standard deviations of the difference between sampling seeds ({spread:.2f})."
    )
