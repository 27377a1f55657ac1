"""The learned two-sample test: at which size can held-out and synthetic images be told apart, and how surely?

A classifier that is trained on one half of the data and asked about the other has an area under the curve of 0.5 if
both sets have one distribution (Lopez-Paz 2017). Trained at several sizes, it says where a difference begins:

    halves of the synthetic images F_1, F_2 and of the held-out patients H_1, H_2
    c_k is trained on all training patients against F_{3-k};  AUC_k = P(c_k(f) > c_k(h)),  f from F_k, h from H_k
    AUC = (AUC_1 + AUC_2) / 2

Training patients stand for the real images in training, so that no classifier has seen a patient it is asked about.
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
    " synthetic images and asked about held-out patients and the other half, both ways (Lopez-Paz 2017); 0.5 = cannot"
    " be told apart; interval by Newcombe 2006 for as many images as patients; p by permutation of one image a patient"
)


@dataclass(frozen=True)
class ViewResult:
    """How well the images of one view are told apart.

    Args:
        view: its name.
        auc: mean over the folds; 0.5 = cannot be told apart, 1 = always.
        low, high: 95 % interval (Newcombe 2006) for as many images as patients and as independent samples.
        p: of a permutation test of one image a patient.
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
        results: one a view, coarse ones first.
        p: of the largest area of all views, by permutation; it accounts for the number of views.
        patients: held-out patients.
        samples: synthetic images that are independent of one another.
    """

    results: list[ViewResult]
    p: float
    patients: int
    samples: int


def attempt_learned_test(
    train: ImageSet, held_out: ImageSet, fakes: ImageSet, kept: list[int], seed: int = 0, numbers: Collection[str] = ()
) -> tuple[dict[str, Any], Judges | None]:
    """The test as a report holds it, and its classifiers, which score single images as well.

    With too few images for it, the report holds why there is none; with too few to train, there are no classifiers.

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
    """Ask the classifiers about held-out patients and about the synthetic images that they were not trained on.

    Args:
        judges: trained on `fakes` and training patients.
        held_out: real images of other patients.
        fakes: all synthetic images.
        kept: which of them are asked about, so that they have the mixture of facts of the held-out images.
        seed: of the halves and of the permutations.

    Raises:
        Refused: fewer than eight held-out patients or synthetic images.
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
    """p of each view, and of the largest area over the views, under exchange of the labels of one image a group.

    Images of one patient are not independent of one another, so one of each is drawn; views are permuted together, so
    that their dependence is kept.
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
