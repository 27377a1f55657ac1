"""The base class of modalities; `modalities.table` lists them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ganatomy.dicom.instances import DicomKind
from ganatomy.imaging.image import Image, UnusableImage
from ganatomy.imaging.person import Person
from ganatomy.imaging.pictures import GreyPicture
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.folder import FolderListing, list_folder, refuse_empty_folder
from ganatomy.pyramid import Shape


@dataclass(frozen=True)
class Candidate:
    """A source that may hold a case: one file or the slices of a series, and the facts that a table gives for it.

    Args:
        paths: the files.
        name: path below the raw folder, of the file or of the series' folder.
        facts: from a table of facts beside the files.
        remark: what is doubtful about which files were put together; empty when nothing is.
    """

    paths: tuple[Path, ...]
    name: str
    facts: Mapping[str, str]
    remark: str = ""

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


class SampleWriter(Protocol):
    """Writes samples of one format into one folder."""

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        """The path below the folder of what was written.

        Args:
            image: in [-1, 1], canonically oriented.
            shown: the same in its own values (grey [0, 1], HU), as displayed.
            record: how it was made.
        """
        ...


@dataclass(frozen=True)
class Modality(ABC):
    """Reading, the grid, the way back, and the way out.

    Shared code has a modality by its name from `modalities.table` and asks it; it never asks which one it has. A new
    one begins with `projection.ProjectionModality` or `volume.VolumeModality`, which leave the least to write. It is a
    frozen dataclass: the fields that it adds are its options, and all have defaults.

    Args:
        facts: where facts that the files do not carry come from.
        shape: the grid that a store is prepared on.
    """

    facts: FactSource = field(default_factory=FactSource)
    shape: Shape = ()

    name: ClassVar[str]
    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)  # the values that -1 and 1 of the grid stand for
    own_formats: ClassVar[Mapping[str, Callable[[Path], SampleWriter]]] = {}  # a format -> what writes it into a folder

    # ------------------------------------------------------------------------------------------------------------------
    # Facts and options.

    @property
    def conditions(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that a model can be conditioned on, with their values; no values = those that are found."""
        return {name: () for name in {**self.facts.columns, **self.facts.constants} if name != "patient"}

    @property
    def free_conditions(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that a canonical image does not show, with their values: any sample may have any of them."""
        return {}

    @property
    def options(self) -> Mapping[str, Any]:
        """What besides the shape decides how an image is normalised; kept with the store."""
        return {}

    # ------------------------------------------------------------------------------------------------------------------
    # In: from raw files to the grid.

    @property
    def known_facts(self) -> tuple[str, ...]:
        """The facts that reading takes from a table: the conditions, and others that are no condition."""
        return (*self.conditions, "patient")

    def list_candidates(self, raw: Path, listing: FolderListing | None = None) -> list[Candidate]:
        """What below `raw` may hold a case each, in a fixed order, with what the table of facts says of it.

        Args:
            raw: the folder.
            listing: what is below it, where that is known.

        Raises:
            Refused: the folder is missing or has no file, or the table of facts cannot be read.
        """
        table = self.facts.read_table(raw)
        listing = listing or list_folder(raw)
        if not listing.files:
            raise refuse_empty_folder(listing)
        return [
            replace(candidate, facts=self.facts.combine_facts(table, candidate.name))
            for candidate in self.group_files(listing)
        ]

    def group_files(self, listing: FolderListing) -> list[Candidate]:
        """The candidates, without facts: each file of the listing is in exactly one; here every file by itself."""
        return [Candidate((path,), name, {}) for path, name in listing.files]

    def get_labels(self, candidate: Candidate, names: Iterable[str] | None = None) -> dict[str, str]:
        """The facts of the conditions, from the table.

        Args:
            names: of those that are wanted; None = all.

        Raises:
            UnusableImage: the table does not give one.
        """
        labels = {name: candidate.facts.get(name, "") for name in (self.conditions if names is None else names)}
        if missing := [name for name, value in labels.items() if not value]:
            raise UnusableImage("no label", f"the table of facts gives no {missing[0]} for {candidate.name}")
        return labels

    @abstractmethod
    def read(self, candidate: Candidate) -> tuple[Image, Person]:
        """The image in its own values (grey [0, 1], HU), canonically oriented, and who it is of.

        Raises:
            UnusableImage: the file cannot serve; the message says why.
        """

    def check_image(self, image: Image, candidate: Candidate) -> Image:
        """What `read` gave, looked at: does it look like what it claims? Doubts are added to those of the image.

        Asked of the images that a store is prepared from, not of synthetic ones, which may be as wrong as they are.

        Raises:
            UnusableImage: it is certainly something else.
        """
        return image

    @abstractmethod
    def normalise(self, image: Image) -> Image:
        """To the grid and to [-1, 1]; what was done to fit the grid goes into the image's geometry.

        Raises:
            UnusableImage: the image does not fit the grid.
        """

    # ------------------------------------------------------------------------------------------------------------------
    # Out: from the grid to values, files and objects.

    @abstractmethod
    def denormalise(self, image: Image) -> Image:
        """Back to the values that `read` gives, undoing the grid if the image carries its geometry, as displayed."""

    @abstractmethod
    def canonicalise(self, image: Image) -> Image:
        """Values as displayed to [-1, 1] as trained on; the inverse of `denormalise` for synthetic images."""

    @property
    @abstractmethod
    def formats(self) -> tuple[str, ...]:
        """The files that samples can be written to; the first is the usual one."""

    @property
    @abstractmethod
    def dicom(self) -> DicomKind:
        """The DICOM objects of a sample."""

    def convert_voxels(self, pixels: NDArray[np.float32]) -> NDArray[Any]:
        """Values of a volume in the type in which NIfTI holds them."""
        return pixels

    # ------------------------------------------------------------------------------------------------------------------
    # Measures and pictures.

    @abstractmethod
    def segment_foreground(self, image: Image) -> NDArray[np.bool_]:
        """Where an image in its own values shows the body."""

    def segment_structures(self, image: Image) -> list[NDArray[np.bool_]]:
        """What of an image in its own values is measured, to be drawn as contours."""
        return [self.segment_foreground(image)]

    @abstractmethod
    def measure_image(self, image: Image) -> dict[str, float]:
        """What can be measured on an image in its own values, by name with unit; nan where it does not show it.

        All images of a modality have the same names, at least one.
        """

    @abstractmethod
    def render_image(self, image: Image) -> GreyPicture:
        """A picture in [0, 1] of an image in its own values."""

    def report_figures(self, images: Sequence[Image]) -> list[ReportFigure]:
        """Pictures of synthetic images that belong to this modality alone, such as the standard hanging."""
        return []
