"""Augmentation study: networks trained on real images, synthetic images, both, or controls made of real images.

All networks are trained for the same number of steps and tested on the same images, of patients that neither a network
nor a generator has seen. With the same seed all networks start from the same weights and the same real images, so
differences are computed pair by pair. The controls show how much of a gain is due to repetition or to changes of the
real images alone. What is learned is a `StudyTask`; this file does not know which.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import stdev
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from ganatomy import randomness
from ganatomy.config import Config
from ganatomy.data.cases import Cases
from ganatomy.data.samples import hash_samples
from ganatomy.data.store import Store
from ganatomy.errors import Refused, refuse_name
from ganatomy.machine import progress
from ganatomy.machine.device import select_device as named_device
from ganatomy.machine.durable import new_file, read_json, read_lines, write_json, write_lines, write_text
from ganatomy.pyramid import Shape, format_shape
from ganatomy.studies.classifying import Classification
from ganatomy.studies.segmenting import Segmentation
from ganatomy.studies.study_task import StudyImages, StudyTask

PATIENT_SHARES = (0.1, 0.25, 0.5, 1.0)
REAL = "real"
STUDY_PLAN_FILE, CELLS_FILE, TABLE_FILE, PICTURE_FILE = "plan.json", "cells.jsonl", "study.md", "study.png"
BOOTSTRAP_DRAWS = 4000
TASKS: dict[str, type[Classification] | type[Segmentation]] = {
    task.name: task for task in (Classification, Segmentation)
}


class StudyPlan(Config):
    """All settings that determine the results of a study, except the machine.

    Args:
        store: fingerprint of the real images.
        held_out: fingerprint of the store to test on; None = the test patients of `store`.
        samples: hash of each folder of synthetic images, by name.
        task: what is learned.
        target: the fact to classify by; None = the task needs none.
        classes: what the networks tell apart.
        shares: shares of the real training patients.
    """

    format: int = 1
    store: str
    held_out: str | None
    samples: dict[str, str]
    task: str = Classification.name
    target: str | None
    classes: tuple[str, ...]
    shares: tuple[float, ...]
    seeds: tuple[int, ...]
    steps: int
    shape: tuple[int, ...]


class StudyCell(NamedTuple):
    """One network: its training set, the share of real patients (0 = none) and its seed."""

    trained_on: str
    share: float
    seed: int


def run_augment_study(
    store: Store,
    samples: Mapping[str, Path],
    target: str | None,
    out: Path,
    held_out: Store | None = None,
    shares: Sequence[float] = PATIENT_SHARES,
    seeds: int = 3,
    steps: int = 300,
    shape: Shape | None = None,
    device: str | None = None,
    task: str = Classification.name,
) -> dict[str, Any]:
    """Train and test all networks and write a table and a picture; the same call resumes an interrupted study.

    Args:
        store: the training images of the generators.
        samples: folders of synthetic images by name; their records must contain the target, or they are pairs with
            label maps.
        target: for ``classification``, a fact of the store with few values; else None.
        out: a new folder, or the folder of the same study.
        held_out: a store of other patients to test on; None = the test patients of `store`.
        shares: shares of the training patients, each above 0 and at most 1.
        seeds: number of seeds; each gives another choice of patients, other weights and another order.
        steps: training steps of each network, of 16 images each.
        shape: a stored size at which images are used; None = the full size of the store.
        device: ``cpu`` or ``cuda``; None = a GPU if there is one.
        task: ``classification``, or ``segmentation`` for stores with label maps.

    Returns:
        The content of ``study.json``: for every training set and share the means over seeds, and the differences from
        real images alone with 95 % intervals of the pairs.

    Raises:
        Refused: the task or the fact is unknown or has other values in samples or held-out images, label maps are
            missing or have other classes, or `out` belongs to another study.
    """
    if not shares or not all(0 < share <= 1 for share in shares):
        raise Refused(f"--share {', '.join(f'{s:g}' for s in shares)}: give shares above 0 and at most 1.")
    shape = shape or store.manifest.shape
    if shape not in store.manifest.levels:
        known = ", ".join(format_shape(level) for level in store.manifest.levels)
        raise Refused(f"--shape {format_shape(shape)}: the sizes of the store are {known}.")
    if task not in TASKS:
        raise refuse_name(f"There is no task {task!r}", task, list(TASKS))
    learned = TASKS[task](store, target)
    if taken := [name for name in samples if f"{REAL} + {name}" in {control.name for control in learned.controls}]:
        raise Refused(f"--samples {taken[0]}=...: {REAL} + {taken[0]} is a control of every study; give another name.")
    plan = StudyPlan(
        store=store.manifest.fingerprint,
        held_out=held_out and held_out.manifest.fingerprint,
        samples={name: hash_samples(folder) for name, folder in samples.items()},
        task=task,
        target=target,
        classes=learned.classes,
        shares=tuple(shares),
        seeds=tuple(range(seeds)),
        steps=steps,
        shape=shape,
    )
    _check_folder(plan, out)
    real = _read_store(learned, store, store.split("train"), shape)
    tested = _read_store(learned, held_out or store, held_out.cases if held_out else store.split("test"), shape)
    learned.check_tested(tested)
    made = {name: learned.read_samples(folder, shape) for name, folder in samples.items()}
    write_json(out / STUDY_PLAN_FILE, plan.model_dump(mode="json"))
    done = {StudyCell(row["trained_on"], row["share"], row["seed"]): row for row in _read_cells(out)}
    todo = _list_cells(plan, learned)
    with progress.bar("networks", len(todo), len(done)) as bar:
        for cell in todo:
            if cell not in done:
                training = _gather_training_set(cell, learned, real, made)
                scores = learned.train_and_test(training, tested, steps, cell.seed, named_device(device))
                done[cell] = {**cell._asdict(), **scores}
                write_lines(out / CELLS_FILE, list(done.values()))
                bar.advance(note=cell.trained_on)
    content: dict[str, Any] = {
        "plan": plan.model_dump(mode="json"),
        "training_images": len(real.images),
        "tested_images": len(tested.images),
        "tested_patients": len(set(tested.patients)),
        **learned.measure_tested(tested),
        "synthetic_images": {name: len(one.images) for name, one in made.items()},
        "metrics": dict(learned.metrics),
        "rows": _summarise_cells(plan, list(learned.metrics), list(done.values())),
    }
    write_json(out / "study.json", content)
    write_text(out / TABLE_FILE, _markdown(plan, learned, content))
    with new_file(out / PICTURE_FILE) as temporary, temporary.open("wb") as handle:
        _figure(plan, learned, content["rows"]).savefig(handle, dpi=110, format="png", metadata={"Software": None})
    return content


# ----------------------------------------------------------------------------------------------------------------------
# Training sets.


def _read_store(task: StudyTask, store: Store, cases: Cases, shape: Shape) -> StudyImages:
    if not cases:
        raise Refused(f"{store.path} has no images to test on; give others with --held-out.")
    if shape not in store.manifest.levels:
        raise Refused(f"{store.path} has no images of {format_shape(shape)}; prepare it with the same --shape.")
    return task.read_store(store, cases, shape)


def _take_share(real: StudyImages, share: float, seed: int) -> StudyImages:
    """Take the images of a share of the patients; with the same seed a larger share contains a smaller one."""
    names = sorted(set(real.patients))
    order = randomness.draw_permutation(seed, "patients", 0, len(names))
    taken = {names[i] for i in order[: math.ceil(share * len(names))]}
    return real.take(i for i, patient in enumerate(real.patients) if patient in taken)


def _list_cells(plan: StudyPlan, task: StudyTask) -> list[StudyCell]:
    cells = []
    for seed in plan.seeds:
        for share in plan.shares:
            names = [REAL, *(control.name for control in task.controls), *(f"{REAL} + {name}" for name in plan.samples)]
            cells += [StudyCell(name, share, seed) for name in names]
        cells += [StudyCell(name, 0.0, seed) for name in plan.samples]
    return cells


def _gather_training_set(
    cell: StudyCell, task: StudyTask, real: StudyImages, synthetic: Mapping[str, StudyImages]
) -> StudyImages:
    """Gather the real images of a share of the patients, and what is added to them."""
    parts = [_take_share(real, cell.share, cell.seed)] if cell.share else []
    controls = {control.name: control for control in task.controls}
    if cell.trained_on in controls:
        count = max((len(one.images) for one in synthetic.values()), default=len(real.images))
        parts.append(controls[cell.trained_on].make(parts[0], count, cell.seed))
    elif cell.trained_on != REAL:
        parts.append(synthetic[cell.trained_on.removeprefix(f"{REAL} + ")])
    return StudyImages(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.targets for part in parts]),
        [patient for part in parts for patient in part.patients],
    )


# ----------------------------------------------------------------------------------------------------------------------
# Results.


def _check_folder(plan: StudyPlan, out: Path) -> None:
    """Check that a folder is new, empty or of this study."""
    if (out / STUDY_PLAN_FILE).exists():
        before = {"task": Classification.name, **read_json(out / STUDY_PLAN_FILE)}  # earlier releases had one task
        now = plan.model_dump(mode="json")
        if changed := [name for name in now if before.get(name) != now[name]]:
            raise Refused(f"{out} holds a study with another {', '.join(changed)}; give a new folder.")
    elif out.exists() and any(out.iterdir()):
        raise Refused(f"{out} is neither empty nor a study; give a new folder.")


def _read_cells(out: Path) -> list[dict[str, Any]]:
    return read_lines(out / CELLS_FILE) if (out / CELLS_FILE).exists() else []


def _summarise_cells(plan: StudyPlan, metrics: Sequence[str], cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Summarise the metrics over seeds for each training set and share, with differences from real images alone."""
    found: dict[tuple[str, float], dict[int, dict[str, Any]]] = {}
    for cell in cells:
        found.setdefault((cell["trained_on"], cell["share"]), {})[cell["seed"]] = cell

    def collect(key: tuple[str, float], metric: str) -> NDArray[np.float64]:
        """The scores, (seeds, patients), with one column where a score is of all patients together."""
        return np.stack([np.atleast_1d(found[key][seed][metric]) for seed in plan.seeds])

    rows = []
    for name, share in sorted(found, key=lambda key: key[1]):
        row: dict[str, Any] = {"trained_on": name, "share": share}
        for metric in metrics:
            own = collect((name, share), metric)
            against = collect((REAL, share or max(plan.shares)), metric)
            row[metric] = round(float(own.mean()), 4)
            row[f"{metric}_gain"] = None if name == REAL else compute_gain(own - against)
        rows.append(row)
    return rows


