"""What an augmentation study asks of a task: its images and targets, its controls, its network and its scores."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from skimage.transform import downscale_local_mean

from ganatomy.data.cases import Cases
from ganatomy.data.samples import read_samples
from ganatomy.data.store import Store
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image
from ganatomy.pyramid import Shape, format_shape
from ganatomy.studies.fitting import Pixels, Targets

Scores = Mapping[str, float | list[float]]  # by metric: one number, or one for each tested patient


class StudyImages(NamedTuple):
    """Images ``(n, *shape)`` in [-1, 1] with what is to be told of each, ``(n, ...)``, and their patients."""

    images: Pixels
    targets: Targets
    patients: list[str]

    def take(self, places: Iterable[int]) -> "StudyImages":
        """Take the images at some places."""
        chosen = list(places)
        return StudyImages(self.images[chosen], self.targets[chosen], [self.patients[i] for i in chosen])


class Control(NamedTuple):
    """A training set without a generator: the real images, and others that are made of them.

    Args:
        name: name in the table.
        description: what the others are, for the table.
        make: makes so many images of the given ones, with a seed.
    """

    name: str
    description: str
    make: Callable[[StudyImages, int, int], StudyImages]


class StudyTask(ABC):
    """What the networks of a study learn; `studies.augment` trains and compares them without knowing the task."""

    name: ClassVar[str]
    network: ClassVar[str]  # for the table
    gains: ClassVar[str]  # what the intervals of gains hold, for the table
    controls: ClassVar[tuple[Control, ...]]

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes  # that the networks tell apart

    @property
    @abstractmethod
    def metrics(self) -> Mapping[str, str]:
        """Names of the scores, each with its title in table and picture; the first two are drawn."""

    @abstractmethod
    def describe(self) -> str:
        """Describe what is told, as the beginning of a sentence that goes on with ``from images of``."""

    def measure_tested(self, tested: StudyImages) -> dict[str, float]:
        """Return figures of the tested images that help to read the scores, for ``study.json``."""
        return {}

    def describe_tested(self, figures: Mapping[str, float]) -> str:
        """Describe the figures of `measure_tested`, as the end of a sentence on the tested images."""
        return ""

    @abstractmethod
    def read_store(self, store: Store, cases: Cases, shape: Shape) -> StudyImages:
        """Read real images at a stored level.

        Raises:
            Refused: they do not have what is to be told, or other classes.
        """

    @abstractmethod
    def check_tested(self, tested: StudyImages) -> None:
        """Check that scores of these images say something.

        Raises:
            Refused: they do not.
        """

    def read_samples(self, folder: Path, shape: Shape) -> StudyImages:
        """Read synthetic images, reduced to a shape by means over cells like a level of the store.

        Raises:
            Refused: they do not have what is to be told, other classes, or a size that does not shrink to the shape.
        """
        _, made = read_samples(folder)
        found = [
            (self.get_target(image, record, shape, folder), shrink_array(image.pixels, shape, folder))
            for image, record in made
        ]
        return StudyImages(
            np.stack([pixels for _, pixels in found]),
            np.stack([target for target, _ in found]),
            [f"synthetic {i}" for i in range(len(found))],
        )

    @abstractmethod
    def get_target(self, image: Image, record: Mapping[str, Any], shape: Shape, folder: Path) -> Targets:
        """Return what is to be told of a synthetic image, for one that is reduced to a shape."""

    @abstractmethod
    def train_and_test(
        self, training: StudyImages, tested: StudyImages, steps: int, seed: int, device: torch.device
    ) -> Scores:
        """Train a network and return its scores on the tested images."""


def shrink_array(values: Pixels, shape: Shape, folder: Path) -> Pixels:
    """Reduce an array to a shape by means over cells, like a level of the store.

    Raises:
        Refused: the shape is no whole fraction of that of the array.
    """
    factor = values.shape[0] // shape[0]
    if values.shape != tuple(factor * n for n in shape):
        raise Refused(
            f"{folder} holds images of {format_shape(values.shape)}, which do not shrink to {format_shape(shape)}."
        )
    return np.asarray(downscale_local_mean(values, (factor,) * values.ndim), dtype=np.float32)
