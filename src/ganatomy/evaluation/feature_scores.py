"""Scores in a space of features: distances, coverage, variety, telling apart."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.errors import Refused
from ganatomy.evaluation.extractors.extractor import Extractor, FeatureRows
from ganatomy.evaluation.metrics import frechet, kid, mmd, precision_recall, two_sample, vendi
from ganatomy.evaluation.metrics.inception_score import compute_inception_score
from ganatomy.evaluation.metrics.kernel import compute_permutation_p
from ganatomy.evaluation.statistics import (
    JACKKNIFE_PARTS,
    MissingScore,
    Score,
    compute_auc_interval,
    compute_jackknife_interval,
    draw_one_per_group,
)

FRECHET_DIMENSIONS = (
    (200, 64),
    (32, 16),
)  # images a side from which a Frechet distance of so many dimensions is reported
IMAGES_PER_AXIS = 2  # images a dimension that the axes are fitted on, of patients that are not compared
PERMUTATIONS = 1000

PairMetric = Callable[[FeatureRows, FeatureRows], float]


@dataclass(frozen=True)
class FeatureSpace:
    """Features of all sides by one extractor.

    Args:
        extractor: what made them.
        test: held-out images (n, D).
        fake: as many synthetic ones, with the same facts.
        floor: as many training images.
        others: training images of the rest, for axes and classifiers.
        patients, floor_patients: whom the images of `test` and `floor` are of.
        classes: features to probabilities (images, classes), and what the classes are; None = none known.
    """

    extractor: Extractor
    test: FeatureRows
    fake: FeatureRows
    floor: FeatureRows
    other_train: FeatureRows
    patients: list[str]
    floor_patients: list[str]
    classes: tuple[Callable[[FeatureRows], NDArray[np.floating]], str] | None = None


def score_features(space: FeatureSpace, seed: int = 0) -> list[Score | MissingScore]:
    """Every feature metric that the number of images allows; the others with what they need."""
    return [*_frechet(space), *_kernels(space, seed), *_coverage(space), *_variety(space), *_separability(space, seed)]


def score_metric(
    space: FeatureSpace,
    metric: str,
    compute: PairMetric,
    definition: str,
    test: FeatureRows,
    fake: FeatureRows,
    floor: FeatureRows,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    **more: Any,
) -> Score:
    """One number with its floor and its interval."""
    synthetic = [f"synthetic {i}" for i in range(len(fake))]
    parts = JACKKNIFE_PARTS if test.shape[1] <= 256 else JACKKNIFE_PARTS // 2
    low = high = None
    if len(set(space.patients)) > 1:
        with suppress(Refused):  # too few may be left when a patient with many images is left out
            low, high = compute_jackknife_interval(
                lambda a, b: compute(test[a], fake[b]), space.patients, synthetic, parts
            )
            low, high = (float(np.clip(end, *bounds)) for end in (low, high))
    return Score(
        metric=metric,
        value=compute(test, fake),
        floor=compute(test, floor),
        low=low,
        high=high,
        images=len(test),
        dimensions=test.shape[1],
        extractor=f"{space.extractor.name} {space.extractor.digest[:12]}",
        definition=definition,
        **more,
    )


def project_principal(space: FeatureSpace, dimensions: int) -> tuple[FeatureRows, FeatureRows, FeatureRows]:
    """All sides on the principal axes of the other training images."""
    centre = space.other_train.mean(0)
    axes = np.linalg.svd(space.other_train - centre, full_matrices=False)[2][:dimensions]
    test, fake, floor = ((rows - centre) @ axes.T for rows in (space.test, space.fake, space.floor))
    return test, fake, floor


def _frechet(space: FeatureSpace) -> list[Score | MissingScore]:
    n, full = space.test.shape
    name = "Frechet distance"
    wanted = next((min(d, full) for images, d in FRECHET_DIMENSIONS if n >= images), None)
    if wanted is None:
        return [_make_missing(space, name, f"needs {FRECHET_DIMENSIONS[-1][0]} images a side; there are {n}")]
    found: list[Score | MissingScore] = []
    sides = (space.test, space.fake, space.floor)
    told = ""
    if wanted < full:
        if len(space.other_train) < IMAGES_PER_AXIS * wanted:
            needs = f"needs {IMAGES_PER_AXIS * wanted} more training images for the axes of {wanted} dimensions"
            return [_make_missing(space, name, f"{needs}; there are {len(space.other_train)}")]
        sides, told = (
            project_principal(space, wanted),
            f", on the first {wanted} principal axes of other training images",
        )
    words = f"|m1-m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^1/2) (Heusel 2017){told}; it shrinks with more images"
    found.append(score_metric(space, name, frechet.compute_frechet_distance, words, *sides, bounds=(0, np.inf)))
    try:
        words = "the line of Frechet distances in 1/N at 1/N = 0 (Chong 2020)"
        return [*found, score_metric(space, "FID-infinity", frechet.compute_frechet_infinity, words, *sides)]
    except Refused as reason:
        return [*found, _make_missing(space, "FID-infinity", str(reason))]


def _kernels(space: FeatureSpace, seed: int) -> list[Score | MissingScore]:
    found: list[Score | MissingScore] = []
    alone = draw_one_per_group(space.patients, seed)
    for metric, module, matrix, words in (
        (
            "KID",
            kid.compute_kid,
            kid.compute_cubic_kernel,
            "unbiased MMD^2, kernel (x.y/D + 1)^3 (Binkowski 2018), all images at once",
        ),
        ("MMD", mmd.compute_mmd, mmd.compute_gaussian_kernel, "unbiased MMD^2, kernel exp(-d^2/median^2) (Sun 2022)"),
    ):
        try:
            p = compute_permutation_p(matrix(space.test[alone], space.fake[alone]), len(alone), PERMUTATIONS, seed)
            words_p = f"{words}; p by {PERMUTATIONS} permutations of one image a patient ({len(alone)} a side)"
            found.append(score_metric(space, metric, module, words_p, space.test, space.fake, space.floor, p=p))
        except Refused as reason:
            found.append(_make_missing(space, metric, str(reason)))
    return found


def _coverage(space: FeatureSpace) -> list[Score | MissingScore]:
    k = precision_recall.NEIGHBOURS
    fewest = 4 * k  # so that leaving a twentieth out leaves neighbours
    if len(space.test) < fewest:
        return [
            _make_missing(
                space,
                "precision, recall, density, coverage",
                f"need {fewest} images a side; there are {len(space.test)}",
            )
        ]

    def one(name: str) -> PairMetric:
        return lambda a, b: float(getattr(precision_recall.compute_precision_recall(a, b), name))

    return [
        score_metric(
            space,
            name,
            one(name),
            f"{k} nearest neighbours ({source})",
            space.test,
            space.fake,
            space.floor,
            bounds=(0, np.inf if name == "density" else 1),
        )
        for name, source in (
            ("precision", "Kynkaanniemi 2019"),
            ("recall", "Kynkaanniemi 2019"),
            ("density", "Naeem 2020"),
            ("coverage", "Naeem 2020"),
        )
    ]


def _variety(space: FeatureSpace) -> list[Score | MissingScore]:
    """Of the fakes alone; beside it, instead of a floor, the same of the held-out images."""
    centre = space.other_train.mean(0) if len(space.other_train) else space.floor.mean(0)
    rows = (space.test - centre, space.fake - centre)
    found: list[Score | MissingScore] = [
        _score_alone(
            space,
            "Vendi score",
            vendi.compute_vendi_score,
            rows,
            "exp of the entropy of the spectrum of cosine similarity (Friedman 2023), features less the training mean;"
            " the floor is that of the held-out images",
        )
    ]
    if space.classes is not None:
        probabilities, classes = space.classes
        both = (probabilities(space.test), probabilities(space.fake))
        found.append(
            _score_alone(
                space,
                "inception score",
                compute_inception_score,
                both,
                f"exp of the mean KL divergence from the mean (Salimans 2016), classes: {classes}; the floor is that of"
                " the held-out images",
            )
        )
    return found


def _score_alone(
    space: FeatureSpace, metric: str, compute: Callable[[Any], float], rows: tuple[Any, Any], definition: str
) -> Score:
    test, fake = rows
    synthetic = [f"synthetic {i}" for i in range(len(fake))]
    low, high = compute_jackknife_interval(lambda a, b: compute(fake[b]), ["all"], synthetic)
    return Score(
        metric=metric,
        value=compute(fake),
        floor=compute(test),
        low=low,
        high=high,
        images=len(test),
        dimensions=fake.shape[1],
        extractor=_extractor_label(space),
        definition=definition,
    )


def _separability(space: FeatureSpace, seed: int) -> list[Score | MissingScore]:
    synthetic = [f"synthetic {i}" for i in range(len(space.fake))]

    def auc(other: FeatureRows, others: list[str]) -> float:
        groups = np.unique([*space.patients, *others], return_inverse=True)[1]
        return two_sample.compute_classifier_auc(space.test, other, groups, seed)

    words = "share of images whose nearest other is of their own set (Lopez-Paz 2017); 0.5 = cannot tell"
    nearest = score_metric(
        space,
        "nearest-neighbour accuracy",
        two_sample.compute_neighbour_accuracy,
        words,
        space.test,
        space.fake,
        space.floor,
        bounds=(0, 1),
    )
    try:
        value = auc(space.fake, synthetic)
        low, high = compute_auc_interval(value, len(set(space.patients)), len(space.fake))
        told = Score(
            metric="classifier AUC",
            value=value,
            floor=auc(space.floor, space.floor_patients),
            low=low,
            high=high,
            images=len(space.test),
            dimensions=space.test.shape[1],
            extractor=_extractor_label(space),
            definition="logistic regression, 5 folds by patient (Lopez-Paz 2017), interval by Newcombe 2006 for as many"
            " real images as patients; 0.5 = cannot tell",
        )
    except Refused as reason:
        return [_make_missing(space, "classifier AUC", str(reason)), nearest]
    return [told, nearest]


def _make_missing(space: FeatureSpace, metric: str, why: str) -> MissingScore:
    return MissingScore(metric=metric, why=why, extractor=space.extractor.name)


def _extractor_label(space: FeatureSpace) -> str:
    return f"{space.extractor.name} {space.extractor.digest[:12]}"
