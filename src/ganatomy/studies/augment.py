"""Augmentation study: classifiers trained on real images, synthetic images, both, or jittered copies as a control.

All classifiers are trained for the same number of steps and tested on the same images, of patients that neither a
classifier nor a generator has seen. With the same seed all classifiers start from the same weights and the same real
images, so differences are computed seed by seed. The jittered copies show how much of a gain is due to repetition
alone.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy import stats
from skimage.transform import downscale_local_mean

from ganatomy import randomness
from ganatomy.config import Config
from ganatomy.data.cases import Cases
from ganatomy.data.numbers import is_number
from ganatomy.data.samples import hash_samples, read_samples
from ganatomy.data.store import Store, dequantise_pixels
from ganatomy.errors import Refused
from ganatomy.evaluation.privacy.planted import SHAKE_DESCRIPTION, shake_image
from ganatomy.evaluation.statistics import compute_mean_auc
from ganatomy.machine import progress
from ganatomy.machine.device import select_device as named_device
from ganatomy.machine.durable import new_file, read_json, read_lines, write_json, write_lines, write_text
from ganatomy.pyramid import Shape, format_shape
from ganatomy.studies import classifier
from ganatomy.studies.classifier import Labels, Pixels

PATIENT_SHARES = (0.1, 0.25, 0.5, 1.0)
REAL, JITTERED = "real", "real + jittered copies"
STUDY_PLAN_FILE, CELLS_FILE, TABLE_FILE, PICTURE_FILE = "plan.json", "cells.jsonl", "study.md", "study.png"
MIN_TESTED_CLASSES, MAX_CLASSES = 2, 20
CLASSIFIER_METRICS = ("accuracy", "auc")


class StudyPlan(Config):
    """All settings that determine the results of a study, except the machine.

    Args:
        store: fingerprint of the real images.
        held_out: fingerprint of the store to test on; None = the test patients of `store`.
        samples: hash of each folder of synthetic images, by name.
        target: the fact to classify by.
        shares: shares of the real training patients.
    """

    format: int = 1
    store: str
    held_out: str | None
    samples: dict[str, str]
    target: str
    classes: tuple[str, ...]
    shares: tuple[float, ...]
    seeds: tuple[int, ...]
    steps: int
    shape: tuple[int, ...]


class StudyCell(NamedTuple):
    """One classifier: its training set, the share of real patients (0 = none) and its seed."""

    trained_on: str
    share: float
    seed: int


class LabelledImages(NamedTuple):
    """Images (n, *shape) with their classes (n,) and patients."""

    images: Pixels
    labels: Labels
    patients: list[str]


def run_augment_study(
    store: Store,
    samples: Mapping[str, Path],
    target: str,
    out: Path,
    held_out: Store | None = None,
    shares: Sequence[float] = PATIENT_SHARES,
    seeds: int = 3,
    steps: int = 300,
    shape: Shape | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Train and test all classifiers and write a table and a picture; the same call resumes an interrupted study.

    Args:
        store: the training images of the generators.
        samples: folders of synthetic images by name; their records must contain the target.
        target: a fact of the store with few values.
        out: a new folder, or the folder of the same study.
        held_out: a store of other patients to test on; None = the test patients of `store`.
        shares: shares of the training patients, each above 0 and at most 1.
        seeds: number of seeds; each gives another choice of patients, other weights and another order.
        steps: training steps of each classifier, of 16 images each.
        shape: a stored size at which images are classified; None = the full size of the store.

    Returns:
        The content of ``study.json``: for every training set and share the means over seeds, and the differences from
        real images alone with 95 % t intervals of the pairs.

    Raises:
        Refused: the fact is unknown or has other values in samples or held-out images, or `out` belongs to another
            study.
    """
    if not shares or not all(0 < share <= 1 for share in shares):
        raise Refused(f"--share {', '.join(f'{s:g}' for s in shares)}: give shares above 0 and at most 1.")
    shape = shape or store.manifest.shape
    if shape not in store.manifest.levels:
        known = ", ".join(format_shape(level) for level in store.manifest.levels)
        raise Refused(f"--shape {format_shape(shape)}: the sizes of the store are {known}.")
    classes = _classes(store, target)
    plan = StudyPlan(
        store=store.manifest.fingerprint,
        held_out=held_out and held_out.manifest.fingerprint,
        samples={name: hash_samples(folder) for name, folder in samples.items()},
        target=target,
        classes=classes,
        shares=tuple(shares),
        seeds=tuple(range(seeds)),
        steps=steps,
        shape=shape,
    )
    _begin(plan, out)
    real = _read_store(store, store.split("train"), plan)
    tested = _read_store(held_out or store, (held_out.cases if held_out else store.split("test")), plan)
    if len(set(tested.labels)) < MIN_TESTED_CLASSES:
        raise Refused(
            f"All {len(tested.labels)} images to test on are of {target} {plan.classes[tested.labels[0]]}, and the area"
            " under the curve needs two classes; give --held-out with a store of more patients."
        )
    made = {name: _read_labelled_samples(folder, plan) for name, folder in samples.items()}
    done = {StudyCell(row["trained_on"], row["share"], row["seed"]): row for row in _read_cells(out)}
    todo = _list_cells(plan)
    with progress.bar("classifiers", len(todo), len(done)) as bar:
        for cell in todo:
            if cell not in done:
                done[cell] = {**cell._asdict(), **_train_and_test(cell, real, made, tested, plan, device)}
                write_lines(out / CELLS_FILE, list(done.values()))
                bar.advance(note=cell.trained_on)
    content: dict[str, Any] = {
        "plan": plan.model_dump(mode="json"),
        "training_images": len(real.labels),
        "tested_images": len(tested.labels),
        "tested_patients": len(set(tested.patients)),
        "largest_class_of_tested": round(float(np.bincount(tested.labels).max() / len(tested.labels)), 4),
        "synthetic_images": {name: len(one.labels) for name, one in made.items()},
        "rows": _summarise_cells(plan, list(done.values())),
    }
    write_json(out / "study.json", content)
    write_text(out / TABLE_FILE, _markdown(plan, content))
    with new_file(out / PICTURE_FILE) as temporary, temporary.open("wb") as handle:
        _figure(plan, content["rows"]).savefig(handle, dpi=110, format="png", metadata={"Software": None})
    return content


