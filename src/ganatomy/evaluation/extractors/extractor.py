"""What an extractor is, and one bounded-memory pass of it over any number of images."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ganatomy.machine import progress

BATCH_VOXELS = 2**20  # in a batch, so that memory does not depend on the size or the number of the images

Pixels = NDArray[np.float32]  # one image in [-1, 1], canonically oriented
FeatureRows = NDArray[np.float32]  # (images, dimensions)


class Extractor(ABC):
    """Images in, features out, always the same ones for the same image.

    Attributes:
        name: as on the command line, such as ``random`` or ``med3d-50``.
        digest: SHA-256 of all that decides the features: of a network its weights.
        description: what it is, and what it does to an image before the first layer.
        class_description: what the classes of `compute_probabilities` are; None = the extractor has none of its own.
    """

    name: str
    digest: str
    description: str
    class_description: str | None = None

    @property
    def label(self) -> str:
        """Name and first digits of the digest, as scores carry them."""
        return f"{self.name} {self.digest[:12]}"

    @abstractmethod
    def __call__(self, images: list[Pixels]) -> FeatureRows:
        """Features of a batch of images of one shape."""

    def compute_probabilities(self, features: FeatureRows) -> FeatureRows:
        """Probabilities (images, classes) of the extractor's own classes, from its features."""
        raise AssertionError(f"The extractor {self.name} has no classes.")

    def measure_departures(self, images: Iterable[Pixels]) -> dict[str, float]:
        """Of what the extractor leaves out because it is constant among its reference: how far these images depart.

        Empty for an extractor that leaves nothing out.
        """
        return {}


def extract_features(extractor: Extractor, images: Iterable[Pixels], n: int, what: str) -> FeatureRows:
    """Features of `n` images taken a batch at a time: (n, dimensions), float32.

    Args:
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
    """(batch, 1, *shape), float32."""
    return torch.from_numpy(np.stack(images))[:, None]


def digest_state(network: nn.Module) -> str:
    """SHA-256 over names, shapes and values of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if not name.endswith("num_batches_tracked"):
            digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
