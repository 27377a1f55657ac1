"""The score for artefacts: distance from real images, unusual anatomy, the discriminator, and learned classifiers.

Each part is expressed in deviations of the same part over validation images, so that 0 is a typical real image. The
score is the mean of the parts, each of which is compressed to remain below 10.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from ganatomy.checkpoint import Snapshot
from ganatomy.data.store import Store
from ganatomy.errors import Refused
from ganatomy.evaluation.extractors.extractor import FeatureRows, Pixels
from ganatomy.evaluation.extractors.random_resnet import RandomResNet
from ganatomy.evaluation.feature_cache import FeatureCache
from ganatomy.evaluation.images.image_set import ImageSet
from ganatomy.evaluation.images.sets import MAX_TRAINING_IMAGES, RealImages, list_numbers, select_real_images
from ganatomy.evaluation.learned.judges import Judges, fit_judges
from ganatomy.evaluation.statistics import compute_median_and_width
from ganatomy.imaging.image import Image
from ganatomy.machine import progress
from ganatomy.machine.device import select_device as named_device
from ganatomy.modalities import table as modalities
from ganatomy.pyramid import Shape
from ganatomy.steps.scope import crop_whole_images

NEIGHBOUR = 3  # the distance from real images is that to the third nearest training image
REFERENCE_IMAGES = 256  # training images whose anatomy is the reference
MAX_PART_SCORE = 10.0
MIN_WIDTH = 0.2  # least deviation of a measure, in its unit; two pieces instead of one are five such deviations
SCORE_PARTS = ("manifold", "anatomy", "discriminator", "learned")

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class QualityScore:
    """Score of each image, and its parts by name."""

    scores: FloatArray
    parts: dict[str, FloatArray]

    def describe_worst_part(self, i: int) -> str:
        """Describe the worst part of image i in words."""
        worst = max(self.parts, key=lambda name: self.parts[name][i])
        return f"{worst} {self.parts[worst][i]:.1f}"


class QualityScorer:
    """Scores images of one shape against the training and validation patients of a store, never its test patients.

    Args:
        snapshot: the snapshot, with its discriminator if it has one; None = no snapshot is available.
        features: cache of the features.
    """

    def __init__(
        self, store: Store, shape: Shape, snapshot: Snapshot | None, features: FeatureCache | None = None
    ) -> None:
        self._modality = modalities.get_modality(store.manifest.modality)()
        self._extractor = RandomResNet(len(shape))
        self._features = features or FeatureCache()
        self._numbers = list_numbers(store)
        self._train = train = select_real_images(store, "train", shape, MAX_TRAINING_IMAGES)
        self._spacing = train.spacing()
        self._train_features = self._get_features(train, "training images")
        self._validation = ordinary = select_real_images(store, "validation", shape)
        self._critic = None
        if snapshot is not None and _can_score(snapshot, shape):
            self._critic = DiscriminatorScorer(snapshot, ordinary)
        self._train_anatomy = self._measure_anatomy(select_real_images(store, "train", shape, REFERENCE_IMAGES))
        raw = self._measure_parts(ordinary, self._get_features(ordinary, "validation images"))
        self._ordinary = {name: compute_median_and_width(values) for name, values in raw.items()}

    def __call__(self, images: ImageSet, judges: Judges | None = None) -> QualityScore:
        """Score a set of images.

        Args:
            images: the whole set, because classifiers are trained on one half of it and applied to the other half.
            judges: these classifiers, if they have already been trained.
        """
        departures = self._compute_departures(images, "synthetic images")
        try:
            judges = judges or fit_judges(self._train, images, numbers=self._numbers)
            departures["learned"] = judges.compute_departures(self._validation)
        except Refused as reason:
            progress.say(f"The score for artefacts has no learned part, which {reason}.")
        return _average_parts(departures)

    def score_real(self, images: ImageSet) -> QualityScore:
        """Score real images, such as training images, without the learned part, which was trained on them."""
        return _average_parts(self._compute_departures(images, "training images"))

    def _compute_departures(self, images: ImageSet, what: str) -> dict[str, FloatArray]:
        """Compute each part in deviations of validation images from their median; larger is worse."""
        found = {}
        for name, values in self._measure_parts(images, self._get_features(images, what)).items():
            middle, width = self._ordinary[name]
            found[name] = (values - middle) / width
        return found

    def _get_features(self, images: ImageSet, what: str) -> FeatureRows:
        return self._features.get_features(self._extractor, images, what)

    def _measure_parts(self, images: ImageSet, rows: FeatureRows) -> dict[str, FloatArray]:
        """Measure each part in its own unit; larger is worse."""
        near = np.sort(cdist(rows, self._train_features), axis=1)[:, : NEIGHBOUR + 1]
        measures = self._measure_anatomy(images)
        found = {
            "manifold": near[:, min(NEIGHBOUR, near.shape[1] - 1)],
            "anatomy": _compute_departure(measures, self._train_anatomy),
        }
        if self._critic is not None:
            found["discriminator"] = -self._critic(images)
        return found

    def _measure_anatomy(self, images: ImageSet) -> FloatArray:
        facts = images.facts()
        rows = []
        with progress.bar("anatomy", len(images)) as bar:
            for i in range(len(images)):
                shown = self._modality.denormalise(Image(images[i], self._spacing, facts[i]))
                rows.append(list(self._modality.measure_image(shown).values()))
                bar.advance()
        return np.asarray(rows, dtype=np.float64)


def _can_score(snapshot: Snapshot, shape: Shape) -> bool:
    """Whether the discriminator of a snapshot can score images alone: it was trained on them, at this size."""
    trained_alone = snapshot.recipe.space.channels == 1
    return "discriminator" in snapshot.weights and trained_alone and snapshot.scope.regions[0].shape == shape


class DiscriminatorScorer:
    """The discriminator's score of images, each in a batch with the same three real images, as it may compare them."""

    def __init__(self, snapshot: Snapshot, reference: RealImages) -> None:
        self._device = named_device(None)
        self._snapshot, self._network = snapshot, snapshot.load_network("discriminator", self._device)
        self._conditions = snapshot.recipe.condition_space
        self._scopes = snapshot.recipe.strategy.get_discriminator_scopes(snapshot.images, snapshot.recipe.shape)
        self._reference = [(reference[i], reference.facts()[i]) for i in range(min(3, len(reference)))]

    def __call__(self, images: ImageSet) -> FloatArray:
        facts = images.facts()
        with torch.inference_mode():
            return np.array([self._score_batch([(images[i], facts[i]), *self._reference]) for i in range(len(images))])

    def _score_batch(self, batch: list[tuple[Pixels, dict[str, str]]]) -> float:
        pixels = self._snapshot.convert_to_network(np.stack([pixels for pixels, _ in batch]))
        whole = torch.from_numpy(pixels)[:, None].to(self._device)
        condition = self._conditions.encode([facts for _, facts in batch]).to(self._device)
        found = []
        for scope in self._scopes:
            verdict = self._network(crop_whole_images(scope, whole), condition, scope)
            found.append(float(verdict.scores[0].mean()))
        return float(np.mean(found))