# ----------------------------------------------------------------------------------------------------------------------
# Images and classes.


def _classes(store: Store, target: str) -> tuple[str, ...]:
    counts = store.manifest.facts.get(target)
    if counts is None:
        known = ", ".join(store.manifest.facts) or "none"
        raise Refused(
            f"--target {target}: {store.path} has no such fact; its facts are {known}. Facts are given to prepare."
        )
    if not 2 <= len(counts) <= MAX_CLASSES:
        raise Refused(f"--target {target} has {len(counts)} values; a classifier needs 2 to {MAX_CLASSES} classes.")
    if is_number(counts):
        raise Refused(
            f"--target {target}: it is a number with {len(counts)} values, and the study tells classes apart; give a"
            " fact with a few values."
        )
    if lost := sorted(set(counts) - set(store.count_facts("train")[target])):
        raise Refused(
            f"--target {target}: no training case of {store.path} has {target} {', '.join(lost)}; leave such cases out"
            " of the table, or give them another value, and prepare again."
        )
    return tuple(sorted(counts))


def _read_store(store: Store, cases: Cases, plan: StudyPlan) -> LabelledImages:
    labels = [facts.get(plan.target) for facts in cases.list_facts()]
    if strange := sorted({str(label) for label in labels} - set(plan.classes)):
        raise Refused(f"{store.path}: {plan.target} is {strange[0]} in some images; it may be {plan.classes}.")
    if not cases:
        raise Refused(f"{store.path} has no images to test on; give others with --held-out.")
    if plan.shape not in store.manifest.levels:
        raise Refused(f"{store.path} has no images of {format_shape(plan.shape)}; prepare it with the same --shape.")
    images = dequantise_pixels(store.read(cases.rows.tolist(), plan.shape))
    return LabelledImages(images, _number_labels([str(label) for label in labels], plan), cases.list_texts("patient"))


