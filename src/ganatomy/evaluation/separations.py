"""Separation of synthetic and held-out images by single measures of an image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ganatomy.evaluation.statistics import (
    compute_auc_interval,
    compute_p_value,
    compute_rank_areas,
    draw_one_per_group,
    permute_two_labels,
)

PERMUTATIONS, ROUNDING = 2000, 1e-9
MIN_IMAGES = 4  # least number of images per side with a measure


@dataclass(frozen=True)
class Separation:
    """How well one measure separates the two sides.

    Args:
        measure: name of the measure.
        auc: share of pairs in which the synthetic image is `direction`; 0.5 = no separation, 1 = complete separation.
        low, high: 95 % interval (Newcombe 2006) for as many held-out images as patients.
        p: p-value by permutation of one image per patient, over all measures together.
        direction: whether the measure is higher or lower in the synthetic images.
        held_out, synthetic: medians of both sides.
    """

    measure: str
    auc: float
    low: float
    high: float
    p: float
    direction: str
    held_out: float
    synthetic: float


def find_separations(
    held_out: Mapping[str, NDArray[np.float64]],
    synthetic: Mapping[str, NDArray[np.float64]],
    patients: Sequence[str],
    seed: int = 0,
) -> list[Separation]:
    """Compute the separation by every measure that both sides have, the best separation first.

    Args:
        held_out, synthetic: the values of each measure, one per image; nan if an image has none.
        patients: the patient of each held-out image.
        seed: seed of the permutations.
    """
    names = [name for name in held_out if _is_known(held_out[name]) and _is_known(synthetic[name])]
    if not names:
        return []
    real, fake = (np.stack([side[name] for name in names], 1) for side in (held_out, synthetic))
    kept = draw_one_per_group(patients, seed)
    p = _permute_labels(real[kept], fake, seed)
    found = []
    for i, name in enumerate(names):
        x, y = (column[np.isfinite(column)] for column in (real[:, i], fake[:, i]))
        higher = float(compute_rank_areas(np.r_[np.zeros(len(x)), np.ones(len(y))], rankdata(np.r_[x, y])))
        auc = max(higher, 1 - higher)
        low, high = compute_auc_interval(auc, min(len(x), len(kept)), len(y))
        direction = "higher" if higher >= 0.5 else "lower"
        found.append(Separation(name, auc, low, high, p[i], direction, float(np.median(x)), float(np.median(y))))
    return sorted(found, key=lambda one: -one.auc)


def _is_known(values: NDArray[np.float64]) -> bool:
    return int(np.isfinite(values).sum()) >= MIN_IMAGES


def _permute_labels(real: NDArray[np.float64], fake: NDArray[np.float64], seed: int) -> list[float]:
    """Compute p of each measure: the share of permutations in which any measure separates as well (two-sided).

    An image without a measure gets the middle rank, which has no effect.
    """
    both = np.concatenate([real, fake])
    ranks = np.apply_along_axis(lambda column: rankdata(column, nan_policy="omit"), 0, both)
    ranks = ranks / np.maximum(np.isfinite(both).sum(0), 1)
    ranks = np.where(np.isfinite(both), ranks, np.nanmean(ranks, 0))
    spread = np.maximum(ranks.std(0), 1e-12)
    labels = np.r_[np.zeros(len(real)), np.ones(len(fake))]
    centred = (ranks - ranks.mean(0)) / spread
    permuted = permute_two_labels(len(real), len(fake), PERMUTATIONS, np.random.default_rng(seed))
    null = np.abs(permuted @ centred).max(1)
    return [float(compute_p_value(null, value, ROUNDING)) for value in np.abs(labels @ centred)]
