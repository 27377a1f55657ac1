"""What a modality is; the table of modalities is in `modalities.table`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ganatomy.imaging.image import Image
from ganatomy.imaging.pictures import GreyPicture
from ganatomy.pyramid import Shape


@dataclass(frozen=True)
class Candidate:
    """A source that may hold a case: one file or the slices of a series, and the facts that a table gives for it.

    Args:
        paths: the files.
        name: path below the raw folder, of the file or of the series' folder.
        facts: from a table of facts beside the files.
    """

    paths: tuple[Path, ...]
    name: str
    facts: Mapping[str, str]

    @property
    def path(self) -> Path:
        """The file, or the first of them."""
        return self.paths[0]


class ReportFigure(NamedTuple):
    """A picture of a report: file name without suffix, title, caption, 8-bit pixels, grey or RGB."""

    name: str
    title: str
    caption: str
    pixels: NDArray[np.uint8]


@runtime_checkable
class Modality(Protocol):
    """Reading, the grid, and the way back."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> Shape:
        """The grid that a store is prepared on."""
        ...

    @property
    def conditions(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that a model can be conditioned on, with their values; no values = those that are found."""
        ...

    @property
    def free_conditions(self) -> Mapping[str, tuple[str, ...]]:
        """Of these, what a canonical image does not show, so that any sample may have it."""
        ...

    @property
    def formats(self) -> tuple[str, ...]:
        """The files that samples can be written to; the first is the usual one."""
        ...

    @property
    def options(self) -> Mapping[str, Any]:
        """What besides the shape decides how an image is normalised; kept with the store."""
        ...

    def list_candidates(self, raw: Path) -> list[Candidate]:
        """Every file below `raw` that may be an image, in a fixed order."""
        ...

    def read(self, candidate: Candidate) -> tuple[Image, str]:
        """The image in its own values (grey [0, 1], HU), canonically oriented, and who it is of; raises `Unusable`."""
        ...

    def normalise(self, image: Image) -> Image:
        """To the grid and to [-1, 1]."""
        ...

    def denormalise(self, image: Image) -> Image:
        """Back to the values that `read` gives, undoing the grid if the image carries its geometry, as displayed."""
        ...

    def canonicalise(self, image: Image) -> Image:
        """Values as displayed to [-1, 1] as trained on; the inverse of `denormalise` for synthetic images."""
        ...

    def segment_foreground(self, image: Image) -> NDArray[np.bool_]:
        """Where an image in its own values shows the body."""
        ...

    def segment_structures(self, image: Image) -> list[NDArray[np.bool_]]:
        """What of an image in its own values is measured, to be drawn as contours."""
        ...

    def measure_image(self, image: Image) -> dict[str, float]:
        """What can be measured on an image in its own values, by name with unit; nan where it does not show it."""
        ...

    def render_image(self, image: Image) -> GreyPicture:
        """A picture in [0, 1] of an image in its own values."""
        ...

    def report_figures(self, images: Sequence[Image]) -> list[ReportFigure]:
        """Pictures of synthetic images that belong to this modality alone, such as the standard hanging."""
        ...
