"""Directions of the latent space along which an attribute of the images grows, and samples that are moved along them.

Random codes are drawn, their images are measured, and ridge regression finds the direction in which an attribute
increases (Sun 2022, figure 5). An attribute is a measure of the modality or a principal ``component`` of the random
images. A moved sample records where it began and how far it was moved, so that it can be made again.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict

from ganatomy.checkpoint import Snapshot
from ganatomy.errors import Refused, refuse_name
from ganatomy.imaging.image import Image
from ganatomy.imaging.pictures import shrink_to_row
from ganatomy.machine import progress
from ganatomy.modalities import table as modalities
from ganatomy.modalities.modality import Modality
from ganatomy.sampling import decode_codes, draw_latents, list_facts, make_record, regenerate_image

DIRECTION_RIDGE_ALPHAS = np.logspace(-1, 5, 13)
DIRECTION_FOLDS = 5
MIN_MEASURED_IMAGES = 20  # with a value of the attribute
COMPONENT_PREFIX, COMPONENT_COUNT = "component", 4
COMPONENT_IMAGE_SIZE = 16  # principal components of images reduced to at most 16 voxels per axis
WALK_REACH = 3.0  # end of a walk, in standard deviations of a code's component
SLIDER_IMAGES, SLIDER_SEED = 128, 0  # random images from which all directions are learnt at once
MOVED = "moved"  # key in the record of a moved sample
FIRST_MOVED_NUMBER = 10**9  # numbers of moved samples, so that their files differ from those of a seed

FloatArray = NDArray[np.float64]
ImageMeasures = list[dict[str, float]]


class Direction(NamedTuple):
    """A unit direction of the latent space, and the R2 of its attribute for codes outside the fit."""

    name: str
    vector: FloatArray
    r2: float


class RandomImages(NamedTuple):
    """Measures of random images, and their principal components: mean and directions (components, voxels)."""

    measures: ImageMeasures
    mean: FloatArray
    directions: FloatArray

    def compute_components(self, pixels: FloatArray) -> dict[str, float]:
        """Compute the coordinates of a reduced image along the principal components, by name."""
        along = self.directions @ (pixels - self.mean)
        return {f"{COMPONENT_PREFIX} {i + 1}": float(value) for i, value in enumerate(along)}


def measure_random_images(modality: Modality, images: Iterator[Image], n: int) -> RandomImages:
    """Measure random images, and find their principal components.

    Args:
        modality: their modality.
        images: in [-1, 1].
        n: their number.
    """
    measures, small = [], []
    with progress.bar("measuring random images", n) as bar:
        for image in images:
            measures.append(modality.measure_image(modality.denormalise(image)))
            small.append(shrink_to_row(image.pixels, COMPONENT_IMAGE_SIZE))
            bar.advance()
    found = PCA(COMPONENT_COUNT, svd_solver="full").fit(np.stack(small))
    random = RandomImages(measures, found.mean_, found.components_)
    for one, row in zip(measures, small, strict=True):
        one |= random.compute_components(row)
    return random


def get_values(measures: ImageMeasures, name: str) -> FloatArray:
    """Get one measure of all images."""
    return np.array([one[name] for one in measures])


def find_direction(
    codes: FloatArray, values: FloatArray, name: str, groups: list[str] | None = None
) -> tuple[FloatArray, float]:
    """Find the unit direction in which the attribute grows, and the R2 of predictions for codes outside the fit.

    Args:
        codes: latent codes (images, latent).
        values: of the attribute; nan where an image has none.
        name: of the attribute, for the message.
        groups: a name for each code; codes of one group (a patient) are in the same fold.

    Raises:
        Refused: too few images have a value, or all have the same.
    """
    seen = np.isfinite(values)
    if seen.sum() < MIN_MEASURED_IMAGES or np.ptp(values[seen]) == 0:
        raise Refused(
            f"{int(seen.sum())} of {len(values)} images have a value of {name}, or all have the same value;"
            " no direction can be learnt."
        )
    x, y = codes[seen], values[seen]
    folds = KFold(DIRECTION_FOLDS, shuffle=True, random_state=0) if groups is None else GroupKFold(DIRECTION_FOLDS)
    who = None if groups is None else np.array(groups)[seen]
    predicted = cross_val_predict(RidgeCV(DIRECTION_RIDGE_ALPHAS), x, y, cv=folds, groups=who)
    weights = RidgeCV(DIRECTION_RIDGE_ALPHAS).fit(x, y).coef_
    r2 = 1 - float(((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    return weights / max(float(np.linalg.norm(weights)), 1e-12), r2


def move_code(z: torch.Tensor, direction: FloatArray, position: float) -> torch.Tensor:
    """Move a code so that its component along the direction is `position`."""
    along = torch.from_numpy(direction).to(z.dtype)
    return z + (position - z @ along) * along


# ----------------------------------------------------------------------------------------------------------------------
# All directions at once, for sliders, and samples that are moved along them.


def learn_directions(snapshot: Snapshot, device: str | None = None) -> dict[str, Direction]:
    """Learn the direction of every measure of the modality and of the principal components, by name.

    They are a function of the snapshot. A measure that hardly any image has, or that never changes, has none.
    """
    kind = modalities.get_modality(snapshot.modality)()
    codes = draw_latents(snapshot, SLIDER_SEED, range(SLIDER_IMAGES), None)
    images = decode_codes(snapshot, codes, [{}] * SLIDER_IMAGES, device)
    random = measure_random_images(kind, images, SLIDER_IMAGES)
    found = {}
    for name in random.measures[0]:
        try:
            vector, r2 = find_direction(codes.numpy().astype(np.float64), get_values(random.measures, name), name)
        except Refused:
            continue
        found[name] = Direction(name, vector, r2)
    return found


class MovedSamples:
    """Makes samples that are moved along the directions of a snapshot, which are learnt when they are first needed."""

    def __init__(self, snapshot: Snapshot, device: str | None = None) -> None:
        self.snapshot, self._device = snapshot, device
        self._directions: dict[str, Direction] = {}

    @property
    def directions(self) -> dict[str, Direction]:
        """The directions by name."""
        if not self._directions:
            self._directions = learn_directions(self.snapshot, self._device)
        return self._directions

    def know(self, directions: Mapping[str, Direction]) -> None:
        """Take directions that are known already, instead of learning them."""
        self._directions = dict(directions)

    def find_code(self, seed: int, number: int, truncation: float | None, moves: Mapping[str, float]) -> torch.Tensor:
        """Find the code (latent,) of a sample whose components along some directions are set one after another.

        Raises:
            Refused: there is no such direction.
        """
        z = draw_latents(self.snapshot, seed, range(number, number + 1), truncation)[0]
        for name, value in moves.items():
            if name not in self.directions:
                raise refuse_name(f"There is no direction {name!r}", name, self.directions)
            z = move_code(z, self.directions[name].vector, value)
        return z

    def make_sample(
        self,
        seed: int,
        number: int,
        moves: Mapping[str, float],
        facts: Mapping[str, str] | None = None,
        truncation: float | None = None,
        index: int = FIRST_MOVED_NUMBER,
    ) -> tuple[Image, dict[str, Any]]:
        """Make a moved sample with the record by which `regenerate` makes it again.

        Args:
            seed, number, truncation: of the sample that is moved; its numbers are truncated before.
            moves: position along each direction, in standard deviations of a code's component, in this order.
            facts: wanted facts.
            index: the number that names the file of the moved sample.

        Raises:
            Refused: there is no such direction or fact.
        """
        code = self.find_code(seed, number, truncation, moves)
        chosen = list_facts(self.snapshot).choose_facts(facts or {}, number, seed)
        image = next(decode_codes(self.snapshot, code[None], [chosen], self._device))
        record = make_record(self.snapshot, seed, index, truncation, image.facts, self._device)
        return image, record | {MOVED: {"number": number, "moves": dict(moves)}}

    def regenerate(self, record: Mapping[str, Any]) -> Image:
        """Make the image of a record again, whether it was moved or not.

        Raises:
            Refused: the record is of another snapshot.
        """
        if MOVED not in record:
            return regenerate_image(self.snapshot, record, self._device)
        if record.get("snapshot_sha256") != self.snapshot.digest:
            raise Refused("The image was generated by another snapshot.")
        names = list_facts(self.snapshot).names
        facts = {name: value for name, value in record.items() if name in names}
        where = record[MOVED]
        given = (record["seed"], where["number"], where["moves"], facts, record["truncation"])
        return self.make_sample(*given)[0]
