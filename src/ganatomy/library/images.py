"""Synthetic images as a program receives them: an array with its spacing, its facts and how it was made."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganatomy.data.samples import Sample
from ganatomy.errors import Refused
from ganatomy.exporting.export import write_samples
from ganatomy.imaging.image import Image
from ganatomy.imaging.orientation import Affine, compute_affine
from ganatomy.modalities.table import get_modality


@dataclass(frozen=True)
class SyntheticImage(Image):
    """An image that a model has made. No patient is shown.

    `pixels` is float32 in [-1, 1], (height, width) or (depth, height, width), in the orientation of training: the chest
    wall of a mammogram at the left edge, the axes of a volume towards superior, posterior and left. `labels` has the
    number of the class of each pixel or voxel, n for ``classes[n]``; it is None if the model makes no label map.

    Args:
        modality: name of its modality.
        provenance: how it was made: the generator, the hash of its snapshot, the seed, the number of the image (as
            ``index``), the truncation, the facts.
    """

    modality: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """The seed that it was drawn with."""
        return int(self.provenance["seed"])

    @property
    def number(self) -> int:
        """Its number among the images of its seed."""
        return int(self.provenance["index"])

    @property
    def values(self) -> NDArray[np.float32]:
        """The image in the values of its modality, as displayed: HU, or grey in [0, 1] for mammograms and MRI."""
        return get_modality(self.modality)().denormalise(self).pixels

    @property
    def affine(self) -> Affine | None:
        """The matrix (4, 4) from indices of `pixels` to millimetres in NIfTI's axes; None without a spacing."""
        return None if self.spacing is None else compute_affine(self.shape, self.spacing)

    def to_torch(self) -> Tensor:
        """The pixels as a tensor ``(1, *shape)``, float32 in [-1, 1], with memory of its own."""
        return torch.from_numpy(self.pixels.copy())[None]


class Images(Sequence[SyntheticImage]):
    """Synthetic images of one model and one size, in memory.

    Args:
        images: as the model made them.
    """

    def __init__(self, images: Iterable[SyntheticImage]) -> None:
        self._images = tuple(images)

    def __len__(self) -> int:
        return len(self._images)

    @overload
    def __getitem__(self, place: int) -> SyntheticImage: ...
    @overload
    def __getitem__(self, place: slice) -> "Images": ...
    def __getitem__(self, place: int | slice) -> "SyntheticImage | Images":
        if isinstance(place, slice):
            return Images(self._images[place])
        return self._images[place]

    def __repr__(self) -> str:
        first = f" of {' x '.join(map(str, self[0].shape))}, {self[0].modality}" if self._images else ""
        return f"<{len(self)} synthetic images{first}>"

    @property
    def pixels(self) -> NDArray[np.float32]:
        """All images as one array ``(images, *shape)``, float32 in [-1, 1]."""
        return np.stack([image.pixels for image in self])

    @property
    def facts(self) -> list[dict[str, str]]:
        """The facts of each image."""
        return [dict(image.facts) for image in self]

    @property
    def labels(self) -> NDArray[np.uint8] | None:
        """The class numbers of all label maps as one array ``(images, *shape)``; None if the model makes none."""
        maps = [image.labels for image in self]
        return np.stack([one for one in maps if one is not None]) if maps and maps[0] is not None else None

    def to_torch(self) -> Tensor:
        """All images as one tensor ``(images, 1, *shape)``, float32 in [-1, 1]."""
        return torch.from_numpy(self.pixels)[:, None]

    def save(
        self, out: str | PathLike[str], to: str | None = None, spacing: float | None = None, date: str | None = None
    ) -> int:
        """Write them as ``ganatomy sample`` writes its images, the same bytes, and return their number.

        Args:
            out: output folder, new or empty.
            to: ``png`` (16 bit), ``nifti``, ``npy``, ``dicom`` or another format of the modality; None = its default.
            spacing: millimetres per pixel, for a model whose training images had none.
            date: date of the DICOM studies as YYYYMMDD; None = today.

        Raises:
            Refused: there are no images, the format is unknown, or `out` holds something else.
        """
        if not self._images:
            raise Refused(f"There are no images to write to {out}; draw some with Model.sample.")
        pairs = make_pairs(self)
        return write_samples(pairs, len(self), self[0].modality, Path(out), to, date, spacing)


def describe_images(samples: Iterable[Sample], modality: str) -> Iterator[SyntheticImage]:
    """Images with their records as they come from `ganatomy.sampling`, one by one, as values that carry both."""
    for image, record in samples:
        yield SyntheticImage(
            image.pixels,
            image.spacing,
            image.facts,
            image.geometry,
            image.doubts,
            shares=image.shares,
            classes=image.classes,
            modality=modality,
            provenance=dict(record),
        )


def make_pairs(images: Iterable[SyntheticImage]) -> Iterator[Sample]:
    """The images with their records, as the writers and the evaluation take them."""
    return ((image, dict(image.provenance)) for image in images)
