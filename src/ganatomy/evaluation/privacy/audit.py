"""The privacy audit of both sides, in two spaces, with its power and its verdict."""

from typing import Any

import numpy as np

from ganatomy.evaluation.extractors.extractor import Extractor, Pixels, Rows
from ganatomy.evaluation.feature_cache import features_of
from ganatomy.evaluation.images.comparison import Sides
from ganatomy.evaluation.privacy.copying import Looked, audited, failed, verdict
from ganatomy.evaluation.privacy.distances import (
    FeatureSpace,
    LowPixels,
    Searched,
    all_mirrors,
    nearest_of_mirrors,
    reach,
)
from ganatomy.evaluation.privacy.planted import JITTER, copies, power

USUAL = 512  # training images that tell what is usual


def audit(sides: Sides, extractor: Extractor, seed: int = 0) -> dict[str, Any]:
    """All synthetic images against training patients and held-out ones."""
    planted = copies(sides.train, seed)
    spaces: list[tuple[Searched, Rows | None]] = [
        (LowPixels(), None),
        (FeatureSpace(extractor), features_of(extractor, sides.train, "training images")),
    ]
    looked, found = [], []
    for space, known in spaces:
        one, ratio = _looked(sides, space, known, planted)
        looked.append(one)
        found.append(ratio)
    audits = [audited(one, seed) for one in looked]
    strength = power(looked, found, seed)
    wrong = failed(audits)
    return {
        "verdict": verdict(wrong, strength, len(sides.test)),
        "passed": not wrong,
        "failed_tests": wrong,
        "spaces": audits,
        "power": strength,
        "jitter": JITTER,
        "trained_on_this_store": sides.same_store,
    }


def _looked(sides: Sides, space: Searched, known: Rows | None, planted: list[Pixels]) -> tuple[Looked, np.ndarray]:
    ndim = len(sides.test.shape)
    train = space.rows(sides.train, len(sides.train), "training images") if known is None else known
    fake = all_mirrors(space, sides.fakes, len(sides.fakes), ndim, "synthetic images")
    test = all_mirrors(space, sides.test, len(sides.test), ndim, "held-out images")
    some = sides.train.but(sides.train.cases[:: max(1, len(sides.train) // USUAL)])
    usual = all_mirrors(space, some, len(some), ndim, "training images")
    among = nearest_of_mirrors(space, usual, train)
    among[np.array(some.groups())[:, None] == np.array(sides.train.groups())] = np.inf
    far = reach(space, np.concatenate([train, test[0]]), sides.train.groups() + sides.test.groups())
    far_train, far_test = far[: len(train)], far[len(train) :]
    one = Looked(
        space.words,
        nearest_of_mirrors(space, fake, train) / far_train,
        nearest_of_mirrors(space, fake, test[0]) / far_test,
        nearest_of_mirrors(space, test, train) / far_train,
        among / far_train,
        nearest_of_mirrors(space, usual, test[0]) / far_test,
        sides.train.groups(),
        sides.test.groups(),
    )
    copied = all_mirrors(space, planted, len(planted), ndim, "planted copies")
    to_train, to_test = (
        (nearest_of_mirrors(space, copied, keys) / own).min(1)
        for keys, own in ((train, far_train), (test[0], far_test))
    )
    return one, to_train / np.maximum(to_test, 1e-12)
