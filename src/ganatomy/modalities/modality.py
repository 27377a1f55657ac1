"""The base class of modalities; `modalities.table` lists them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ganatomy.dicom.instances import DicomKind
from ganatomy.imaging.image import Doubt, Image, UnusableImage
from ganatomy.imaging.person import Person
from ganatomy.imaging.pictures import GreyPicture
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.folder import FolderListing, list_folder, refuse_empty_folder
from ganatomy.modalities.label_files import LabelSource
from ganatomy.pyramid import Shape


@dataclass(frozen=True)
class Candidate:
    """A source that may hold a case: one file or the slices of a series, and the facts that a table gives for it.

    Args:
        paths: the files.
        name: path below the raw folder, of the file or of the series' folder.
        facts: from a table of facts beside the files.
        remark: what is doubtful about which files were put together; empty when nothing is.
        masks: for each rule of the modality's `labels`, those of the files that it matches; they are the last of
            `paths`. A mask of no image is a candidate with this file alone.
    """

    paths: tuple[Path, ...]
    name: str
    facts: Mapping[str, str]
    remark: str = ""
    masks: tuple[tuple[Path, ...], ...] = ()

    @property
    def images(self) -> tuple[Path, ...]:
        """The files that hold the image: all but the masks."""
        masks = {path for found in self.masks for path in found}
        return tuple(path for path in self.paths if path not in masks)

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
        """Write one sample and return its path below the folder.

        Args:
            image: the sample in [-1, 1], canonically oriented.
            shown: the same sample in its own values (grey [0, 1], HU), as displayed.
            record: how the sample was made.
        """
        ...


@dataclass(frozen=True)
class Modality(ABC):
    """One kind of image: how it is read, brought to the grid, brought back, measured, shown and written.

    Shared code gets a modality by its name from `modalities.table` and calls its methods; it never checks which
    modality it has. A new modality derives from `projection.ProjectionModality` or `volume.VolumeModality`, which need
    the least code. It is a frozen dataclass: the fields that it adds are its options, and all have defaults.

    Args:
        facts: the source of facts that the files do not carry.
        shape: voxels per axis of the grid that a store is prepared on.
        labels: the source of label maps beside the images.
    """

    facts: FactSource = field(default_factory=FactSource)
    shape: Shape = ()
    labels: LabelSource = field(default_factory=LabelSource)

    name: ClassVar[str]
    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)  # the values that -1 and 1 of the grid stand for
    unit: ClassVar[str] = ""  # of the values that a viewer shows
    display_windows: ClassVar[Mapping[str, tuple[float, float]]] = {}  # centre and width in these values, by name
    own_formats: ClassVar[Mapping[str, Callable[[Path], SampleWriter]]] = {}  # a format -> what writes it into a folder

    # ------------------------------------------------------------------------------------------------------------------
    # Facts and options.

    @property
    def conditions(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that a model can be conditioned on, with their values; no values = those found in the files."""
        return {name: () for name in {**self.facts.columns, **self.facts.constants} if name != "patient"}

    @property
    def free_conditions(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that a canonical image does not show, with their values: any sample may have any of them."""
        return {}

    @property
    def options(self) -> Mapping[str, Any]:
        """The settings besides the shape that decide how an image is normalised; they are kept with the store."""
        return {}

    # ------------------------------------------------------------------------------------------------------------------
    # In: from raw files to the grid.

    @property
    def known_facts(self) -> tuple[str, ...]:
        """The facts that reading takes from a table: the conditions, and others that are no condition."""
        return (*self.conditions, "patient")

    def list_candidates(self, raw: Path, listing: FolderListing | None = None) -> list[Candidate]:
        """List the candidates below `raw` in a fixed order, each with its facts from the table.

        Args:
            raw: the folder.
            listing: the listing of `raw`, if it is known; None = the folder is listed here.

        Raises:
            Refused: the folder is missing or has no file, or the table of facts cannot be read.
        """
        table = self.facts.read_table(raw)
        listing = listing or list_folder(raw)
        if not listing.files:
            raise refuse_empty_folder(listing)
        candidates = self.group_files(self.labels.leave_out_masks(listing))
        if self.labels.rules:
            candidates = add_masks(candidates, self.labels, listing)
        return [replace(candidate, facts=self.facts.combine_facts(table, candidate.name)) for candidate in candidates]

    def group_files(self, listing: FolderListing) -> list[Candidate]:
        """Group the files of a listing into candidates without facts, each file in exactly one; here one a file."""
        return [Candidate((path,), name, {}) for path, name in listing.files]

    def get_labels(self, candidate: Candidate, names: Iterable[str] | None = None) -> dict[str, str]:
        """Return the facts of the conditions, from the table.

        Args:
            candidate: a candidate with its facts.
            names: names of the conditions that are wanted; None = all.

        Raises:
            UnusableImage: the table does not give one of them.
        """
        labels = {name: candidate.facts.get(name, "") for name in (self.conditions if names is None else names)}
        if missing := [name for name, value in labels.items() if not value]:
            raise UnusableImage("no label", f"the table of facts gives no {missing[0]} for {candidate.name}")
        return labels

    @abstractmethod
    def read(self, candidate: Candidate) -> tuple[Image, Person]:
        """Read the image in its own values (grey [0, 1], HU), canonically oriented, and its person.

        Raises:
            UnusableImage: the file cannot be used; the message says why.
        """

    def check_image(self, image: Image, candidate: Candidate) -> Image:
        """Check that an image from `read` looks like an image of this modality; return it with any doubts added.

        Images that a store is prepared from are checked. Synthetic images are not, since their faults are measured.

        Raises:
            UnusableImage: the image is certainly something else.
        """
        return image

    @abstractmethod
    def normalise(self, image: Image) -> Image:
        """Bring an image to the grid and to [-1, 1]; its geometry records how it was fitted to the grid.

        Raises:
            UnusableImage: the image does not fit the grid.
        """

    def read_mask(self, path: Path, image: Image, candidate: Candidate) -> tuple[NDArray[np.int32], tuple[Doubt, ...]]:
        """Read the values of a mask on the pixels or voxels of an image that `read` has read.

        Args:
            path: the mask.
            image: the image.
            candidate: the files of the image, without its masks.

        Returns:
            The values (layers, *shape of the image), on several layers where structures of the mask overlap, and what
            is doubtful about them.

        Raises:
            UnusableImage: the file cannot be used; the message says why.
        """
        raise UnusableImage("no mask", f"masks of {self.name} are not read")

    def fit_to_grid(self, voxels: NDArray[np.float32], geometry: Mapping[str, Any]) -> NDArray[np.float32]:
        """Bring a map with the size of an image to the grid as `normalise` has brought the image, by means of values.

        Args:
            voxels: the map, zero where there is nothing.
            geometry: of the image that `normalise` has returned.
        """
        raise UnusableImage("no mask", f"masks of {self.name} are not read")

    # ------------------------------------------------------------------------------------------------------------------
    # Out: from the grid to values, files and objects.

    def show_map(self, maps: NDArray[Any], image: Image) -> NDArray[Any]:
        """Turn maps (maps, *shape) on the grid of a sample as `denormalise` turns the sample."""
        return maps

    @abstractmethod
    def denormalise(self, image: Image) -> Image:
        """Map [-1, 1] to the values of `read`, as displayed; the grid is undone if the image carries its geometry."""

    @abstractmethod
    def canonicalise(self, image: Image) -> Image:
        """Map values as displayed to [-1, 1] as in training; the inverse of `denormalise` for synthetic images."""

    @property
    @abstractmethod
    def formats(self) -> tuple[str, ...]:
        """Names of the formats that samples can be written in; the first is the default."""

    @property
    @abstractmethod
    def dicom(self) -> DicomKind:
        """The DICOM objects of a sample."""

    def convert_voxels(self, pixels: NDArray[np.float32]) -> NDArray[Any]:
        """Convert the values of a volume to the type in which NIfTI files hold them."""
        return pixels

    # ------------------------------------------------------------------------------------------------------------------
    # Measures and pictures.

    @abstractmethod
    def segment_foreground(self, image: Image) -> NDArray[np.bool_]:
        """Segment the body in an image in its own values; the mask has the image's shape."""

    def segment_structures(self, image: Image) -> list[NDArray[np.bool_]]:
        """Segment the measured structures of an image in its own values, to be drawn as contours."""
        return [self.segment_foreground(image)]

    def segment_class(self, name: str, image: Image) -> NDArray[np.bool_] | None:
        """Segment the structure of a class of label maps in an image in its own values; None if there is no way."""
        return None

    @abstractmethod
    def measure_image(self, image: Image) -> dict[str, float]:
        """Measure an image in its own values, by name with unit; nan for a measure that the image does not show.

        All images of a modality have the same names, at least one.
        """

    @abstractmethod
    def render_image(self, image: Image) -> GreyPicture:
        """Render an image in its own values as a grey picture (rows, columns) in [0, 1]."""

    def report_figures(self, images: Sequence[Image]) -> list[ReportFigure]:
        """Draw the pictures of synthetic images that this modality alone has, such as the standard hanging."""
        return []


def add_masks(candidates: Sequence[Candidate], labels: LabelSource, listing: FolderListing) -> list[Candidate]:
    """Add to each candidate the masks that the rules match; a mask of no image becomes a candidate by itself.

    Raises:
        Refused: two images have the same mask.
    """
    found = labels.find_masks([candidate.paths for candidate in candidates], listing)
    every = [[path for paths in masks for path in paths] for masks in found]
    whole = [
        replace(candidate, paths=(*candidate.paths, *dict.fromkeys(paths)), masks=masks)
        for candidate, masks, paths in zip(candidates, found, every, strict=True)
    ]
    used = {path for candidate in whole for path in candidate.paths}
    alone = [Candidate((path,), name, {}, masks=((path,),)) for path, name in listing.files if path not in used]
    places = {path: place for place, (path, _) in enumerate(listing.files)}
    return sorted([*whole, *alone], key=lambda candidate: places[candidate.path])
