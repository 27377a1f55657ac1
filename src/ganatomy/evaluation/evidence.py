"""The input of metrics: both sides of a comparison, as images and as features of one extractor."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ganatomy.evaluation.extractors.extractor import Extractor, FeatureRows
from ganatomy.evaluation.images.comparison import Comparison
from ganatomy.evaluation.images.image_set import ImageSet
from ganatomy.evaluation.images.sets import drop_numbers

Need = Literal["features", "classes", "images"]


@dataclass(frozen=True)
class Classes:
    """A classifier on features.

    Args:
        compute_probabilities: maps features (images, dimensions) to probabilities (images, classes).
        description: description of the classes.
    """

    compute_probabilities: Callable[[FeatureRows], NDArray[np.floating]]
    description: str


@dataclass(frozen=True)
class Evidence:
    """Both sides of a comparison, and training images for the floor, for axes and for classifiers.

    Args:
        extractor: the extractor of the features.
        test: features of the held-out images (n, D).
        fake: features of equally many synthetic images with the same facts.
        floor: features of equally many training images.
        other_train: features of the other training images, for axes and classifiers.
        patients, floor_patients: the patient of each image of `test` and `floor`.
        classes: the classes of the inception score; None = no classes are known.
        label_classifiers: for each fact that images show, a classifier that was fitted on training images.
        test_images, fake_images: the images themselves; None = not available.
        numbers: the facts that are numbers instead of classes.
    """

    extractor: Extractor
    test: FeatureRows
    fake: FeatureRows
    floor: FeatureRows
    other_train: FeatureRows
    patients: list[str]
    floor_patients: list[str]
    classes: Classes | None = None
    label_classifiers: dict[str, Pipeline] = field(default_factory=dict)
    test_images: ImageSet | None = None
    fake_images: ImageSet | None = None
    numbers: frozenset[str] = frozenset()

    def has(self, need: Need) -> bool:
        """Whether the input that a metric needs is available."""
        return {
            "features": True,
            "classes": self.classes is not None,
            "images": self.test_images is not None and self.fake_images is not None,
        }[need]


def gather_evidence(comparison: Comparison, extractor: Extractor) -> Evidence:
    """Compute the features of all sides; the classes are those of the extractor or, if it has none, those of a fact."""
    get_features = comparison.features.get_features
    test = get_features(extractor, comparison.test, "held-out images")
    other_train = np.zeros((0, test.shape[1]), np.float32)
    if len(comparison.other_train):
        other_train = get_features(extractor, comparison.other_train, "training images")
    floor = get_features(extractor, comparison.floor, "training images")
    classifiers = _fit_label_classifiers(comparison, np.concatenate([other_train, floor]))
    return Evidence(
        extractor,
        test,
        get_features(extractor, comparison.matched_fakes, "synthetic images"),
        floor,
        other_train,
        comparison.test.groups(),
        comparison.floor.groups(),
        _choose_classes(extractor, classifiers),
        classifiers,
        comparison.test,
        comparison.matched_fakes,
        comparison.numbers,
    )


def _choose_classes(extractor: Extractor, classifiers: dict[str, Pipeline]) -> Classes | None:
    if extractor.class_description is not None:
        return Classes(extractor.compute_probabilities, extractor.class_description)
    for name, model in classifiers.items():
        return Classes(model.predict_proba, f"{name}, learnt on training images")
    return None


def _fit_label_classifiers(comparison: Comparison, rows: FeatureRows) -> dict[str, Pipeline]:
    """Fit a classifier on training images for each fact that images show and that has classes."""
    facts = drop_numbers(comparison.other_train.facts() + comparison.floor.facts(), comparison.numbers)
    models = {}
    for name in sorted(set(facts[0]) - set(comparison.modality.free_conditions)):
        values = [fact[name] for fact in facts]
        if len(set(values)) > 1:
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
            models[name] = model.fit(rows, values)
    return models
