"""The base class of extractors, and their application to any number of images in bounded memory."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ganatomy.machine import progress

BATCH_VOXELS = 2**20  # voxels of a batch, so that memory does not depend on the size or the number of the images

Pixels = NDArray[np.float32]  # one image in [-1, 1], canonically oriented
FeatureRows = NDArray[np.float32]  # (images, dimensions)


class Extractor(ABC):
    """A function from images to features, which gives the same features for the same image.

    Attributes:
        name: name on the command line, such as ``random`` or ``med3d-50``.
        digest: SHA-256 of all that determines the features; for a network, of its weights.
        description: the network, and the processing of an image before its first layer.
        class_description: the classes of `compute_probabilities`; None = the extractor has no classes.
    """

    name: str
    digest: str
    description: str
    class_description: str | None = None

    @property
    def label(self) -> str:
        """Name and first digits of the digest, as they are written in scores."""
        return f"{self.name} {self.digest[:12]}"

    @abstractmethod
    def __call__(self, images: list[Pixels]) -> FeatureRows:
        """Compute the features of a batch of images of one shape."""

    def compute_probabilities(self, features: FeatureRows) -> FeatureRows:
        """Compute probabilities (images, classes) of the extractor's classes from its features."""
        raise AssertionError(f"The extractor {self.name} has no classes.")

    def measure_departures(self, images: Iterable[Pixels]) -> dict[str, float]:
        """Measure how far images deviate in features that are excluded because they are constant in the reference.

        The result is empty for an extractor that excludes no features.
        """
        return {}


def extract_features(extractor: Extractor, images: Iterable[Pixels], n: int, what: str) -> FeatureRows:
    """Compute the features of `n` images in batches: (n, dimensions), float32.

    Args:
        extractor: the extractor.
        images: the images.
        n: number of images.
        what: words for the progress bar.
    """
    rows: list[FeatureRows] = []
    with progress.bar(f"features of {what}", n) as bar:
        for batch in _batches(images):
            rows.append(np.asarray(extractor(batch), dtype=np.float32))
            bar.advance(len(batch))
    return np.concatenate(rows)


def _batches(images: Iterable[Pixels]) -> Iterator[list[Pixels]]:
    images = iter(images)
    for first in images:
        yield [first, *islice(images, max(1, BATCH_VOXELS // first.size) - 1)]


def stack_images(images: list[Pixels]) -> torch.Tensor:
    """Stack images to a tensor (batch, 1, *shape) in float32."""
    return torch.from_numpy(np.stack(images))[:, None]


def digest_state(network: nn.Module) -> str:
    """Compute SHA-256 over names, shapes and values of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if not name.endswith("num_batches_tracked"):
            digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
