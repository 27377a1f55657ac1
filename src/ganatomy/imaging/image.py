"""The class `Image`, the only image type in memory, based on NumPy."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


def _empty_mapping() -> Mapping[str, Any]:
    return MappingProxyType({})


class Doubt(NamedTuple):
    """What makes an image that is used doubtful, as a kind that is counted and a detail with the values."""

    kind: str
    detail: str = ""


@dataclass(frozen=True)
class Image:
    """Pixels or voxels that never travel without their geometry and facts.

    Args:
        pixels: (height, width) or (depth, height, width), float32. What the numbers mean is said by who made the image:
            a reader gives [0, 1] as displayed, a normalised image is in [-1, 1].
        spacing: millimetres between voxel centres, in array order; None when the source does not say.
        facts: named facts such as ``view_position`` and ``laterality``; identifiers of persons never.
        geometry: what was done to fit the grid, so that it can be undone (`Modality.denormalise`).
        doubts: what is doubtful about the source; the image is used all the same, and each doubt is counted.
        frame: the matrix (4, 4) from indices to millimetres of the patient (R, A, S), as the file has it; None where it
            is not known. It is not kept in a store.
        shares: the shares of the classes of a label map, ``(classes, *shape)`` in [0, 1], the background first; None
            without one.
        classes: names of the classes, the background first.
    """

    pixels: NDArray[np.float32]
    spacing: tuple[float, ...] | None = None
    facts: Mapping[str, str] = field(default_factory=_empty_mapping)
    geometry: Mapping[str, Any] = field(default_factory=_empty_mapping)
    doubts: tuple[Doubt, ...] = ()
    frame: NDArray[np.float64] | None = field(default=None, compare=False)
    shares: NDArray[np.float32] | None = field(default=None, compare=False)
    classes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.pixels.shape

    @property
    def labels(self) -> NDArray[np.uint8] | None:
        """The number of the class of each pixel or voxel, of which it has the largest share; None without a label map.

        0 is the background, and n the class ``classes[n]``.
        """
        return None if self.shares is None else self.shares.argmax(0).astype(np.uint8)

    def copy_with(self, **changes: Any) -> "Image":
        """The same image with some fields replaced."""
        return replace(self, **changes)


class UnusableImage(Exception):
    """A source file that cannot serve, and why. Never fatal: it is listed with its reason."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.detail = detail
