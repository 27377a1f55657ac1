"""Planted copies: would the audit have found them? Training images, jittered as a generator's copies might be."""

from typing import Any

import numpy as np
from scipy import ndimage

from ganatomy.evaluation.extractors.extractor import Pixels
from ganatomy.evaluation.images.sets import Reals
from ganatomy.evaluation.privacy.copying import LEVEL, SHOWN, Looked, chances

SHARES = (1.0, 0.5, 0.1)  # % of the synthetic images
POOL = 60  # copies to plant from
TRIALS = 200
SHIFT, GAIN, NOISE = 0.02, 0.05, 0.02  # of the axis, of the contrast, of half the range
SHAKE = "moved by up to 2 % of an axis, contrast +-5 %, noise of 1 %"
JITTER = f"planted copies are {SHAKE}, half of them mirrored"


def jittered(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Shaken, and half of them mirrored."""
    copy = shaken(image, rng)
    return np.flip(copy, 0 if image.ndim == 2 else 2) if rng.random() < 0.5 else copy


def shaken(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Moved by up to 2 % of an axis, contrast changed by up to 5 %, with 1 % of noise."""
    moved = ndimage.shift(image, [rng.uniform(-SHIFT, SHIFT) * n for n in image.shape], order=1, mode="nearest")
    gained = (moved + 1) * rng.uniform(1 - GAIN, 1 + GAIN) - 1
    noisy = gained + rng.normal(size=image.shape) * NOISE * (gained > -1 + NOISE)
    return np.clip(noisy, -1, 1).astype(np.float32)


def copies(train: Reals, seed: int = 0) -> list[Pixels]:
    """Jittered copies of some training images."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(train), min(POOL, len(train)), replace=False)
    return [jittered(train[int(i)], rng) for i in chosen]


def power(looked: list[Looked], planted: list[np.ndarray], seed: int = 0) -> list[dict[str, Any]]:
    """For each share of planted copies: how often the audit fails, and how often a copy is among the pairs shown.

    Args:
        looked: one a space.
        planted: the ratios of the same copies, one array a space.
    """
    rng = np.random.default_rng(seed)
    n = len(looked[0].ratios)
    found = []
    for share in SHARES:
        count = max(1, round(share / 100 * n))
        failed = seen = 0
        for _ in range(TRIALS):
            taken = rng.choice(len(planted[0]), min(count, len(planted[0])), replace=False)
            replaced = rng.choice(n, len(taken), replace=False)
            verdicts = [
                _trial(one, ratio[taken], replaced, 3 * len(looked)) for one, ratio in zip(looked, planted, strict=True)
            ]
            failed += any(fails for fails, _ in verdicts)
            seen += any(shown for _, shown in verdicts)
        found.append(
            {"share": share, "copies": count, "of": n, "detected": failed / TRIALS, "among_pairs_shown": seen / TRIALS}
        )
    return found


def _trial(looked: Looked, copies: np.ndarray, replaced: np.ndarray, tests: int) -> tuple[bool, bool]:
    """Whether the test of ratios fails with these copies, and whether one of them is among the pairs shown."""
    values = looked.ratios.copy()
    values[replaced] = copies
    shown = bool(np.isin(replaced, np.argsort(values)[:SHOWN]).any())
    return float(chances(values, looked.usual_ratios).min()) < LEVEL / tests, shown