def _average_parts(departures: dict[str, FloatArray]) -> QualityScore:
    """Clip each part at zero, compress it below 10 without ties, and take the mean as the score."""
    parts = {
        name: MAX_PART_SCORE * -np.expm1(-np.maximum(values, 0) / MAX_PART_SCORE) for name, values in departures.items()
    }
    return QualityScore(np.mean(list(parts.values()), axis=0), parts)


def _compute_departure(measures: FloatArray, usual: FloatArray) -> FloatArray:
    """Compute the largest deviation of a measure from the reference, in its deviations; a missing measure is worst."""
    found = []
    for column, reference in zip(measures.T, usual.T, strict=True):
        known = reference[np.isfinite(reference)]
        if not len(known):
            continue
        middle = np.median(known)
        width = max(float(np.subtract(*np.quantile(known, (0.95, 0.05)))) / 3.29, 0.02 * abs(float(middle)), MIN_WIDTH)
        found.append(np.where(np.isfinite(column), np.abs(column - middle) / width, 3 * MAX_PART_SCORE))
    return np.asarray(np.max(found, axis=0))


def find_best_and_worst(quality: QualityScore, n: int) -> tuple[list[int], list[int]]:
    """Find the indices of the n lowest and the n highest scores."""
    order = np.argsort(quality.scores, kind="stable")
    return order[:n].tolist(), order[::-1][:n].tolist()
