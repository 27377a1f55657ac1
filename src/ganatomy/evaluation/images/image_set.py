"""The protocol of sets of images of one shape, and sets derived from others: subsets, mirrored images, pixels."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ganatomy.pyramid import Shape


class ImageSet(Protocol):
    """Images of one shape, read when they are needed."""

    @property
    def shape(self) -> Shape: ...

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> NDArray[np.float32]:
        """Image i in [-1, 1], canonically oriented."""
        ...

    def __iter__(self) -> Iterator[NDArray[np.float32]]: ...

    def read_labels(self, i: int) -> NDArray[np.uint8] | None:
        """The class numbers of the label map of image i, canonically oriented; None without one."""
        ...

    def facts(self) -> list[dict[str, str]]: ...

    def groups(self) -> list[str]:
        """Return the group of each image, such as its patient; images of one group are not independent."""
        ...

    def digests(self) -> list[str]:
        """Return hashes of the images; equal hashes mean equal pixels, which are then processed only once."""
        ...

    @property
    def cache_folder(self) -> Path | None:
        """Folder in which features of these images may be kept for the next report; None = no folder."""
        ...


@dataclass(frozen=True)
class ImageSubset:
    """A subset of a set of images, in any order."""

    images: ImageSet
    indices: Sequence[int]

    @property
    def shape(self) -> Shape:
        return self.images.shape

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> NDArray[np.float32]:
        return self.images[self.indices[i]]

    def read_labels(self, i: int) -> NDArray[np.uint8] | None:
        return self.images.read_labels(self.indices[i])

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[i] for i in range(len(self)))

    def facts(self) -> list[dict[str, str]]:
        facts = self.images.facts()
        return [facts[i] for i in self.indices]

    def groups(self) -> list[str]:
        groups = self.images.groups()
        return [groups[i] for i in self.indices]

    def digests(self) -> list[str]:
        digests = self.images.digests()
        return [digests[i] for i in self.indices]

    @property
    def cache_folder(self) -> Path | None:
        return self.images.cache_folder


@dataclass(frozen=True)
class PixelImages:
    """Images in memory without facts, each in its own group."""

    pixels: Sequence[NDArray[np.float32]]

    @property
    def shape(self) -> Shape:
        return self.pixels[0].shape

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, i: int) -> NDArray[np.float32]:
        return self.pixels[i]

    def read_labels(self, i: int) -> None:
        """None, because these images have no label maps."""
        return None

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return iter(self.pixels)

    def facts(self) -> list[dict[str, str]]:
        return [{} for _ in self.pixels]

    def groups(self) -> list[str]:
        return [str(i) for i in range(len(self))]

    def digests(self) -> list[str]:
        """Return hashes of the pixels."""
        return [hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest() for image in self.pixels]

    @property
    def cache_folder(self) -> None:
        """None, because these images are in memory only."""
        return None


@dataclass(frozen=True)
class MirroredImages:
    """A set of images, each mirrored along one axis."""

    images: ImageSet
    axis: int

    @property
    def shape(self) -> Shape:
        return self.images.shape

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> NDArray[np.float32]:
        return np.ascontiguousarray(np.flip(self.images[i], self.axis))

    def read_labels(self, i: int) -> NDArray[np.uint8] | None:
        labels = self.images.read_labels(i)
        return None if labels is None else np.ascontiguousarray(np.flip(labels, self.axis))

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[i] for i in range(len(self)))

    def facts(self) -> list[dict[str, str]]:
        return self.images.facts()

    def groups(self) -> list[str]:
        return self.images.groups()

    def digests(self) -> list[str]:
        return [f"{digest} mirrored along {self.axis}" for digest in self.images.digests()]

    @property
    def cache_folder(self) -> None:
        """None, because mirrored images are used in one report only."""
        return None
