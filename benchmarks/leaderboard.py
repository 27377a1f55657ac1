"""Time to quality on fixed tasks with fixed splits: the tables of docs/leaderboard.md.

    python benchmarks/leaderboard.py OUT [--task phantom-thoraces ...] [--entry volume ...] [--seeds 3] [--write]

An entry is a recipe file, benchmarks/leaderboard/TASK/ENTRY.yaml, at the commit that is checked out. It is trained on
the training patients of its task with one thread, until its training ends or the task's core-seconds are used up. A
core-second is a second in which the process had a core, so other work on the machine counts little. The last snapshot
is compared with held-out patients by the report: the learned two-sample test, KID in the report's feature spaces beside
its floor, variety, nearest training images, anatomy. The snapshots before it give the curve of KID over time.

The real images are not part of the project: --data FOLDER has `mri_ixi185` and `mammo_cddcesm`, and a task whose images
are not there is skipped with a sentence. The same command resumes. `--write` puts the tables between the marks in
docs/leaderboard.md. The last line is JSON.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from ganatomy.checkpoint import open_snapshot
from ganatomy.data.prepare import prepare
from ganatomy.data.store import Store, open_store
from ganatomy.errors import Interrupted
from ganatomy.evaluation.evaluate import evaluate
from ganatomy.evaluation.evidence import gather_evidence
from ganatomy.evaluation.extractors.table import get_extractor
from ganatomy.evaluation.images.comparison import ComparisonRequest, gather_comparison
from ganatomy.evaluation.metrics.kid import KID
from ganatomy.evaluation.metrics.variety import MEAN_DISTANCE
from ganatomy.evaluation.statistics import Score
from ganatomy.machine.durable import write_json
from ganatomy.modalities.brain_mri import BrainMRI
from ganatomy.modalities.chest_ct import ChestCT
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.modalities.modality import Modality
from ganatomy.phantoms.cohort import write_cohort
from ganatomy.recipes import RECIPES
from ganatomy.recipes.changes import read_recipe
from ganatomy.training.callbacks import Intervals
from ganatomy.training.train import train

ENTRIES = Path(__file__).parent / "leaderboard"
DOCUMENT = Path(__file__).parents[1] / "docs" / "leaderboard.md"
BEGIN, END = "<!-- leaderboard -->", "<!-- end of leaderboard -->"
SEED = 1000  # of the samples that are compared, as of `evaluate`
SNAPSHOTS = 5  # of a training, the last one included: the points of the curve
POLL_SECONDS = 0.2  # between two looks for a new snapshot
SPLIT_SEED = 20  # of the real images: who is held out


@dataclass(frozen=True)
class Task:
    """What is learned, from how many patients, in how much time.

    Args:
        modality: how images are read, with the size of the task.
        core_seconds: of a training.
        patients: for training, and held out.
        source: the folder of real images below --data and the pattern of their names; None = phantoms.
        kind: of the phantoms.
        phantom_shape: of the phantoms that are drawn.
    """

    modality: Callable[[Path], Modality]
    core_seconds: float
    patients: tuple[int, int]
    source: tuple[str, str] | None = None
    kind: str = ""
    phantom_shape: tuple[int, ...] = ()


def read_cc_views(folder: Path) -> Modality:
    return Mammogram(
        FactSource(folder.parent / "labels.csv", {"laterality": "side_by_folder"}, {"view_position": "CC"}),
        shape=(128, 96),
    )


TASKS = {
    "phantom-mammograms": Task(lambda _: Mammogram(shape=(80, 64)), 1200, (96, 40), None, "mammogram", (320, 256)),
    "phantom-thoraces": Task(lambda _: ChestCT(shape=(32, 32, 32)), 600, (96, 40), None, "chest_ct", (64, 64, 64)),
    "brains": Task(lambda _: BrainMRI(shape=(64, 64, 64)), 7200, (118, 30), ("mri_ixi185", "*_T1_brain.nii.gz")),
    "cc-views": Task(read_cc_views, 7200, (100, 30), ("mammo_cddcesm", "*.png")),
}


# ----------------------------------------------------------------------------------------------------------------------
# Images.


def make_stores(out: Path, task: Task, data: Path | None) -> tuple[Store, Store]:
    """The stores of the training patients and of the held-out patients."""
    sides = []
    for side, patients, seed in zip(("train", "held-out"), task.patients, (0, 1), strict=True):
        store, raw = out / side, out / f"raw-{side}"
        if not (store / "manifest.json").exists():
            if task.source is None:
                write_cohort(task.kind, raw, patients, seed, task.phantom_shape, workers=1)
            else:
                assert data is not None, "checked by `find_reason_to_skip`"
                link_side(data / task.source[0], task.source[1], raw, task.patients, side)
            prepare(raw, task.modality(raw), store, workers=1)
        sides.append(open_store(store))
    return sides[0], sides[1]


def link_side(source: Path, pattern: str, raw: Path, patients: tuple[int, int], side: str) -> None:
    """Links to the images of one side of a fixed division by chance; one file is one patient."""
    names = sorted(path.name for path in source.glob(pattern))
    order = [names[i] for i in np.random.default_rng(SPLIT_SEED).permutation(len(names))]
    held_out = order[: patients[1]]
    chosen = held_out if side == "held-out" else order[patients[1] : sum(patients)]
    raw.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        if not (raw / name).exists():
            (raw / name).symlink_to((source / name).resolve())
    labels = source / "labels.csv"
    if labels.exists() and not (raw.parent / labels.name).exists():
        (raw.parent / labels.name).write_bytes(labels.read_bytes())


def find_reason_to_skip(task: Task, data: Path | None) -> str | None:
    if task.source is None or (data is not None and (data / task.source[0]).is_dir()):
        return None
    return f"its images ({task.source[0]}) are not here; --data names the folder that holds them"


# ----------------------------------------------------------------------------------------------------------------------
# Training, in a process of its own.


class CoreClock(threading.Thread):
    """Notes the core-seconds at which snapshots appear, and stops the training when they are used up."""

    def __init__(self, notes: Path, runs: Path, core_seconds: float) -> None:
        super().__init__(daemon=True)
        self.notes, self.runs, self.allowed = notes, runs, core_seconds
        self.known: dict[str, float] = json.loads(notes.read_text()) if notes.exists() else {}
        self.before = self.known.get("used", 0.0)
        self.over = threading.Event()

    def measure(self) -> float:
        return self.before + time.process_time()

    def note(self) -> None:
        for snapshot in self.runs.glob("*/snapshots/[0-9]*"):
            self.known.setdefault(snapshot.name, round(self.measure(), 1))
        write_json(self.notes, self.known | {"used": round(self.measure(), 1)})

    def run(self) -> None:
        while not self.over.wait(POLL_SECONDS):
            self.note()
            if self.measure() > self.allowed:
                os.kill(os.getpid(), signal.SIGTERM)
                return


def train_entry(recipe_file: Path, store: Path, out: Path, seed: int, core_seconds: float) -> None:
    """Train with one thread until the end of the recipe or of the time; then the last regular snapshot counts."""
    recipe = read_recipe(recipe_file, {name: make() for name, make in RECIPES.items()})
    every = recipe.total_kimg / SNAPSHOTS
    clock = CoreClock(out / "clock.json", out / "runs", core_seconds)
    clock.start()
    intervals = Intervals(tick_kimg=every / 10, grid_kimg=every, snapshot_kimg=every, checkpoint_kimg=every)
    try:
        train(recipe, store, out / "runs", seed, "cpu", intervals)
    except Interrupted:
        print("The core-seconds were used up before the end of the training.", file=sys.stderr)
    finally:
        clock.over.set()
        clock.join()
        clock.note()


# ----------------------------------------------------------------------------------------------------------------------
# Scores.


def compute_result(out: Path, store: Store, held_out: Store) -> dict[str, Any]:
    """The scores of the last snapshot, and the curve of KID."""
    run = next((out / "runs").glob("[0-9]*"))
    clock = json.loads((out / "clock.json").read_text())
    *before, last = sorted((run / "snapshots").iterdir())
    if not (out / "report" / "report.json").exists():
        evaluate(last, store, out / "report", held_out=held_out.path)
    scores = list_scores(json.loads((out / "report" / "report.json").read_text()))
    first_kid = next(iter(scores["kid"].values()))[0]
    full = [one for one in before if open_snapshot(one).scope == open_snapshot(last).scope]
    curve = [(clock[one.name], measure_kid(one, store, held_out)) for one in full] + [(clock[last.name], first_kid)]
    return {"kimg": int(last.name) / 1000, "core_seconds": clock[last.name], **scores, "curve": curve}


def measure_kid(snapshot: Path, store: Store, held_out: Store) -> float:
    """KID in the features of the random network, as the report computes it."""
    compared = gather_comparison(snapshot, store, ComparisonRequest(None, SEED, FactSource(), None, held_out.path, 0))
    extractor = get_extractor("random", len(compared.test.shape), compared.other_train, None)
    score = KID.score(gather_evidence(compared, extractor), SEED)
    assert isinstance(score, Score), "the task has enough patients"
    return round(score.value, 4)


def list_scores(report: dict[str, Any]) -> dict[str, Any]:
    """What the tables show of a report."""
    (variety,) = [one for one in report["scores"] if one["metric"] == MEAN_DISTANCE.name]
    return {
        "auc": {one["view"]: round(one["auc"], 3) for one in report["learned"]["views"]},
        "kid": {
            one["extractor"]: (round(one["value"], 4), round(one["floor"], 4))
            for one in report["scores"]
            if one["metric"] == KID.name
        },
        "swd": (report["swd"]["fake"]["average"], report["swd"]["real_floor"]["average"]),
        "variety": round(variety["value"], 1),
        "audit passed": report["privacy"]["passed"],
        "verdicts": {one["question"]: one["answer"] for one in report["verdicts"]},
    }


def describe_commit() -> str:
    return subprocess.run(
        ("git", "rev-parse", "--short", "HEAD"), cwd=ENTRIES, capture_output=True, text=True, check=True
    ).stdout.strip()


# ----------------------------------------------------------------------------------------------------------------------
# Tables.


def write_tables(rows: list[dict[str, Any]]) -> str:
    """A table a task: mean over the seeds, with the least and the largest value."""
    lines = []
    for task in TASKS:
        own = [row for row in rows if row["task"] == task]
        if not own:
            continue
        views = list(own[0]["auc"])
        lines += [
            f"\n### {task}\n",
            f"| entry | commit | seeds | kimg | core-seconds | {' | '.join(f'AUC, {view}' for view in views)}"
            " | KID (floor) | the same in the second space | SWD (floor) | variety, % | audit passed |",
            "|" + "---|" * (10 + len(views)),
        ]
        for entry in dict.fromkeys(row["entry"] for row in own):
            group = [row for row in own if row["entry"] == entry]
            kids = [[list(row["kid"].values())[place] for row in group] for place in (0, 1)]
            cells = [
                entry,
                " ".join(dict.fromkeys(row["commit"] for row in group)),
                str(len(group)),
                describe_spread([row["kimg"] for row in group]),
                describe_spread([row["core_seconds"] for row in group]),
                *(describe_spread([row["auc"][view] for row in group], 2) for view in views),
                *(
                    f"{describe_spread([value for value, _ in kid])} ({mean(floor for _, floor in kid):.1f})"
                    for kid in kids
                ),
                f"{describe_spread([row['swd'][0] for row in group])} ({mean(row['swd'][1] for row in group):.1f})",
                describe_spread([row["variety"] for row in group]),
                f"{sum(row['audit passed'] for row in group)} of {len(group)}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("\nKID in the first space against core-seconds, once samples have the full size:\n")
        for row in own:
            points = ", ".join(f"{kid:.1f} at {seconds:.0f} s" for seconds, kid in row["curve"])
            lines.append(f"- {row['entry']}, seed {row['seed']}: {points}.")
    return "\n".join(lines) + "\n"


def describe_spread(values: list[float], digits: int = 1) -> str:
    if len(values) == 1 or max(values) - min(values) < 10**-digits:
        return f"{mean(values):.{digits}f}"
    return f"{mean(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--task", choices=TASKS, nargs="+", default=list(TASKS))
    parser.add_argument("--entry", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--train", nargs=3, help=argparse.SUPPRESS)  # entry, seed, folder: the process of a training
    told = parser.parse_args()
    if told.train is not None:
        (name,), (entry, seed, folder) = told.task, told.train
        store = told.out / name / "train"
        train_entry(ENTRIES / name / f"{entry}.yaml", store, Path(folder), int(seed), TASKS[name].core_seconds)
        return
    for name in told.task:
        task = TASKS[name]
        if reason := find_reason_to_skip(task, told.data):
            print(f"{name} is skipped: {reason}.")
            continue
        store, held_out = make_stores(told.out / name, task, told.data)
        entries = sorted(path.stem for path in (ENTRIES / name).glob("*.yaml"))
        for seed in range(told.seeds):
            for entry in entries if told.entry is None else [one for one in entries if one in told.entry]:
                folder = told.out / name / f"{entry}-seed{seed}"
                if not (folder / "result.json").exists():
                    make_result(told.out, name, entry, seed, folder, store, held_out)
                    print((folder / "result.json").read_text(), flush=True)
    rows = [json.loads(path.read_text()) for path in sorted(told.out.glob("*/*/result.json"))]
    if told.write:
        text = DOCUMENT.read_text()
        before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
        DOCUMENT.write_text(f"{before}\n{write_tables(rows)}\n{after}")
    print(json.dumps({"machine": f"{platform.machine()}, 1 thread a training", "rows": rows}))


def make_result(out: Path, name: str, entry: str, seed: int, folder: Path, store: Store, held_out: Store) -> None:
    """Train in a process of its own, measure, and keep the result."""
    folder.mkdir(exist_ok=True)
    words = (sys.executable, __file__, out, "--task", name, "--train", entry, str(seed), folder)
    subprocess.run(words, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    found = compute_result(folder, store, held_out)
    write_json(
        folder / "result.json", {"task": name, "entry": entry, "commit": describe_commit(), "seed": seed, **found}
    )


if __name__ == "__main__":
    main()
