"""The base class of projection modalities: grey images in [0, 1], read from DICOM or picture files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from ganatomy.dicom import projection
from ganatomy.dicom.instances import DicomKind
from ganatomy.dicom.picture_instances import PictureKind
from ganatomy.dicom.read import is_dicom
from ganatomy.errors import Refused
from ganatomy.imaging.image import Doubt, Image, UnusableImage
from ganatomy.imaging.person import FILE, Person, choose_person
from ganatomy.imaging.pictures import GreyPicture
from ganatomy.modalities.modality import Candidate, Modality
from ganatomy.modalities.pictures import PICTURE_SUFFIXES, find_picture_doubts, read_grey_picture, read_mask_picture
from ganatomy.modalities.resampling import resample_volume
from ganatomy.pyramid import Shape, compute_pyramid

LARGEST_STRETCH = 0.02  # by which the sides of a mask may differ from those of its image
LARGEST_ENLARGEMENT = 2.0  # smaller sources are thumbnails; enlarging them further only adds blur


@dataclass(frozen=True)
class ProjectionModality(Modality):
    """Grey images of two axes, bright where the body is dense, as displayed.

    A modality adds at least its name, its grid, and the codes that its DICOM files have.

    Args:
        facts: where picture files get their facts, ``patient`` and ``spacing_mm`` from.
        shape: rows and columns of the grid.
    """

    shape: Shape = (512, 512)

    dicom_modalities: ClassVar[tuple[str, ...]] = ("DX", "CR")  # values of Modality (0008,0060) that are read

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or len(compute_pyramid(self.shape)) < 2:
            raise Refused(
                f"--shape {','.join(map(str, self.shape))}: give rows and columns that can be halved"
                " repeatedly, such as 1280,1024."
            )

    @property
    def known_facts(self) -> tuple[str, ...]:
        return (*super().known_facts, "spacing_mm")

    @property
    def formats(self) -> tuple[str, ...]:
        return ("png", "npy", "dicom", *self.own_formats)

    @property
    def dicom(self) -> DicomKind:
        """Secondary Capture, which holds any picture."""
        return PictureKind(self.name.replace("_", " "))

    def read(self, candidate: Candidate) -> tuple[Image, Person]:
        """Read the image as displayed in [0, 1], and its person.

        Raises:
            UnusableImage: the file cannot be used; the message says why.
        """
        labels = self.get_labels(candidate)
        try:
            if is_dicom(candidate.path):
                image, who = projection.read_projection(candidate.path, self.dicom_modalities)
                image = image.copy_with(facts=labels, spacing=get_told_spacing(candidate.facts) or image.spacing)
                return image, choose_person(candidate.facts.get("patient", ""), who)
        except OSError as error:
            raise UnusableImage("not readable", error.strerror or "") from error
        if candidate.path.suffix.lower() not in PICTURE_SUFFIXES:
            raise UnusableImage("not an image file", "neither DICOM nor PNG, TIFF or JPEG")
        pixels, doubts = read_grey_picture(candidate.path), find_picture_doubts(candidate.path)
        image = Image(pixels, get_told_spacing(candidate.facts), labels, doubts=doubts)
        return image, choose_person(candidate.facts.get("patient", ""), Person(candidate.name, FILE))

    def normalise(self, image: Image) -> Image:
        """Scale an image until one side fits the grid, pad it with black at the right or lower side, map to [-1, 1].

        Raises:
            UnusableImage: the source is so small that it would be enlarged more than twice.
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

    def read_mask(self, path: Path, image: Image, candidate: Candidate) -> tuple[NDArray[np.int32], tuple[Doubt, ...]]:
        """Read a PNG or TIFF picture of class numbers on the pixels of an image; by the nearest where sizes differ.

        Raises:
            UnusableImage: the file is no such picture, or shows another extent than the image.
        """
        values = self.turn_mask(read_mask_picture(path), image)
        if values.shape == image.shape:
            return values[None], ()
        height, width = values.shape
        if abs(height * image.shape[1] / (width * image.shape[0]) - 1) > LARGEST_STRETCH:
            raise UnusableImage(
                "mask of another shape",
                f"{path.name} has {height} x {width} pixels and the image {image.shape[0]} x {image.shape[1]}",
            )
        places = [((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(image.shape, values.shape, strict=True)]
        words = f"{path.name} has {height} x {width} pixels; the nearest pixel was taken"
        return values[np.ix_(*places)][None], (Doubt("mask of another grid", words),)

    def turn_mask(self, values: NDArray[np.int32], image: Image) -> NDArray[np.int32]:
        """Turn a mask as `read` has turned the image; here neither is turned."""
        return values

    def fit_to_grid(self, voxels: NDArray[np.float32], geometry: Mapping[str, Any]) -> NDArray[np.float32]:
        """Scale a map to the pixels that the image has on the grid, with zero beside it."""
        grid = np.zeros(self.shape, dtype=np.float32)
        height, width = geometry["placed"]
        grid[:height, :width] = resample_volume(voxels, (height, width))
        return grid

    def denormalise(self, image: Image) -> Image:
        """Map [-1, 1] to [0, 1]; an image that carries its geometry gets its own size and spacing back."""
        pixels, spacing = (image.pixels + 1) / np.float32(2), image.spacing
        if image.geometry:
            height, width = image.geometry["placed"]
            pixels = resize_picture(pixels[:height, :width], image.geometry["shape"])
            spacing = None if spacing is None else tuple(s / image.geometry["factor"] for s in spacing)
        return image.copy_with(pixels=np.ascontiguousarray(np.clip(pixels, 0, 1)), spacing=spacing, geometry={})

    def canonicalise(self, image: Image) -> Image:
        """Map [0, 1] to [-1, 1]; the inverse of `denormalise` for synthetic images."""
        return image.copy_with(pixels=np.ascontiguousarray(image.pixels) * 2 - 1)

    def segment_foreground(self, image: Image) -> NDArray[np.bool_]:
        """Return a mask of the whole image; a modality whose images show background overrides this."""
        return np.ones(image.shape, dtype=bool)

    def measure_image(self, image: Image) -> dict[str, float]:
        """Measure brightness and contrast of the foreground; a modality that measures anatomy overrides this."""
        inside = image.pixels[self.segment_foreground(image)]
        if not inside.size:
            return {"brightness (% of white)": float("nan"), "contrast (% of white)": float("nan")}
        return {
            "brightness (% of white)": 100 * float(inside.mean()),
            "contrast (% of white)": 100 * float(inside.std()),
        }

    def render_image(self, image: Image) -> GreyPicture:
        return image.pixels


def resize_picture(pixels: NDArray[np.float32], shape: Shape) -> NDArray[np.float32]:
    """Resample a picture to `shape` with anti-aliasing (Hamming window down, cubic up), clipped to its own range."""
    if pixels.shape == tuple(shape):
        return pixels
    down = pixels.shape[0] >= shape[0]
    method = Pillow.Resampling.HAMMING if down else Pillow.Resampling.BICUBIC
    picture = Pillow.fromarray(np.ascontiguousarray(pixels, dtype=np.float32))
    return np.clip(np.asarray(picture.resize((shape[1], shape[0]), method)), pixels.min(), pixels.max())


def get_told_spacing(facts: Mapping[str, str]) -> tuple[float, float] | None:
    """Return the millimetres between rows and columns that a table gives as ``spacing_mm``; None if it gives none."""
    spacing = parse_positive(facts.get("spacing_mm", ""))
    return None if spacing is None else (spacing, spacing)


def parse_positive(text: str) -> float | None:
    """Parse a number above zero; None if the text is not one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value > 0 else None
