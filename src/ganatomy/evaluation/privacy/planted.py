"""Planted copies: jittered training images with which the sensitivity of the audit is measured."""

from typing import Any

import numpy as np
from scipy import ndimage

from ganatomy.evaluation.extractors.extractor import Pixels
from ganatomy.evaluation.images.image_set import PixelImages
from ganatomy.evaluation.images.sets import RealImages
from ganatomy.evaluation.privacy.copying import (
    PAIRS_SHOWN,
    SIGNIFICANCE_LEVEL,
    SUSPECT_LEVEL,
    PrivacyDistances,
    count_expected,
)
from ganatomy.evaluation.privacy.transformed import TRANSFORMATIONS

SHARES = (1.0, 0.5, 0.1)  # % of the synthetic images
POOL_SIZE = 60  # copies from which the planted ones are drawn
TRIALS = 1000
COPIES_OF_A_KIND = 24  # transformed copies of each kind
SHIFT, GAIN, NOISE = 0.02, 0.05, 0.02  # shares of the axis, of the contrast, of half the range
SHAKE_DESCRIPTION = "moved by up to 2 % of an axis, contrast +-5 %, noise of 1 %"
JITTER_DESCRIPTION = f"Planted copies are training images, {SHAKE_DESCRIPTION}, half of them mirrored"


def jitter_image(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Shift an image, change its contrast and add noise; mirror half of the images."""
    copy = shake_image(image, rng)
    return np.flip(copy, 0 if image.ndim == 2 else 2) if rng.random() < 0.5 else copy


def shake_image(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Shift an image by up to 2 % of each axis, change its contrast by up to 5 %, and add noise of 1 %."""
    moved = ndimage.shift(image, [rng.uniform(-SHIFT, SHIFT) * n for n in image.shape], order=1, mode="nearest")
    gained = (moved + 1) * rng.uniform(1 - GAIN, 1 + GAIN) - 1
    noisy = gained + rng.normal(size=image.shape) * NOISE * (gained > -1 + NOISE)
    return np.clip(noisy, -1, 1).astype(np.float32)


def make_copies(train: RealImages, seed: int = 0) -> PixelImages:
    """Make jittered copies of some training images."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(train), min(POOL_SIZE, len(train)), replace=False)
    return PixelImages([jitter_image(train[int(i)], rng) for i in chosen])


def estimate_power(
    distances: list[PrivacyDistances], copy_ratios: list[np.ndarray], seed: int = 0
) -> list[dict[str, Any]]:
    """Estimate, for each share of planted copies, how often the audit fails and how often a copy is among the pairs.

    Suspects of the set itself are replaced by ordinary images, since the audit would find them without planted copies.

    Args:
        distances: distances in each space.
        copy_ratios: ratios of the same copies, one array per space.
        seed: seed of the trials.
    """
    own = [_replace_suspects(one) for one in distances]
    rng = np.random.default_rng(seed)
    n = len(distances[0].ratios)
    found = []
    for share in SHARES:
        count = max(1, round(share / 100 * n))
        failed = seen = 0
        for _ in range(TRIALS):
            taken = rng.choice(len(copy_ratios[0]), min(count, len(copy_ratios[0])), replace=False)
            replaced = rng.choice(n, len(taken), replace=False)
            verdicts = [
                _run_trial(values, one.train_ratios, ratio[taken], replaced, 3 * len(distances))
                for one, values, ratio in zip(distances, own, copy_ratios, strict=True)
            ]
            failed += any(fails for fails, _ in verdicts)
            seen += any(shown for _, shown in verdicts)
        found.append(
            {"share": share, "copies": count, "of": n, "detected": failed / TRIALS, "among_pairs_shown": seen / TRIALS}
        )
    return found


def _replace_suspects(distances: PrivacyDistances) -> np.ndarray:
    ratios = distances.ratios
    suspect = count_expected(ratios, distances.train_ratios) < SUSPECT_LEVEL
    return np.where(suspect, np.median(ratios), ratios)


def _run_trial(
    ratios: np.ndarray, train_ratios: np.ndarray, copy_ratios: np.ndarray, replaced: np.ndarray, tests: int
) -> tuple[bool, bool]:
    """Whether the test of ratios fails with these copies, and whether one of them is among the shown pairs."""
    values = ratios.copy()
    values[replaced] = copy_ratios
    shown = bool(np.isin(replaced, np.argsort(values)[:PAIRS_SHOWN]).any())
    return float(count_expected(values, train_ratios).min()) < SIGNIFICANCE_LEVEL / tests, shown


def make_transformed_copies(train: RealImages, seed: int = 0) -> dict[str, PixelImages]:
    """Make transformed copies of training images, by the name of the transformation."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(train), min(COPIES_OF_A_KIND, len(train)), replace=False)
    return {
        name: PixelImages([transform(train[int(i)], rng) for i in chosen])
        for name, transform in TRANSFORMATIONS.items()
    }


def count_detected(distances: list[PrivacyDistances], copy_ratios: list[np.ndarray]) -> int:
    """Count the copies that would be suspects in any space if each were the only copy in the set.

    Args:
        distances: distances in each space.
        copy_ratios: ratios of the same copies, one array per space.
    """
    found = [
        count_expected(ratios, one.train_ratios, len(one.ratios)) < SUSPECT_LEVEL
        for one, ratios in zip(distances, copy_ratios, strict=True)
    ]
    return int(np.any(found, axis=0).sum())
