"""Tests for copied training images, which compare training images with equally many held-out images.

A distance to the nearest training image is not informative by itself, because a model with low variety is close to
every patient. Every quantity is therefore computed for training and held-out patients, and the difference is tested.
These are screening tests with measured sensitivity (`planted.py`), not a proof of privacy: members of sets that pass
such tests have been identified (Yao 2025).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import roc_curve

from ganatomy.evaluation.privacy.distances import DistanceMatrix
from ganatomy.evaluation.statistics import compute_p_value, compute_rank_areas

PERMUTATIONS = 500
SIGNIFICANCE_LEVEL = 0.05  # probability that a set without copies fails any of the tests
SUSPECT_LEVEL = 0.05  # expected number of suspects in a set without copies
MANIFOLD_DIMENSIONS = 3  # a low estimate of the dimensions of the image manifold: the exponent for small ratios
MIN_IMAGES_FOR_TPR = 100  # with fewer held-out images, 1 % of them is less than one image
PAIRS_SHOWN = 12
MIN_POWER = 0.8  # share of sets with planted copies that the audit must detect for its result to be meaningful


@dataclass(frozen=True)
class PrivacyDistances:
    """Distances in one space, each divided by the reach of the real image that it leads to (`distances.compute_reach`).

    Args:
        description: description of the distance for the report.
        fake_train: (synthetic, training), each the smallest distance over the mirror images of the first image.
        fake_test: (synthetic, held-out), computed in the same way.
        test_train: (held-out, training), computed in the same way.
        train_train: (some training images, training), computed in the same way; infinite between images of one patient.
        train_test: (the same training images, held-out), computed in the same way.
        train_patients, test_patients: the patient of each training and of each held-out image.
    """

    description: str
    fake_train: DistanceMatrix
    fake_test: DistanceMatrix
    test_train: DistanceMatrix
    train_train: DistanceMatrix
    train_test: DistanceMatrix
    train_patients: list[str]
    test_patients: list[str]

    @property
    def ratios(self) -> NDArray[np.float32]:
        """Distance of each synthetic image to the nearest training image over that to the nearest held-out image.

        A small ratio is suspicious.
        """
        return self.fake_train.min(1) / np.maximum(self.fake_test.min(1), 1e-12)

    @property
    def train_ratios(self) -> NDArray[np.float32]:
        """The same ratio of training images without their own patient: a reference for images that are not copies."""
        return self.train_train.min(1) / np.maximum(self.train_test.min(1), 1e-12)


def audit_space(distances: PrivacyDistances, seed: int = 0) -> dict[str, Any]:
    """Run all tests in one space."""
    share, share_p = compute_distance_share(distances, seed)
    membership = _infer_membership(distances, seed)
    nearer = int((distances.fake_train.min(1) < distances.test_train.min(1).min()).sum())
    expected = count_expected(distances.ratios, distances.train_ratios)
    n, m = len(distances.fake_train), len(distances.test_train)
    return {
        "space": distances.description,
        "images": {"synthetic": n, "held_out": m, "training": distances.fake_train.shape[1]},
        "distance_share": {"value": round(share, 4), "expected": 0.5, "p": share_p},
        "membership": membership,
        "nearer_than_any_held_out": {"count": nearer, "expected": round(n / (m + 1), 2)},
        "suspects": {
            "count": int((expected < SUSPECT_LEVEL).sum()),
            "expected": SUSPECT_LEVEL,
            "p": min(1.0, float(expected.min())),
            "images": _list_pairs(distances, np.flatnonzero(expected < SUSPECT_LEVEL)),
        },
        "pairs": _list_pairs(distances, np.argsort(distances.ratios)[:PAIRS_SHOWN]),
    }


def compute_distance_share(distances: PrivacyDistances, seed: int = 0) -> tuple[float, float]:
    """Compute the share of synthetic images that are nearer to training than to held-out patients, and its p-value.

    Training images are taken in blocks of as many images as there are held-out images, so that all of them are used.
    Under the null hypothesis, held-out and training patients are exchangeable; p is computed by replacing the held-out
    patients by random patients of both sets.
    """
    both = np.concatenate([distances.fake_test, distances.fake_train], 1)
    patients = np.array([*distances.test_patients, *distances.train_patients])
    m = distances.fake_test.shape[1]
    rng = np.random.default_rng(seed)
    names, of = np.unique(patients, return_inverse=True)
    value = _compute_share(both, np.arange(both.shape[1]) < m, rng)
    null = []
    for _ in range(PERMUTATIONS):
        order = np.argsort(rng.permutation(len(names))[of], kind="stable")
        held = np.zeros(len(patients), dtype=bool)
        held[order[:m]] = True
        null.append(_compute_share(both, held, rng))
    return value, float(compute_p_value(np.asarray(null), value))


def _compute_share(apart: DistanceMatrix, held_out: NDArray[np.bool_], rng: np.random.Generator) -> float:
    to_held = apart[:, held_out].min(1)
    others = rng.permutation(np.flatnonzero(~held_out))
    m = int(held_out.sum())
    ends = [*range(m, len(others), m), len(others)]  # the last block overlaps the previous one, so that all are used
    blocks = [others[max(0, end - m) : end] for end in ends]
    return float(np.mean([(apart[:, block].min(1) < to_held).mean() for block in blocks]))


def _infer_membership(distances: PrivacyDistances, seed: int) -> dict[str, Any]:
    """Test membership inference: whether synthetic images reveal the training patients (GAN-Leaks, Chen 2020)."""
    scores = -np.r_[distances.fake_train.min(0), distances.fake_test.min(0)]
    member = np.r_[np.ones(distances.fake_train.shape[1]), np.zeros(distances.fake_test.shape[1])]
    patients = np.array([*distances.train_patients, *distances.test_patients])
    ranks = rankdata(scores)
    value = float(compute_rank_areas(member, ranks))
    rng = np.random.default_rng(seed)
    names, of = np.unique(patients, return_inverse=True)
    inside = np.array([member[of == i].max() for i in range(len(names))])
    null = [float(compute_rank_areas(rng.permutation(inside)[of], ranks)) for _ in range(PERMUTATIONS)]
    told: dict[str, Any] = {
        "auc": round(value, 4),
        "expected": 0.5,
        "p": float(compute_p_value(np.asarray(null), value)),
    }
    held_out = int((member == 0).sum())
    if held_out < MIN_IMAGES_FOR_TPR:
        return told | {
            "tpr_at_1_percent_fpr": None,
            "why": f"needs {MIN_IMAGES_FOR_TPR} held-out images, but there are {held_out}",
        }
    false, true, _ = roc_curve(member, scores)
    return told | {"tpr_at_1_percent_fpr": round(float(true[false <= 0.01].max()), 4)}


def count_expected(
    ratios: NDArray[np.floating], train_ratios: NDArray[np.floating], images: int | None = None
) -> NDArray[np.float64]:
    """Compute, for each ratio, the expected number of samples with so small a ratio in a set without copies.

    Below the smallest reference ratio, the probability is assumed to decrease with the third power of the ratio: on a
    manifold of d dimensions, the probability of a neighbour within a distance is proportional to its d-th power, and
    images have more than three dimensions.

    Args:
        ratios: ratios of the tested images.
        train_ratios: reference ratios.
        images: size of the set; None = the number of tested images.
    """
    count = len(ratios) if images is None else images
    smaller = np.minimum(1.0, ratios / max(float(train_ratios.min()), 1e-9))
    return np.asarray(count / (len(train_ratios) + 1) * smaller**MANIFOLD_DIMENSIONS, dtype=np.float64)


def _list_pairs(distances: PrivacyDistances, places: NDArray[np.intp]) -> list[dict[str, Any]]:
    """List synthetic images with their nearest training images for visual inspection, the most suspicious first."""
    order = sorted(places.tolist(), key=lambda i: float(distances.ratios[i]))
    return [
        {
            "synthetic": int(i),
            "training": int(distances.fake_train[i].argmin()),
            "distance": round(float(distances.fake_train[i].min()), 5),
            "ratio": round(float(distances.ratios[i]), 4),
        }
        for i in order
    ]


# ----------------------------------------------------------------------------------------------------------------------
# The verdict.


def list_tests(audits: list[dict[str, Any]]) -> list[tuple[str, float]]:
    """List every test with its p-value."""
    return [
        (f"{name} ({audit['space']})", p)
        for audit in audits
        for name, p in (
            ("distance share", audit["distance_share"]["p"]),
            ("membership AUC", audit["membership"]["p"]),
            ("nearer than any held-out image, by ratio", audit["suspects"]["p"]),
        )
    ]


def list_failed_tests(audits: list[dict[str, Any]]) -> list[str]:
    """List the tests that fail at 5 % with Bonferroni correction."""
    found = list_tests(audits)
    return [f"{name}, p = {p:.2g}" for name, p in found if p < SIGNIFICANCE_LEVEL / len(found)]


def describe_verdict(failed_tests: list[str], power: list[dict[str, Any]], held_out: int) -> str:
    """Describe the verdict in one or two sentences that claim only what the audit has tested."""
    if failed_tests:
        return (
            f"Signs of copied training images: {'; '.join(failed_tests)}. Inspect the pairs before"
            " sharing these images."
        )
    different = {row["copies"]: row for row in reversed(power)}  # a small set has one copy at several shares
    told = ", ".join(
        f"{100 * row['detected']:.0f} % of sets with {count} {'copy' if count == 1 else 'copies'} among {row['of']}"
        for count, row in sorted(different.items(), reverse=True)
    )
    if power[0]["detected"] < MIN_POWER:
        return (
            f"No copies found, but the sensitivity of this audit is too low: with {held_out} held-out images it detects"
            f" {told}. Nothing can be concluded; hold out more patients, or inspect the pairs."
        )
    return (
        f"No copies found at this sensitivity: with {held_out} held-out images the audit detects {told}. It does not"
        " guarantee that nobody can be recognised."
    )