def compute_gain(differences: NDArray[np.float64]) -> dict[str, float | None]:
    """Compute the mean of differences with a 95 % interval.

    Args:
        differences: ``(seeds, patients)``, each of a pair. One column is a score of all patients together: then the
            interval is the t interval over seeds, and there is none with one seed. Otherwise seeds and patients are
            drawn again, each by itself (bootstrap of crossed factors, Owen 2007).
    """
    seeds, patients = differences.shape
    centre = float(differences.mean())
    if patients == 1:
        if seeds < 2:
            return {"value": round(centre, 4), "low": None, "high": None}
        reach = float(stats.t.ppf(0.975, seeds - 1)) * stdev(differences[:, 0].tolist()) / seeds**0.5
        low, high = centre - reach, centre + reach
    else:
        rng = np.random.default_rng(0)
        by_seed = rng.multinomial(seeds, np.full(seeds, 1 / seeds), BOOTSTRAP_DRAWS) / seeds
        by_patient = rng.multinomial(patients, np.full(patients, 1 / patients), BOOTSTRAP_DRAWS) / patients
        drawn = np.einsum("ds,sp,dp->d", by_seed, differences, by_patient)
        low, high = (float(value) for value in np.quantile(drawn, (0.025, 0.975)))
    return {"value": round(centre, 4), "low": round(low, 4), "high": round(high, 4)}


