"""Temporary storage of synthetic images on disk, so that memory does not depend on their number."""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.data.samples import Sample
from ganatomy.data.store import dequantise_pixels, quantise_pixels
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image
from ganatomy.machine import progress
from ganatomy.pyramid import Shape, format_shape


class SampleCache:
    """Images of one shape with their facts and records, quantised like the images of a store.

    Args:
        samples: images in [-1, 1], canonically oriented, with their records.
        max_samples: the largest number of samples that the cache can hold.
        shape: the shape that every image must have; None = the shape of the first image.

    Raises:
        Refused: there is no image, shapes differ, values are not finite, or all images are constant.
    """

    def __init__(self, samples: Iterable[Sample], max_samples: int, shape: Shape | None = None) -> None:
        self._facts: list[dict[str, str]] = []
        self._digests: list[str] = []
        self.records: list[dict[str, Any]] = []
        self.constant_images: list[int] = []
        self.classes: tuple[str, ...] = ()  # of the label maps of all images by number; none if not all have the same
        self._labels: np.memmap[Any, Any] | None = None
        values: np.memmap[Any, Any] | None = None
        with progress.bar("images", max_samples) as bar:
            for image, record in samples:
                shape = shape or image.shape
                _check_pixels(image.pixels, shape, record)
                if values is None:
                    values = _reserve(np.uint16, (max_samples, *shape))
                    self.classes = image.classes
                    self._labels = _reserve(np.uint8, (max_samples, *shape)) if image.classes else None
                self._keep_labels(image)
                if np.ptp(image.pixels) == 0:
                    self.constant_images.append(len(self._facts))
                stored = quantise_pixels(image.pixels)
                values[len(self._facts)] = stored
                self._digests.append(hashlib.sha256(stored.tobytes()).hexdigest())
                self._facts.append(dict(image.facts))
                self.records.append(record)
                bar.advance()
        if values is None or shape is None:
            raise Refused("There is no image to measure.")
        if len(self.constant_images) == len(self._facts):
            raise Refused(f"All {len(self._facts)} images are constant: every pixel of an image is the same.")
        self._values, self.shape = values, tuple(shape)

    def _keep_labels(self, image: Image) -> None:
        """Keep the label map of the next image; of none, if it has other classes than those before."""
        if image.classes != self.classes:
            self.classes, self._labels = (), None
        if self._labels is not None:
            self._labels[len(self._facts)] = image.labels

    def __len__(self) -> int:
        return len(self._facts)

    def read_labels(self, i: int) -> NDArray[np.uint8] | None:
        """The class numbers of the label map of image i; None without one."""
        return None if self._labels is None else np.asarray(self._labels[i])

    def __getitem__(self, i: int) -> NDArray[np.float32]:
        """Image i in [-1, 1]."""
        return dequantise_pixels(np.asarray(self._values[i]))

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[i] for i in range(len(self)))

    def facts(self) -> list[dict[str, str]]:
        return self._facts

    def groups(self) -> list[str]:
        """Return a group for each image, because synthetic images are independent."""
        return [f"synthetic {i}" for i in range(len(self))]

    def digests(self) -> list[str]:
        """Return hashes of the quantised pixels."""
        return self._digests

    @property
    def cache_folder(self) -> None:
        """None, because samples are drawn again for each report."""
        return None


def _reserve(dtype: type[np.generic], shape: Shape) -> "np.memmap[Any, Any]":
    """Reserve memory on disk, in a file that the memory map keeps until it is deleted itself."""
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def _check_pixels(pixels: NDArray[np.float32], shape: Shape, record: dict[str, Any]) -> None:
    name = record.get("file", f"sample {record.get('index', '')}")
    if pixels.shape != tuple(shape):
        raise Refused(
            f"All images must have one shape: {name} is {format_shape(pixels.shape)}, others {format_shape(shape)}."
        )
    if not np.isfinite(pixels).all():
        raise Refused(f"{name} contains values that are not finite (NaN or infinite); remove it or generate it again.")
