"""The task of drawing the classes of a label map: MONAI's U-Net, with the Dice coefficient of each class."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ganatomy import randomness
from ganatomy.channels import list_label_names, split_arrays
from ganatomy.data.cases import Cases
from ganatomy.data.store import Store, dequantise_pixels
from ganatomy.errors import Refused
from ganatomy.evaluation.label_measures import compute_dice
from ganatomy.imaging.image import Image
from ganatomy.networks.autoencoder import import_monai
from ganatomy.pyramid import Shape, format_shape
from ganatomy.studies.fitting import Targets, apply_network, fit_network
from ganatomy.studies.strong_augmentation import STRONG_DESCRIPTION, augment_strongly
from ganatomy.studies.study_task import Control, Scores, StudyImages, StudyTask, shrink_array

WIDTHS = (16, 32, 64, 128)  # feature maps of the levels of the U-Net
SMALLEST = 4  # points of an axis at the coarsest level
SMOOTH = 1.0  # added to both parts of the soft Dice coefficient, so that empty classes have a gradient
DICE = "dice"


def repeat_images(real: StudyImages, count: int, seed: int) -> StudyImages:
    """Repeat real images in turn, unchanged."""
    return real.take(i % len(real.images) for i in range(count))


def make_strong_copies(real: StudyImages, count: int, seed: int) -> StudyImages:
    """Make `count` copies of real images in turn, each strongly changed together with its label map."""
    rng = np.random.default_rng(randomness.derive_key(seed, "strong"))
    copies = repeat_images(real, count, seed)
    changed = [augment_strongly(*pair, rng) for pair in zip(copies.images, copies.targets, strict=True)]
    return copies._replace(
        images=np.stack([image for image, _ in changed]), targets=np.stack([labels for _, labels in changed])
    )


class Segmentation(StudyTask):
    """Drawing the classes of the label maps of a store.

    Args:
        store: the training pairs of the generators.
        target: has to be None, since the classes are those of the label maps.

    Raises:
        Refused: the store has no label maps, or a fact is given.
    """

    name = "segmentation"
    network = "MONAI's U-Net"
    gains = (
        "means over seeds and patients with 95 % bootstrap intervals of the pairs, for which seeds and patients are"
        " drawn again"
    )
    controls = (
        Control("real + copies", "the same images again", repeat_images),
        Control("real + strong augmentation", STRONG_DESCRIPTION, make_strong_copies),
    )

    def __init__(self, store: Store, target: str | None) -> None:
        if target is not None:
            raise Refused(f"--target {target}: a study of segmentation tells the classes of label maps; omit --target.")
        super().__init__(_list_classes(store))

    @property
    def metrics(self) -> Mapping[str, str]:
        titles = {f"{DICE} {name}": f"Dice of {name}" for name in self.classes[1:]}
        return titles if len(titles) == 1 else {DICE: "mean Dice", **titles}

    def describe(self) -> str:
        return f"{', '.join(self.classes[1:])} drawn"

    def read_store(self, store: Store, cases: Cases, shape: Shape) -> StudyImages:
        if (others := _list_classes(store)) != self.classes:
            raise Refused(
                f"{store.path} has label maps of {', '.join(others[1:])}, and the study is of"
                f" {', '.join(self.classes[1:])}; prepare both stores with the same --labels."
            )
        pairs = [
            split_arrays(dequantise_pixels(store.read_arrays(row, shape)), store.manifest.channels)
            for row in cases.rows.tolist()
        ]
        labels = [shares.argmax(0) for _, shares in pairs if shares is not None]
        return StudyImages(
            np.stack([image for image, _ in pairs]), np.stack(labels).astype(np.int64), cases.list_texts("patient")
        )

    def check_tested(self, tested: StudyImages) -> None:
        absent = [name for number, name in enumerate(self.classes) if not (tested.targets == number).any()]
        if absent:
            raise Refused(
                f"No voxel of {absent[0]} is in the {len(tested.images)} images to test on, so its Dice coefficient is"
                " not known; give --held-out with a store of more patients, or a larger --shape."
            )

    def get_target(self, image: Image, record: Mapping[str, Any], shape: Shape, folder: Path) -> Targets:
        if image.shares is None or image.classes != self.classes:
            has = f"label maps of {', '.join(image.classes[1:])}" if image.classes else "no label maps"
            raise Refused(
                f"{folder} has {has}, and the study is of {', '.join(self.classes[1:])}; draw samples of a model that"
                " was trained on a store with these label maps."
            )
        shares = np.stack([shrink_array(share, shape, folder) for share in image.shares])
        return shares.argmax(0).astype(np.int64)

    def train_and_test(
        self, training: StudyImages, tested: StudyImages, steps: int, seed: int, device: torch.device
    ) -> Scores:
        network = train_segmenter(training, len(self.classes), steps, seed, device)
        drawn = np.concatenate([told.argmax(1).cpu().numpy() for told in apply_network(network, tested.images, device)])
        found = {
            f"{DICE} {name}": measure_patients(drawn == number, tested.targets == number, tested.patients)
            for number, name in enumerate(self.classes[1:], 1)
        }
        return {DICE: np.mean(list(found.values()), axis=0).tolist(), **found}


def _list_classes(store: Store) -> tuple[str, ...]:
    names = list_label_names(store.manifest.channels)
    if not names:
        raise Refused(
            f"{store.path} has no label maps, which a study of segmentation needs; prepare it with --labels, or give"
            " --task classification with --target."
        )
    return names


def measure_patients(drawn: NDArray[np.bool_], true: NDArray[np.bool_], patients: list[str]) -> list[float]:
    """Compute the Dice coefficient of each patient, in the order of their names, as the mean over the images.

    An image in which a class is neither drawn nor present counts as 1: nothing is wrong in it.
    """
    found: dict[str, list[float]] = {}
    for one, other, patient in zip(drawn, true, patients, strict=True):
        value = compute_dice(one, other)
        found.setdefault(patient, []).append(1.0 if np.isnan(value) else value)
    return [round(float(np.mean(found[patient])), 5) for patient in sorted(found)]


def train_segmenter(pairs: StudyImages, class_count: int, steps: int, seed: int, device: torch.device) -> nn.Module:
    """Train a U-Net by the sum of cross-entropy and soft Dice loss (Isensee 2021, "nnU-Net").

    Raises:
        Refused: MONAI is not installed, or the images are too small to be halved.
    """
    halvings = _count_halvings(pairs.images.shape[1:])

    def make() -> nn.Module:
        network: nn.Module = import_monai("unet").UNet(
            pairs.images.ndim - 1,
            1,
            class_count,
            channels=WIDTHS[: halvings + 1],
            strides=(2,) * halvings,
            num_res_units=1,
            norm="batch",
        )
        return network

    return fit_network(make, compute_loss, pairs.images, pairs.targets, steps, seed, "segmenter", device)


def _count_halvings(shape: Shape) -> int:
    most = max((n for n in range(len(WIDTHS)) if all(m % 2**n == 0 and m >> n >= SMALLEST for m in shape)), default=0)
    if not most:
        raise Refused(
            f"Images of {format_shape(shape)} cannot be halved, which a U-Net needs; give a --shape of even numbers"
            f" from {2 * SMALLEST} on."
        )
    return most


def compute_loss(told: Tensor, labels: Tensor) -> Tensor:
    """Compute cross-entropy plus one minus the soft Dice coefficient of the batch, the mean over the classes.

    The background has no part in the Dice coefficient   (Isensee 2021, "nnU-Net").

    Args:
        told: ``(batch, classes, *shape)``, logits.
        labels: ``(batch, *shape)``, numbers of classes.
    """
    true = F.one_hot(labels, told.shape[1]).movedim(-1, 1).to(told.dtype)
    axes = (0, *range(2, told.ndim))
    shared = (told.softmax(1) * true).sum(axes)[1:]
    sizes = (told.softmax(1) + true).sum(axes)[1:]
    return F.cross_entropy(told, labels) + 1 - ((2 * shared + SMOOTH) / (sizes + SMOOTH)).mean()