def _markdown(plan: StudyPlan, task: StudyTask, content: dict[str, Any]) -> str:
    synthetic = ", ".join(f"{name} {n}" for name, n in content["synthetic_images"].items()) or "none"
    titles = " | ".join(f"{title} | gain" for title in task.metrics.values())
    lines = [
        "# Augmentation study",
        "",
        f"{task.describe()} from images of {format_shape(plan.shape)}.",
        f"{content['training_images']} real training images (store {plan.store[:16]}); synthetic: {synthetic}. Tested"
        f" on {content['tested_images']} images of {content['tested_patients']} other patients"
        f"{task.describe_tested(content)}. {task.network}, {plan.steps} steps of 16 images for every training set,"
        f" {len(plan.seeds)} seeds.",
        "",
        f"| trained on | share of real | {titles} |",
        "|" + "---|" * (2 + 2 * len(task.metrics)),
    ]
    for row in content["rows"]:
        share = f"{100 * row['share']:g} %" if row["share"] else "none"
        cells = [f"{row[metric]:.3f} | {_format_gain(row[f'{metric}_gain'])}" for metric in task.metrics]
        lines.append(f"| {row['trained_on']} | {share} | {' | '.join(cells)} |")
    controls = " ".join(f"{control.name}: {control.description}." for control in task.controls)
    lines += [
        "",
        "Gains are over real images alone of the same share and seed (for synthetic images alone: over all real"
        f" images), {task.gains}. {controls} The generators were trained on all real training images, so what they"
        " add to a small share is more than a generator of that share could.",
        "",
        f"![Gains by share of real images]({PICTURE_FILE})",
        "",
    ]
    return "\n".join(lines)


def _format_gain(gain: dict[str, float | None] | None) -> str:
    if gain is None:
        return "-"
    if gain["low"] is None:
        return f"{gain['value']:+.3f}"
    return f"{gain['value']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"


def _figure(plan: StudyPlan, task: StudyTask, rows: list[dict[str, Any]]) -> Figure:
    """Plot the metrics against the share of real patients, one line per training set; synthetic alone is dashed."""
    figure = Figure((10, 4), layout="constrained")
    names = [REAL, *(control.name for control in task.controls), *(f"{REAL} + {name}" for name in plan.samples)]
    lines = [(name, f"C{i}") for i, name in enumerate(names)]
    drawn = list(task.metrics)[:2]
    for axes, metric in zip(figure.subplots(1, len(drawn), squeeze=False)[0], drawn, strict=True):
        for name, colour in lines:
            mine = [row for row in rows if row["trained_on"] == name]
            axes.plot([100 * r["share"] for r in mine], [r[metric] for r in mine], "o-", color=colour, label=name)
            for row in rows:
                if name == f"{REAL} + {row['trained_on']}":
                    axes.axhline(row[metric], linestyle="--", color=colour, label=f"{row['trained_on']} alone")
        axes.set_xscale("log")
        axes.set_xticks([100 * s for s in plan.shares], [f"{100 * s:g}" for s in plan.shares])
        axes.minorticks_off()
        axes.set_xlabel("real training patients (%)")
        axes.set_ylabel(task.metrics[metric])
    axes.legend(frameon=False, fontsize=7)
    return figure