def _read_labelled_samples(folder: Path, plan: StudyPlan) -> LabelledImages:
    _, made = read_samples(folder)
    images, labels = [], []
    for image, record in made:
        label = record.get(plan.target)
        if label not in plan.classes:
            raise Refused(
                f"{folder}: record {record.get('index')} says {plan.target}={label}; it may be"
                f" {', '.join(plan.classes)}. Train the model with --condition {plan.target}."
            )
        images.append(_shrink_image(image.pixels, plan.shape, folder))
        labels.append(str(label))
    return LabelledImages(
        np.stack(images), _number_labels(labels, plan), [f"synthetic {i}" for i in range(len(labels))]
    )


def _shrink_image(pixels: Pixels, shape: Shape, folder: Path) -> Pixels:
    """Reduce an image to this shape by means over cells, like a level of the store."""
    factor = pixels.shape[0] // shape[0]
    if pixels.shape != tuple(factor * n for n in shape):
        raise Refused(
            f"{folder} holds images of {format_shape(pixels.shape)}, which do not shrink to {format_shape(shape)}."
        )
    return np.asarray(downscale_local_mean(pixels, (factor,) * pixels.ndim), dtype=np.float32)


def _number_labels(labels: list[str], plan: StudyPlan) -> Labels:
    return np.array([plan.classes.index(label) for label in labels], dtype=np.int64)


def _take_share(real: LabelledImages, share: float, seed: int) -> LabelledImages:
    """Take the images of a share of the patients; with the same seed a larger share contains a smaller one."""
    names = sorted(set(real.patients))
    order = randomness.draw_permutation(seed, "patients", 0, len(names))
    taken = {names[i] for i in order[: math.ceil(share * len(names))]}
    places = [i for i, patient in enumerate(real.patients) if patient in taken]
    return LabelledImages(real.images[places], real.labels[places], [real.patients[i] for i in places])


# ----------------------------------------------------------------------------------------------------------------------
# Classifiers.


def _list_cells(plan: StudyPlan) -> list[StudyCell]:
    cells = []
    for seed in plan.seeds:
        for share in plan.shares:
            names = [REAL, JITTERED, *(f"{REAL} + {name}" for name in plan.samples)]
            cells += [StudyCell(name, share, seed) for name in names]
        cells += [StudyCell(name, 0.0, seed) for name in plan.samples]
    return cells


