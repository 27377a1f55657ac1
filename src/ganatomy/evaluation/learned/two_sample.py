"""The learned two-sample test: at which image size held-out and synthetic images can be distinguished, and how well.

A classifier that is trained on one half of the data and tested on the other half has an area under the curve of 0.5 if
both sets have the same distribution (Lopez-Paz 2017). Classifiers at several sizes show where a difference begins:

    halves of the synthetic images F_1, F_2 and of the held-out patients H_1, H_2
    c_k is trained on all training patients against F_{3-k};  AUC_k = P(c_k(f) > c_k(h)),  f from F_k, h from H_k
    AUC = (AUC_1 + AUC_2) / 2

The classifiers are trained with training patients as real images, so that no classifier has seen a patient of its test.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
from scipy.stats import rankdata

from ganatomy.errors import Refused
from ganatomy.evaluation.images.image_set import ImageSet
from ganatomy.evaluation.learned.judges import FOLDS, MIN_GROUPS, Judges, Scores, fit_judges, split_by_group
from ganatomy.evaluation.statistics import (
    compute_auc_interval,
    compute_p_value,
    compute_rank_areas,
    draw_one_per_group,
    permute_two_labels,
    round_numbers,
)

PERMUTATIONS, ROUNDING = 2000, 1e-12
DEFINITION = (
    "area under the curve of a small convolutional network trained on training patients against one half of the"
    " synthetic images and tested on held-out patients and the other half, mean over both halves (Lopez-Paz 2017);"
    " 0.5 = not distinguishable; interval by Newcombe 2006 for as many images as patients; p by permutation of one"
    " image per patient"
)


@dataclass(frozen=True)
class ViewResult:
    """The result of one view.

    Args:
        view: name of the view.
        auc: mean over the folds; 0.5 = the images cannot be distinguished, 1 = they always can.
        low, high: 95 % interval (Newcombe 2006) for as many images as patients and as independent samples.
        p: p-value of a permutation test of one image per patient.
    """

    view: str
    auc: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class LearnedTest:
    """The test in all views.

    Args:
        results: one result per view, coarse ones first.
        p: p-value of the largest area of all views, by permutation; it accounts for the number of views.
        patients: number of held-out patients.
        samples: number of independent synthetic images.
    """

    results: list[ViewResult]
    p: float
    patients: int
    samples: int


def attempt_learned_test(
    train: ImageSet, held_out: ImageSet, fakes: ImageSet, kept: list[int], seed: int = 0, numbers: Collection[str] = ()
) -> tuple[dict[str, Any], Judges | None]:
    """Make the test for a report; return its entry and the classifiers, which also score single images.

    If there are too few images for the test, the entry says why; if there are too few for training, there are no
    classifiers.

    Args:
        train: real images of training patients.
        held_out, fakes, kept, seed: as in `run_learned_test`.
        numbers: as in `fit_judges`.
    """
    judges = None
    try:
        judges = fit_judges(train, fakes, seed, numbers)
        found = run_learned_test(judges, held_out, fakes, kept, seed)
    except Refused as reason:
        return {"why": str(reason), "definition": DEFINITION}, judges
    chance = compute_auc_interval(0.5, found.patients, found.samples)
    told = {
        "views": [asdict(one) for one in found.results],
        "p": found.p,
        "patients": found.patients,
        "samples": found.samples,
        "chance_interval": list(chance),
        "definition": DEFINITION,
    }
    return cast(dict[str, Any], round_numbers(told)), judges


def run_learned_test(
    judges: Judges, held_out: ImageSet, fakes: ImageSet, kept: list[int], seed: int = 0
) -> LearnedTest:
    """Test the classifiers on held-out patients and on the synthetic images on which they were not trained.

    Args:
        judges: the classifiers, trained on `fakes` and training patients.
        held_out: real images of other patients.
        fakes: all synthetic images.
        kept: indices of those that are tested, which have the same distribution of facts as the held-out images.
        seed: seed of the halves and of the permutations.

    Raises:
        Refused: there are fewer than eight held-out patients or synthetic images.
    """
    real_groups, fake_groups = held_out.groups(), fakes.groups()
    patients, samples = len(set(real_groups)), len({fake_groups[i] for i in kept})
    if min(patients, samples) < MIN_GROUPS:
        raise Refused(
            f"needs {MIN_GROUPS} held-out patients and as many synthetic images; there are {patients} and {samples}"
        )
    halves = split_by_group(held_out, seed)
    asked = [sorted(set(fold) & set(kept)) for fold in judges.folds]
    real_scores = judges.score_images(held_out, "held-out images")
    scores = [
        [(real_scores[view.name][k][halves[k]], judges.fake_scores[view.name][asked[k]]) for k in range(FOLDS)]
        for view in judges.views
    ]
    alone, p = _permute_labels(
        scores,
        [[real_groups[i] for i in half] for half in halves],
        [[fake_groups[i] for i in own] for own in asked],
        seed,
    )
    results = []
    for view, folds, own in zip(judges.views, scores, alone, strict=True):
        auc = float(np.mean([_compute_auc(*pair) for pair in folds]))
        results.append(ViewResult(view.name, auc, *compute_auc_interval(auc, patients, samples), own))
    return LearnedTest(results, p, patients, samples)


def _compute_auc(held_out: Scores, fake: Scores) -> float:
    labels = np.r_[np.zeros(len(held_out)), np.ones(len(fake))]
    return float(compute_rank_areas(labels, rankdata(np.r_[held_out, fake])))


def _permute_labels(
    scores: list[list[tuple[Scores, Scores]]], real_groups: list[list[str]], fake_groups: list[list[str]], seed: int
) -> tuple[list[float], float]:
    """Compute p of each view, and of the largest area over the views, by permuting the labels of one image per group.

    Images of one patient are not independent, so one image of each is drawn; all views are permuted in the same way, so
    that their dependence is preserved.
    """
    rng = np.random.default_rng(seed)
    observed = np.zeros(len(scores))
    null = np.zeros((PERMUTATIONS, len(scores)))
    for fold in range(FOLDS):
        real, fake = (draw_one_per_group(names[fold], seed) for names in (real_groups, fake_groups))
        ranks = np.stack([rankdata(np.r_[view[fold][0][real], view[fold][1][fake]]) for view in scores], 1)
        n, m = len(real), len(fake)
        observed += compute_rank_areas(np.r_[np.zeros(n), np.ones(m)], ranks) / FOLDS
        null += compute_rank_areas(permute_two_labels(n, m, PERMUTATIONS, rng), ranks) / FOLDS
    alone = compute_p_value(null, observed, ROUNDING)
    return [float(p) for p in alone], float(compute_p_value(null.max(1), observed.max(), ROUNDING))
