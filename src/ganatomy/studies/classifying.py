"""The task of telling the classes of a fact: MONAI's residual network, with accuracy and area under the curve."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from ganatomy import randomness
from ganatomy.data.cases import Cases
from ganatomy.data.numbers import is_number
from ganatomy.data.store import Store, dequantise_pixels
from ganatomy.errors import Refused
from ganatomy.evaluation.privacy.planted import SHAKE_DESCRIPTION, shake_image
from ganatomy.evaluation.statistics import compute_mean_auc
from ganatomy.imaging.image import Image
from ganatomy.networks.autoencoder import import_monai
from ganatomy.pyramid import Shape
from ganatomy.studies.fitting import Pixels, Targets, apply_network, fit_network
from ganatomy.studies.study_task import Control, Scores, StudyImages, StudyTask

STAGE_WIDTHS = [16, 32, 64, 128]  # feature maps of the four stages
MIN_TESTED_CLASSES, MAX_CLASSES = 2, 20


def make_jittered_copies(real: StudyImages, count: int, seed: int) -> StudyImages:
    """Make `count` copies of real images in turn, each slightly shifted and changed in brightness."""
    rng = np.random.default_rng(randomness.derive_key(seed, "jittered"))
    copies = real.take(i % len(real.images) for i in range(count))
    return copies._replace(images=np.stack([shake_image(image, rng) for image in copies.images]))


class Classification(StudyTask):
    """Telling the classes of a fact.

    Args:
        store: the training images of the generators.
        target: a fact of the store with few values.

    Raises:
        Refused: no fact is given, it is unknown, or it has too few or too many classes.
    """

    name = "classification"
    network = "MONAI's ResNet"
    gains = "means over seeds with 95 % t intervals of the pairs; they do not hold what other patients would change"
    controls = (Control("real + jittered copies", SHAKE_DESCRIPTION, make_jittered_copies),)

    def __init__(self, store: Store, target: str | None) -> None:
        if target is None:
            raise Refused(
                "A study of classification needs the fact that classifiers tell: give --target, or --task segmentation."
            )
        super().__init__(_list_classes(store, target))
        self.target = target

    @property
    def metrics(self) -> Mapping[str, str]:
        return {"accuracy": "accuracy", "auc": "AUC"}

    def describe(self) -> str:
        return f"{self.target} ({', '.join(self.classes)}) told"

    def measure_tested(self, tested: StudyImages) -> dict[str, float]:
        """Return the share of the largest class, which is the accuracy of always naming it."""
        share = float(np.bincount(tested.targets).max() / len(tested.targets))
        return {"largest_class_of_tested": round(share, 4)}

    def describe_tested(self, figures: Mapping[str, float]) -> str:
        return f"; the largest class has {100 * figures['largest_class_of_tested']:.0f} % of them"

    def read_store(self, store: Store, cases: Cases, shape: Shape) -> StudyImages:
        labels = [facts.get(self.target) for facts in cases.list_facts()]
        if strange := sorted({str(label) for label in labels} - set(self.classes)):
            raise Refused(f"{store.path}: {self.target} is {strange[0]} in some images; it may be {self.classes}.")
        images = dequantise_pixels(store.read(cases.rows.tolist(), shape))
        numbers = np.array([self.classes.index(str(label)) for label in labels], dtype=np.int64)
        return StudyImages(images, numbers, cases.list_texts("patient"))

    def check_tested(self, tested: StudyImages) -> None:
        if len(set(tested.targets)) < MIN_TESTED_CLASSES:
            raise Refused(
                f"All {len(tested.targets)} images to test on are of {self.target} {self.classes[tested.targets[0]]},"
                " and the area under the curve needs two classes; give --held-out with a store of more patients."
            )

    def get_target(self, image: Image, record: Mapping[str, Any], shape: Shape, folder: Path) -> Targets:
        label = record.get(self.target)
        if label not in self.classes:
            raise Refused(
                f"{folder}: record {record.get('index')} says {self.target}={label}; it may be"
                f" {', '.join(self.classes)}. Train the model with --condition {self.target}."
            )
        return np.array(self.classes.index(str(label)), dtype=np.int64)

    def train_and_test(
        self, training: StudyImages, tested: StudyImages, steps: int, seed: int, device: torch.device
    ) -> Scores:
        network = train_classifier(training.images, training.targets, len(self.classes), steps, seed, device)
        told = predict_probabilities(network, tested.images, device)
        area = compute_mean_auc(told, tested.targets, range(len(self.classes)))
        return {"accuracy": compute_accuracy(told, tested.targets), "auc": area}


def _list_classes(store: Store, target: str) -> tuple[str, ...]:
    counts = store.manifest.facts.get(target)
    if counts is None:
        known = ", ".join(store.manifest.facts) or "none"
        raise Refused(
            f"--target {target}: {store.path} has no such fact; its facts are {known}. Facts are given to prepare."
        )
    if not 2 <= len(counts) <= MAX_CLASSES:
        raise Refused(f"--target {target} has {len(counts)} values; a classifier needs 2 to {MAX_CLASSES} classes.")
    if is_number(counts):
        raise Refused(
            f"--target {target}: it is a number with {len(counts)} values, and the study tells classes apart; give a"
            " fact with a few values."
        )
    if lost := sorted(set(counts) - set(store.count_facts("train")[target])):
        raise Refused(
            f"--target {target}: no training case of {store.path} has {target} {', '.join(lost)}; leave such cases out"
            " of the table, or give them another value, and prepare again."
        )
    return tuple(sorted(counts))


def train_classifier(
    images: Pixels, labels: Targets, class_count: int, steps: int, seed: int, device: torch.device
) -> nn.Module:
    """Train a residual network to tell classes.

    Args:
        images: ``(n, *shape)`` in [-1, 1].
        labels: ``(n,)``, 0 to classes - 1.

    Raises:
        Refused: MONAI is not installed.
    """

    def make() -> nn.Module:
        network: nn.Module = import_monai("resnet").ResNet(
            "basic",
            [1, 1, 1, 1],
            STAGE_WIDTHS,
            spatial_dims=images.ndim - 1,
            n_input_channels=1,
            num_classes=class_count,
            conv1_t_stride=2,
        )
        return network

    return fit_network(make, F.cross_entropy, images, labels, steps, seed, "classifier", device)


def predict_probabilities(network: nn.Module, images: Pixels, device: torch.device) -> NDArray[np.float64]:
    """Predict class probabilities ``(n, classes)`` of images ``(n, *shape)``."""
    return np.concatenate([told.double().softmax(1).cpu().numpy() for told in apply_network(network, images, device)])


def compute_accuracy(probabilities: NDArray[np.float64], labels: Targets) -> float:
    """Compute the share of images whose most probable class is correct."""
    return float((probabilities.argmax(1) == labels).mean())
