"""What a modality is; the table of modalities is in `modalities.table`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ganatomy.image import Image
from ganatomy.pyramid import Shape


@dataclass(frozen=True)
class Candidate:
    """A source that may hold a case: one file, and the facts that a table gives for it.

    Args:
        path: the file.
        name: its path below the raw folder.
        facts: from a table of facts beside the files; empty for DICOM, which carries its own.
    """

    path: Path
    name: str
    facts: Mapping[str, str]


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
        """Facts that a model can be conditioned on, with their values."""
        ...

    @property
    def free(self) -> Mapping[str, tuple[str, ...]]:
        """Of these, what a canonical image does not show, so that any sample may have it."""
        ...

    @property
    def options(self) -> Mapping[str, Any]:
        """What besides the shape decides how an image is normalised; kept with the store."""
        ...

    def candidates(self, raw: Path) -> list[Candidate]:
        """Every file below `raw` that may be an image, in a fixed order."""
        ...

    def read(self, candidate: Candidate) -> tuple[Image, str]:
        """The image, [0, 1] and canonically oriented, and who it is of; raises `Unusable`."""
        ...

    def normalise(self, image: Image) -> Image:
        """To the grid and to [-1, 1]."""
        ...

    def denormalise(self, image: Image) -> Image:
        """Back to [0, 1], undoing the grid if the image carries its geometry, oriented as displayed."""
        ...

    def canonical(self, image: Image) -> Image:
        """[0, 1] as displayed to [-1, 1] as trained on; the inverse of `denormalise` for synthetic images."""
        ...
