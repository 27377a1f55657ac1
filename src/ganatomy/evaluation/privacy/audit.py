"""The privacy audit in two spaces of features, with its detection power and its verdict."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ganatomy.evaluation.extractors.extractor import Extractor
from ganatomy.evaluation.images.comparison import Comparison
from ganatomy.evaluation.images.image_set import ImageSet
from ganatomy.evaluation.privacy.copying import PrivacyDistances, audit_space, describe_verdict, list_failed_tests
from ganatomy.evaluation.privacy.distances import (
    FeatureDistance,
    ImageDistance,
    PixelDistance,
    compute_mirror_distances,
    compute_reach,
    encode_mirrors,
)
from ganatomy.evaluation.privacy.planted import (
    JITTER_DESCRIPTION,
    count_detected,
    estimate_power,
    make_copies,
    make_transformed_copies,
)

RatioFunction = Callable[[ImageSet, str], np.ndarray]

TRAIN_SUBSET = 512  # training images that serve as a reference


def audit_privacy(comparison: Comparison, extractor: Extractor, seed: int = 0) -> dict[str, Any]:
    """Audit all synthetic images against training patients and held-out patients."""
    planted = make_copies(comparison.train, seed)
    transformed = make_transformed_copies(comparison.train, seed)
    spaces: list[ImageDistance] = [PixelDistance(), FeatureDistance(extractor, comparison.features)]
    looked, found = [], []
    bent: dict[str, list[np.ndarray]] = {name: [] for name in transformed}
    for space in spaces:
        one, measure_ratios = _measure_distances(comparison, space)
        looked.append(one)
        found.append(measure_ratios(planted, "planted copies"))
        for name, copies in transformed.items():
            bent[name].append(measure_ratios(copies, f"copies {name}"))
    audits = [audit_space(one, seed) for one in looked]
    strength = estimate_power(looked, found, seed)
    wrong = list_failed_tests(audits)
    return {
        "verdict": describe_verdict(wrong, strength, len(comparison.test)),
        "passed": not wrong,
        "failed_tests": wrong,
        "spaces": audits,
        "power": strength,
        "transformed_copies": [
            {"copies": name, "detected": count_detected(looked, ratios), "of": len(transformed[name])}
            for name, ratios in bent.items()
        ],
        "jitter": JITTER_DESCRIPTION,
        "trained_on_this_store": comparison.same_store,
    }


def _measure_distances(comparison: Comparison, space: ImageDistance) -> tuple[PrivacyDistances, RatioFunction]:
    """Measure all distances in a space; return them and a function for ratios of other images, such as copies."""
    train = space.encode_images(comparison.train, "training images")
    fake = encode_mirrors(space, comparison.fakes, "synthetic images")
    test = encode_mirrors(space, comparison.test, "held-out images")
    some = comparison.train.select_cases(comparison.train.cases[:: max(1, len(comparison.train) // TRAIN_SUBSET)])
    usual = encode_mirrors(space, some, "training images")
    among = compute_mirror_distances(space, usual, train)
    among[np.array(some.groups())[:, None] == np.array(comparison.train.groups())] = np.inf
    far = compute_reach(space, np.concatenate([train, test[0]]), comparison.train.groups() + comparison.test.groups())
    far_train, far_test = far[: len(train)], far[len(train) :]
    one = PrivacyDistances(
        space.description,
        compute_mirror_distances(space, fake, train) / far_train,
        compute_mirror_distances(space, fake, test[0]) / far_test,
        compute_mirror_distances(space, test, train) / far_train,
        among / far_train,
        compute_mirror_distances(space, usual, test[0]) / far_test,
        comparison.train.groups(),
        comparison.test.groups(),
    )

    def measure_ratios(images: ImageSet, what: str) -> np.ndarray:
        rows = encode_mirrors(space, images, what)
        to_train, to_test = (
            (compute_mirror_distances(space, rows, keys) / own).min(1)
            for keys, own in ((train, far_train), (test[0], far_test))
        )
        return to_train / np.maximum(to_test, 1e-12)

    return one, measure_ratios
