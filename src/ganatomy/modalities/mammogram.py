"""Full-field digital mammograms: reading, the 1280 x 1024 grid of Korkinof 2018, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from ganatomy.dicom import mammogram as mg
from ganatomy.dicom.read import is_dicom
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image, UnusableImage
from ganatomy.imaging.pictures import GreyPicture
from ganatomy.modalities import anatomy
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.folder import list_files
from ganatomy.modalities.hanging import VIEWS, hang_views
from ganatomy.modalities.modality import Candidate, ReportFigure
from ganatomy.modalities.pictures import PICTURE_SUFFIXES, read_grey_picture
from ganatomy.pyramid import Shape, compute_pyramid

DEFAULT_SHAPE = (1280, 1024)  # rows, columns: Korkinof 2018
LARGEST_ENLARGEMENT = 2.0  # smaller sources are thumbnails; enlarging them further only adds blur

QUARTER_TURNS = {
    "left": 0,
    "top": 1,
    "right": None,
    "bottom": 3,
}  # quarter turns to the left that bring the chest wall left


@dataclass(frozen=True)
class Mammogram:
    """CC and MLO views, chest wall at the left edge, [-1, 1].

    Args:
        facts: where PNG, TIFF and JPEG files get view_position, laterality, patient, spacing_mm and chest_wall
            (left, right, top, bottom) from.
        voi: apply the VOI LUT or window of DICOM files.
        shape: rows and columns of the grid.
    """

    facts: FactSource = field(default_factory=FactSource)
    voi: bool = True
    shape: Shape = DEFAULT_SHAPE

    name = "mammogram"
    formats = ("png", "npy", "dicom", "hanging")
    conditions: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {"view_position": ("CC", "MLO"), "laterality": ("L", "R")}
    )
    free_conditions: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"laterality": ("R", "L")})

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or len(compute_pyramid(self.shape)) < 2:
            raise Refused(
                f"--shape {','.join(map(str, self.shape))}: give rows and columns that halve, as 1280,1024 do."
            )

    @property
    def options(self) -> Mapping[str, Any]:
        """What besides the shape decides how an image is normalised."""
        return {"voi": self.voi}

    def list_candidates(self, raw: Path) -> list[Candidate]:
        """Every file below `raw` but hidden ones and tables, sorted by path.

        Raises:
            Refused: the folder is missing or has no file.
        """
        table = self.facts.read_facts(raw)
        return [
            Candidate((path,), below, {**self.facts.constants, **table.get(below, {})})
            for path, below in list_files(raw)
        ]

    # ------------------------------------------------------------------------------------------------------------------
    # In.

    def read(self, candidate: Candidate) -> tuple[Image, str]:
        """The image as displayed, [0, 1], chest wall left, and who it is of.

        Raises:
            Unusable: the file cannot serve; the message says why.
        """
        try:
            if is_dicom(candidate.path) or candidate.path.suffix.lower() == ".dcm":
                return mg.read_mammogram(candidate.path, self.voi)
        except OSError as error:
            raise UnusableImage("not readable", error.strerror or "") from error
        if candidate.path.suffix.lower() not in PICTURE_SUFFIXES:
            raise UnusableImage("not an image file", "neither DICOM nor PNG, TIFF or JPEG")
        return self._read_picture(candidate)

    def _read_picture(self, candidate: Candidate) -> tuple[Image, str]:
        view = candidate.facts.get("view_position", "").upper()
        laterality = candidate.facts.get("laterality", "").upper()
        if view not in mg.ACCEPTED_VIEWS:
            raise UnusableImage("view is not CC or MLO", view or "the table of facts gives no view_position")
        if laterality not in ("L", "R"):
            raise UnusableImage("no laterality", "the table of facts gives no laterality L or R")
        pixels = read_grey_picture(candidate.path)
        wall = candidate.facts.get("chest_wall", "").lower() or mg.find_chest_wall(pixels)
        wall = {"l": "left", "r": "right"}.get(wall, wall)
        if wall not in QUARTER_TURNS:
            raise UnusableImage(
                "no orientation", "the image does not show the chest wall; give chest_wall in the table"
            )
        turns = QUARTER_TURNS[wall]
        pixels = pixels[:, ::-1] if turns is None else np.rot90(pixels, turns)
        spacing = _parse_positive(candidate.facts.get("spacing_mm", ""))
        facts = {"view_position": view, "laterality": laterality}
        image = Image(np.ascontiguousarray(pixels), None if spacing is None else (spacing, spacing), facts)
        return image, candidate.facts.get("patient") or candidate.name

    def normalise(self, image: Image) -> Image:
        """To the grid and to [-1, 1].

        Shrink by the largest factor that makes one side fit, then pad the other with zero on the anterior (right) or
        lower side only, so that the chest wall stays flush (Korkinof 2018).

        Raises:
            Unusable: the source is so small that it would be enlarged more than twice.
        """
        factor = max(n / target for n, target in zip(image.shape, self.shape, strict=True))
        if factor < 1 / LARGEST_ENLARGEMENT:
            raise UnusableImage(
                "too small", f"{image.shape[0]} x {image.shape[1]} would be enlarged {1 / factor:.1f} times"
            )
        placed = tuple(min(round(n / factor), target) for n, target in zip(image.shape, self.shape, strict=True))
        grid: NDArray[np.float32] = np.full(self.shape, -1, dtype=np.float32)
        inside = grid[: placed[0], : placed[1]]
        np.multiply(resize_picture(image.pixels, placed), 2, out=inside)
        inside -= 1
        return image.copy_with(
            pixels=grid,
            spacing=None if image.spacing is None else tuple(s * factor for s in image.spacing),
            geometry={"shape": image.shape, "placed": placed, "factor": factor},
        )

    # ------------------------------------------------------------------------------------------------------------------
    # Out.

    def denormalise(self, image: Image) -> Image:
        """Back to [0, 1], as hung: chest wall left for a left breast, right for a right one.

        An image that carries its geometry gets its own size and spacing back; a synthetic one keeps the grid.
        """
        pixels, spacing = (image.pixels + 1) / np.float32(2), image.spacing
        if image.geometry:
            height, width = image.geometry["placed"]
            pixels = resize_picture(pixels[:height, :width], image.geometry["shape"])
            spacing = None if spacing is None else tuple(s / image.geometry["factor"] for s in spacing)
        pixels = pixels[:, ::-1] if image.facts["laterality"] == "R" else pixels
        return image.copy_with(pixels=np.ascontiguousarray(np.clip(pixels, 0, 1)), spacing=spacing, geometry={})

    def canonicalise(self, image: Image) -> Image:
        """[0, 1] as hung -> [-1, 1], chest wall left; the inverse of `denormalise` for synthetic images."""
        pixels = image.pixels[:, ::-1] if image.facts["laterality"] == "R" else image.pixels
        return image.copy_with(pixels=np.ascontiguousarray(pixels) * 2 - 1)

    # ------------------------------------------------------------------------------------------------------------------
    # Measures and pictures.

    def segment_foreground(self, image: Image) -> NDArray[np.bool_]:
        return anatomy.segment_breast(image.pixels)

    def segment_structures(self, image: Image) -> list[NDArray[np.bool_]]:
        """The breast."""
        return [self.segment_foreground(image)]

    def measure_image(self, image: Image) -> dict[str, float]:
        """Area, density, outline and the like of the breast."""
        chest_wall = -1 if image.facts.get("laterality") == "R" else 0
        return anatomy.measure_breast(image.pixels, image.spacing, chest_wall)

    def render_image(self, image: Image) -> GreyPicture:
        return image.pixels

    def report_figures(self, images: Sequence[Image]) -> list[ReportFigure]:
        """The standard hanging, if all four views are there."""
        views = _find_four_views(images)
        words = (
            "RCC | LCC over RMLO | LMLO, chest walls back to back. The four views were drawn apart: they are not one"
        )
        return (
            []
            if views is None
            else [ReportFigure("hanging", "The standard hanging", f"{words} woman's.", hang_views(views))]
        )


def _find_four_views(images: Sequence[Image]) -> dict[tuple[str, str], GreyPicture] | None:
    """The first image of each of the four views; None if one is missing."""
    found: dict[tuple[str, str], GreyPicture] = {}
    for image in images:
        found.setdefault((image.facts.get("laterality", ""), image.facts.get("view_position", "")), image.pixels)
    return {key: found[key] for key in VIEWS} if all(key in found for key in VIEWS) else None


def resize_picture(pixels: NDArray[np.float32], shape: Shape) -> NDArray[np.float32]:
    """Anti-aliased resampling (Hamming window down, cubic up), clipped to the range of the source."""
    if pixels.shape == tuple(shape):
        return pixels
    down = pixels.shape[0] >= shape[0]
    method = Pillow.Resampling.HAMMING if down else Pillow.Resampling.BICUBIC
    picture = Pillow.fromarray(np.ascontiguousarray(pixels, dtype=np.float32))
    return np.clip(np.asarray(picture.resize((shape[1], shape[0]), method)), pixels.min(), pixels.max())


def _parse_positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value > 0 else None
