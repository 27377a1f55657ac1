"""How faulty an image looks: far from real images, outside what anatomy allows, not believed by the discriminator.

Each part is counted in deviations of the same part over validation images, so that 0 is an ordinary real image; the
score is the mean of the parts, each bent so that it stays below 10.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from ganatomy.checkpoint import Snapshot
from ganatomy.data import conditions
from ganatomy.data.store import Store
from ganatomy.evaluation.extractors.extractor import Extractor, Pixels, extracted
from ganatomy.evaluation.extractors.random_resnet import RandomResNet
from ganatomy.evaluation.feature_cache import features_of
from ganatomy.evaluation.images.sets import MOST_TRAINING, Images, Reals, reals
from ganatomy.imaging.image import Image
from ganatomy.machine import progress
from ganatomy.machine.device import device as named_device
from ganatomy.modalities import table as modalities
from ganatomy.pyramid import Shape
from ganatomy.steps.scope import seen

NEIGHBOUR = 3  # the manifold is as far away as the third nearest training image
REFERENCE = 256  # training images whose anatomy tells what is usual
WORST = 10.0
LEAST = 0.2  # of a measure's unit; smaller differences are not seen, and two pieces instead of one are five of them
PARTS = ("manifold", "anatomy", "discriminator")

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """Score of each image, and its parts by name."""

    scores: Numbers
    parts: dict[str, Numbers]

    def reason(self, i: int) -> str:
        """The part that is worst, in words."""
        worst = max(self.parts, key=lambda name: self.parts[name][i])
        return f"{worst} {self.parts[worst][i]:.1f}"


class Judge:
    """Scores images of one shape against the training and validation patients of a store, never its test patients.

    Args:
        snapshot: with its discriminator, if it has one; None = nobody's.
    """

    def __init__(
        self, store: Store, shape: Shape, snapshot: Snapshot | None, extractor: Extractor | None = None
    ) -> None:
        self._kind = modalities.named(store.manifest.modality)()
        self._extractor = extractor or RandomResNet(len(shape))
        train = reals(store, "train", shape, MOST_TRAINING)
        self._spacing = train.spacing()
        self._known = features_of(self._extractor, train, "training images")
        ordinary = reals(store, "validation", shape)
        self._critic = None
        if snapshot is not None and "discriminator" in snapshot.weights and snapshot.scope.reads[0].shape == shape:
            self._critic = Critic(snapshot, ordinary)
        self._usual = self._anatomy(reals(store, "train", shape, REFERENCE))
        raw = self._raw(ordinary, features_of(self._extractor, ordinary, "validation images"))
        self._ordinary = {name: middle_and_width(values) for name, values in raw.items()}

    def __call__(self, images: Images) -> Judged:
        rows = extracted(self._extractor, images, len(images), "images")
        parts = {}
        for name, values in self._raw(images, rows).items():
            middle, width = self._ordinary[name]
            beyond = np.maximum((values - middle) / width, 0)
            parts[name] = WORST * -np.expm1(-beyond / WORST)  # bends towards 10, so that none are tied there
        return Judged(np.mean(list(parts.values()), axis=0), parts)

    def _raw(self, images: Images, rows: NDArray[np.float32]) -> dict[str, Numbers]:
        """Each part in its own unit; larger is worse."""
        near = np.sort(cdist(rows, self._known), axis=1)[:, : NEIGHBOUR + 1]
        measures = self._anatomy(images)
        found = {"manifold": near[:, min(NEIGHBOUR, near.shape[1] - 1)], "anatomy": _departure(measures, self._usual)}
        if self._critic is not None:
            found["discriminator"] = -self._critic(images)
        return found

    def _anatomy(self, images: Images) -> Numbers:
        facts = images.facts()
        rows = []
        with progress.bar("anatomy", len(images)) as bar:
            for i in range(len(images)):
                shown = self._kind.denormalise(Image(images[i], self._spacing, facts[i]))
                rows.append(list(self._kind.measures(shown).values()))
                bar.advance()
        return np.asarray(rows, dtype=np.float64)


class Critic:
    """The discriminator's score of images, each beside the same three real ones, since it may look at a whole batch."""

    def __init__(self, snapshot: Snapshot, beside: Reals) -> None:
        self._place = named_device(None)
        self._network = snapshot.network("discriminator", self._place)
        self._conditions = snapshot.recipe.conditions
        self._scopes = snapshot.recipe.strategy.views(snapshot.images, snapshot.recipe.shape)
        self._beside = [(beside[i], beside.facts()[i]) for i in range(min(3, len(beside)))]

    def __call__(self, images: Images) -> Numbers:
        facts = images.facts()
        with torch.inference_mode():
            return np.array([self._one([(images[i], facts[i]), *self._beside]) for i in range(len(images))])

    def _one(self, batch: list[tuple[Pixels, dict[str, str]]]) -> float:
        whole = torch.from_numpy(np.stack([pixels for pixels, _ in batch]))[:, None].to(self._place)
        vectors = torch.from_numpy(np.stack([conditions.vector(self._conditions, facts) for _, facts in batch]))
        found = []
        for scope in self._scopes:
            verdict = self._network(seen(scope, whole), vectors.to(self._place), scope)
            found.append(float(verdict.scores[0].mean()))
        return float(np.mean(found))


def middle_and_width(values: Numbers) -> tuple[float, float]:
    """Median, and the deviation that a Gaussian of this 10 to 90 % range would have."""
    low, high = np.quantile(values, (0.1, 0.9))
    return float(np.median(values)), max(float(high - low) / 2.56, 1e-6 * max(1.0, abs(float(np.median(values)))))


def _departure(measures: Numbers, usual: Numbers) -> Numbers:
    """The largest departure of a measure from what is usual, in deviations; a missing measure counts as worst."""
    found = []
    for column, reference in zip(measures.T, usual.T, strict=True):
        known = reference[np.isfinite(reference)]
        if not len(known):
            continue
        middle = np.median(known)
        width = max(float(np.subtract(*np.quantile(known, (0.95, 0.05)))) / 3.29, 0.02 * abs(float(middle)), LEAST)
        found.append(np.where(np.isfinite(column), np.abs(column - middle) / width, 3 * WORST))
    return np.asarray(np.max(found, axis=0))


def best_and_worst(judged: Judged, n: int) -> tuple[list[int], list[int]]:
    """Places of the n lowest and the n highest scores."""
    order = np.argsort(judged.scores, kind="stable")
    return order[:n].tolist(), order[::-1][:n].tolist()