def _train_and_test(
    cell: StudyCell,
    real: LabelledImages,
    synthetic: Mapping[str, LabelledImages],
    test_images: LabelledImages,
    plan: StudyPlan,
    device: str | None,
) -> dict[str, float]:
    parts = [_take_share(real, cell.share, cell.seed)] if cell.share else []
    if cell.trained_on == JITTERED:
        count = max((len(one.labels) for one in synthetic.values()), default=len(real.labels))
        parts.append(_make_jittered_copies(parts[0], count, cell.seed))
    elif cell.trained_on != REAL:
        parts.append(synthetic[cell.trained_on.removeprefix(f"{REAL} + ")])
    images = np.concatenate([part.images for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    place = named_device(device)
    network = classifier.train_classifier(images, labels, len(plan.classes), plan.steps, cell.seed, place)
    told = classifier.predict_probabilities(network, test_images.images, place)
    area = compute_mean_auc(told, test_images.labels, range(len(plan.classes)))
    return {"accuracy": classifier.compute_accuracy(told, test_images.labels), "auc": area}


def _make_jittered_copies(real: LabelledImages, count: int, seed: int) -> LabelledImages:
    """Make `count` copies of real images in turn, each slightly shifted and changed in brightness."""
    rng = np.random.default_rng(randomness.derive_key(seed, "jittered"))
    places = [i % len(real.labels) for i in range(count)]
    images = np.stack([shake_image(real.images[i], rng) for i in places])
    return LabelledImages(images, real.labels[places], [real.patients[i] for i in places])


# ----------------------------------------------------------------------------------------------------------------------
# Results.


def _begin(plan: StudyPlan, out: Path) -> None:
    if (out / STUDY_PLAN_FILE).exists():
        before = read_json(out / STUDY_PLAN_FILE)
        now = plan.model_dump(mode="json")
        if changed := [name for name in now if before.get(name) != now[name]]:
            raise Refused(f"{out} holds a study with another {', '.join(changed)}; give a new folder.")
    elif out.exists() and any(out.iterdir()):
        raise Refused(f"{out} is neither empty nor a study; give a new folder.")
    write_json(out / STUDY_PLAN_FILE, plan.model_dump(mode="json"))


def _read_cells(out: Path) -> list[dict[str, Any]]:
    return read_lines(out / CELLS_FILE) if (out / CELLS_FILE).exists() else []


def _summarise_cells(plan: StudyPlan, cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Summarise the metrics over seeds for each training set and share, with differences from real images alone."""
    found: dict[tuple[str, float], dict[int, dict[str, Any]]] = {}
    for cell in cells:
        found.setdefault((cell["trained_on"], cell["share"]), {})[cell["seed"]] = cell
    rows = []
    for (name, share), by_seed in sorted(found.items(), key=lambda item: item[0][1]):
        row: dict[str, Any] = {"trained_on": name, "share": share}
        against = found[(REAL, share or max(plan.shares))]
        for metric in CLASSIFIER_METRICS:
            row[metric] = round(mean(by_seed[s][metric] for s in plan.seeds), 4)
            row[f"{metric}_gain"] = (
                None if name == REAL else _compute_gain([by_seed[s][metric] - against[s][metric] for s in plan.seeds])
            )
        rows.append(row)
    return rows


def _compute_gain(differences: list[float]) -> dict[str, float | None]:
    """Compute the mean difference over seeds with a 95 % t interval; one seed gives no interval."""
    centre, n = mean(differences), len(differences)
    if n < 2:
        return {"value": round(centre, 4), "low": None, "high": None}
    reach = float(stats.t.ppf(0.975, n - 1)) * stdev(differences) / n**0.5
    return {"value": round(centre, 4), "low": round(centre - reach, 4), "high": round(centre + reach, 4)}


def _markdown(plan: StudyPlan, content: dict[str, Any]) -> str:
    synthetic = ", ".join(f"{name} {n}" for name, n in content["synthetic_images"].items())
    lines = [
        "# Augmentation study",
        "",
        f"{plan.target} ({', '.join(plan.classes)}) told from images of {format_shape(plan.shape)}.",
        f"{content['training_images']} real training images (store {plan.store[:16]}); synthetic: {synthetic}. Tested"
        f" on {content['tested_images']} images of {content['tested_patients']} other patients; the largest class has"
        f" {100 * content['largest_class_of_tested']:.0f} % of them. MONAI's ResNet, {plan.steps} steps of 16 images"
        f" for every training set, {len(plan.seeds)} seeds.",
        "",
        "| trained on | share of real | accuracy | gain | AUC | gain |",
        "|---|---|---|---|---|---|",
    ]
    for row in content["rows"]:
        share = f"{100 * row['share']:g} %" if row["share"] else "none"
        cells = [f"{row[m]:.3f} | {_format_gain(row[f'{m}_gain'])}" for m in CLASSIFIER_METRICS]
        lines.append(f"| {row['trained_on']} | {share} | {' | '.join(cells)} |")
    lines += [
        "",
        "Gains are over real images alone of the same share and seed (for synthetic images alone: over all real"
        " images), means over seeds with 95 % t intervals of the pairs; they do not hold what other patients"
        f" would change. Copies: {SHAKE_DESCRIPTION}. The generators were trained on all real training images,"
        " so what they"
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


def _figure(plan: StudyPlan, rows: list[dict[str, Any]]) -> Figure:
    """Plot the metrics against the share of real patients, one line per training set; synthetic alone is dashed."""
    figure = Figure((10, 4), layout="constrained")
    lines = [
        (REAL, "C0"),
        (JITTERED, "C1"),
        *((f"{REAL} + {name}", f"C{i + 2}") for i, name in enumerate(plan.samples)),
    ]
    for axes, metric in zip(figure.subplots(1, 2), CLASSIFIER_METRICS, strict=True):
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
        axes.set_ylabel({"accuracy": "accuracy", "auc": "AUC"}[metric])
    axes.legend(frameon=False, fontsize=7)
    return figure
