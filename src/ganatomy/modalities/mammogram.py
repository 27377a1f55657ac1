"""Full-field digital mammograms: reading, conversion to the 1280 x 1024 grid of Korkinof 2018, and the inverse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.dicom import mammogram as mg
from ganatomy.dicom.mammogram_instances import MammogramKind
from ganatomy.dicom.read import is_dicom
from ganatomy.dicom.views import ACCEPTED_VIEWS
from ganatomy.imaging.image import Image, UnusableImage
from ganatomy.imaging.person import FILE, Person, choose_person
from ganatomy.imaging.pictures import GreyPicture
from ganatomy.modalities import anatomy
from ganatomy.modalities.checks import check_polarity
from ganatomy.modalities.hanging import VIEWS, HangingWriter, hang_views
from ganatomy.modalities.modality import Candidate, ReportFigure
from ganatomy.modalities.pictures import PICTURE_SUFFIXES, find_picture_doubts, read_grey_picture
from ganatomy.modalities.projection import ProjectionModality, get_told_spacing
from ganatomy.pyramid import Shape

DEFAULT_SHAPE = (1280, 1024)  # rows, columns: Korkinof 2018

VIEW_FACTS = {"view_position": ("CC", "MLO"), "laterality": ("L", "R")}  # of every mammogram
QUARTER_TURNS = {
    "left": 0,
    "top": 1,
    "right": None,
    "bottom": 3,
}  # quarter turns to the left that bring the chest wall left


@dataclass(frozen=True)
class Mammogram(ProjectionModality):
    """CC and MLO views in [-1, 1] with the chest wall at the left edge; only the right or the lower side is padded.

    Args:
        facts: where PNG, TIFF and JPEG files get view_position, laterality, patient, spacing_mm and chest_wall
            (left, right, top, bottom) from, and where all files get labels from that a column or a constant names.
        shape: rows and columns of the grid (Korkinof 2018).
        voi: whether the VOI LUT or window of DICOM files is applied.
    """

    shape: Shape = DEFAULT_SHAPE
    voi: bool = True

    name = "mammogram"
    own_formats = MappingProxyType({"hanging": HangingWriter})

    @property
    def conditions(self) -> Mapping[str, tuple[str, ...]]:
        return {**VIEW_FACTS, **{name: () for name in self._label_names}}

    @property
    def _label_names(self) -> tuple[str, ...]:
        """The facts of a table that are labels, such as density or age, and neither the view nor used by reading."""
        return tuple(name for name in super().conditions if name not in (*VIEW_FACTS, "spacing_mm", "chest_wall"))

    @property
    def known_facts(self) -> tuple[str, ...]:
        return (*super().known_facts, "chest_wall")

    @property
    def free_conditions(self) -> Mapping[str, tuple[str, ...]]:
        """The laterality, which an image does not show since every canonical image has its chest wall at the left."""
        return {"laterality": ("R", "L")}

    @property
    def options(self) -> Mapping[str, Any]:
        return {"voi": self.voi}

    @property
    def dicom(self) -> MammogramKind:
        return MammogramKind()

    # ------------------------------------------------------------------------------------------------------------------
    # In.

    def read(self, candidate: Candidate) -> tuple[Image, Person]:
        """Read the image as displayed in [0, 1], chest wall left, with its view and labels, and its person.

        Raises:
            UnusableImage: the file cannot be used; the message says why.
        """
        image, who = self._read_view(candidate)
        return image.copy_with(facts={**image.facts, **self.get_labels(candidate, self._label_names)}), who

    def _read_view(self, candidate: Candidate) -> tuple[Image, Person]:
        try:
            if is_dicom(candidate.path) or candidate.path.suffix.lower() == ".dcm":
                image, who = mg.read_mammogram(candidate.path, self.voi, candidate.facts)
                image = image.copy_with(spacing=get_told_spacing(candidate.facts) or image.spacing)
                return image, choose_person(candidate.facts.get("patient", ""), who)
        except OSError as error:
            raise UnusableImage("not readable", error.strerror or "") from error
        if candidate.path.suffix.lower() not in PICTURE_SUFFIXES:
            raise UnusableImage("not an image file", "neither DICOM nor PNG, TIFF or JPEG")
        return self._read_picture(candidate)

    def _read_picture(self, candidate: Candidate) -> tuple[Image, Person]:
        view = candidate.facts.get("view_position", "").upper()
        laterality = candidate.facts.get("laterality", "").upper()
        if view not in ACCEPTED_VIEWS:
            raise UnusableImage("view is not CC or MLO", view or "the table of facts gives no view_position")
        if laterality not in ("L", "R"):
            raise UnusableImage("no laterality", "the table of facts gives no laterality L or R")
        pixels = read_grey_picture(candidate.path)
        told, seen = candidate.facts.get("chest_wall", "").lower(), mg.find_chest_wall(pixels)
        wall = told or seen
        doubts = find_picture_doubts(candidate.path) + (() if told else mg.find_side_doubts(seen, laterality))
        wall = {"l": "left", "r": "right"}.get(wall, wall)
        if wall not in QUARTER_TURNS:
            raise UnusableImage(
                "no orientation", "the image does not show the chest wall; give chest_wall in the table"
            )
        pixels = _bring_wall_left(pixels, wall)
        facts = {"view_position": view, "laterality": laterality}
        spacing, geometry = get_told_spacing(candidate.facts), {"wall": wall}
        image = Image(np.ascontiguousarray(pixels), spacing, facts, geometry, doubts)
        return image, choose_person(candidate.facts.get("patient", ""), Person(candidate.name, FILE))

    def turn_mask(self, values: NDArray[np.int32], image: Image) -> NDArray[np.int32]:
        """Turn a mask so that its chest wall is left, as `read` has turned the picture.

        Raises:
            UnusableImage: the image is not a picture.
        """
        if "wall" not in image.geometry:
            raise UnusableImage("no mask", "masks are read beside PNG, TIFF and JPEG pictures, not beside DICOM")
        return np.ascontiguousarray(_bring_wall_left(values, image.geometry["wall"]))

    def check_image(self, image: Image, candidate: Candidate) -> Image:
        """Check that the breast is bright on a dark background.

        Raises:
            UnusableImage: the picture is a negative.
        """
        check_polarity(image.pixels)
        return image

    # ------------------------------------------------------------------------------------------------------------------
    # Out.

    def denormalise(self, image: Image) -> Image:
        """Map [-1, 1] to [0, 1] as hung: the chest wall is left for a left breast and right for a right one.

        An image that carries its geometry gets its own size and spacing back; a synthetic one keeps the grid.
        """
        shown = super().denormalise(image)
        pixels = shown.pixels[:, ::-1] if image.facts["laterality"] == "R" else shown.pixels
        return shown.copy_with(pixels=np.ascontiguousarray(pixels))

    def show_map(self, maps: NDArray[Any], image: Image) -> NDArray[Any]:
        return np.ascontiguousarray(maps[..., ::-1]) if image.facts["laterality"] == "R" else maps

    def canonicalise(self, image: Image) -> Image:
        """Map [0, 1] as hung to [-1, 1], chest wall left; the inverse of `denormalise` for synthetic images."""
        pixels = image.pixels[:, ::-1] if image.facts["laterality"] == "R" else image.pixels
        return super().canonicalise(image.copy_with(pixels=pixels))

    # ------------------------------------------------------------------------------------------------------------------
    # Measures and pictures.

    def segment_foreground(self, image: Image) -> NDArray[np.bool_]:
        return anatomy.segment_breast(image.pixels)

    def segment_class(self, name: str, image: Image) -> NDArray[np.bool_] | None:
        """Segment ``breast``."""
        return self.segment_foreground(image) if name.lower() == "breast" else None

    def measure_image(self, image: Image) -> dict[str, float]:
        """Measure area, density, outline and more of the breast (`anatomy.measure_breast`)."""
        chest_wall = -1 if image.facts.get("laterality") == "R" else 0
        return anatomy.measure_breast(image.pixels, image.spacing, chest_wall)

    def report_figures(self, images: Sequence[Image]) -> list[ReportFigure]:
        """Draw the standard hanging if all four views are there."""
        views = _find_four_views(images)
        words = (
            "RCC | LCC over RMLO | LMLO, chest walls back to back. The four views were drawn apart: they are not one"
        )
        return (
            []
            if views is None
            else [ReportFigure("hanging", "The standard hanging", f"{words} woman's.", hang_views(views))]
        )


def _bring_wall_left(pixels: NDArray[Any], wall: str) -> NDArray[Any]:
    turns = QUARTER_TURNS[wall]
    return pixels[:, ::-1] if turns is None else np.rot90(pixels, turns)


def _find_four_views(images: Sequence[Image]) -> dict[tuple[str, str], GreyPicture] | None:
    """Find the first image of each of the four views; None if a view is missing."""
    found: dict[tuple[str, str], GreyPicture] = {}
    for image in images:
        found.setdefault((image.facts.get("laterality", ""), image.facts.get("view_position", "")), image.pixels)
    return {key: found[key] for key in VIEWS} if all(key in found for key in VIEWS) else None
