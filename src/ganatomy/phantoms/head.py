"""The brain phantom: a T1-weighted brain without skull, with known true values and no patient's anatomy.

Cerebrum, cerebellum and brainstem are smooth bodies. Sulci are the zeros of a band-passed random field near the
surface, grey matter is a ribbon of fixed thickness below the remaining surface, and sulci and ventricles widen with
age. Thin structures depend on the grid, so the true values are those of the sampled volume.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ganatomy.phantoms.fields import Field, draw_band_field, draw_power_law_field
from ganatomy.phantoms.thorax import PhantomVolume
from ganatomy.pyramid import Shape

FIELD_MM = 192.0
FLUID, GREY, WHITE = 0.22, 0.60, 0.90  # relative to the brightest value
SULCI_MM = 19.0  # distance from one sulcus to the second next
AGE_RANGE = (20.0, 90.0)
AGE_GROUPS = {"young": 45.0, "middle": 65.0, "old": 200.0}  # upper ends in years

Mask = NDArray[np.bool_]
TISSUES = ("fluid", "grey matter", "white matter", "ventricles")  # of the label map


@dataclass(frozen=True)
class _Coordinates:
    """Coordinates in millimetres upwards, backwards and to the left from the centre, and the spacing."""

    z: Field
    y: Field
    x: Field
    spacing: tuple[float, ...]

    def ellipsoid(self, at: tuple[float, float, float], half: tuple[float, float, float], power: float = 2.0) -> Field:
        """Compute a function that is below one inside a super-ellipsoid."""
        parts = zip((self.z, self.y, self.x), at, half, strict=True)
        total: Field = sum(np.abs((axis - c) / h) ** power for axis, c, h in parts)
        return total


def make_brain(key: tuple[int, ...], shape: Shape) -> PhantomVolume:
    """Make a brain with values in [0, 1]; the same key gives the same brain."""
    rng = np.random.default_rng([*key, 31])
    step = FIELD_MM / max(shape)
    axes = [((np.arange(n) + 0.5) * step - n * step / 2).astype(np.float32) for n in shape]
    place = _Coordinates(axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :], (step,) * 3)
    age = float(rng.uniform(*AGE_RANGE))
    old = (age - AGE_RANGE[0]) / (AGE_RANGE[1] - AGE_RANGE[0])
    size = rng.normal(1, 0.035)
    labels = _make_labels(rng, place, shape, old, size)
    values = np.choose(labels, (0.0, FLUID, GREY, WHITE, FLUID)).astype(np.float32)
    blurred = ndimage.gaussian_filter(values, 0.5)
    bias = np.exp(rng.uniform(0.03, 0.09) * draw_power_law_field(rng, shape, 4.0))
    noise = rng.normal(0, 0.015, (2, *shape)).astype(np.float32)
    signal = np.hypot(blurred * bias + noise[0], noise[1]) * (labels > 0)
    ml = float(np.prod(place.spacing)) / 1000
    counts = np.bincount(labels.ravel(), minlength=5) * ml
    truth = {
        "age": round(age, 1),
        "age_group": next(name for name, end in AGE_GROUPS.items() if age < end),
        "intracranial_ml": round(float(counts[1:].sum()), 1),
        "grey_ml": round(float(counts[2]), 1),
        "white_ml": round(float(counts[3]), 1),
        "csf_ml": round(float(counts[1] + counts[4]), 1),
        "ventricle_ml": round(float(counts[4]), 1),
    }
    return PhantomVolume(np.clip(signal, 0, 1).astype(np.float32), place.spacing, truth, labels, TISSUES)


def _make_labels(
    rng: np.random.Generator, place: _Coordinates, shape: Shape, old: float, size: float
) -> NDArray[np.uint8]:
    """Make the labels of tissues: 0 background, 1 fluid, 2 grey matter, 3 white matter, 4 ventricle."""
    upwards, backwards, sideways = (n * size * rng.normal(1, 0.02) for n in (58.0, 84.0, 66.0))
    radius = place.ellipsoid((12.0, 0.0, 0.0), (upwards, backwards, sideways), 2.2) ** (1 / 2.2)
    depth = (1 - radius) * 66  # approximate distance below the surface in millimetres
    floor = -22 - 16 * np.exp(-(((np.abs(place.x) - 44) / 17) ** 2)) * (place.y < 25)  # the temporal lobes reach lower
    cerebrum = (depth > 0) & (place.z > floor)
    sulci = draw_band_field(rng, shape, max(shape) * place.spacing[0] / SULCI_MM, 0.35)
    width = 0.20 + 0.22 * old
    open_ = (np.abs(sulci) < width * np.clip(1.4 - depth / 26, 0, 1)) & (depth < 25)
    callosum = (place.z / 27) ** 2 + (place.y / 42) ** 2
    fissure = (np.abs(place.x) < 1.2 + 1.2 * old) & (callosum > 1)
    tissue = cerebrum & ~open_ & ~fissure & (depth > 1.5 + 1.5 * old)
    ribbon = ndimage.distance_transform_edt(tissue, sampling=place.spacing) <= 3.9 - 0.4 * old
    labels = np.where(cerebrum, 1, 0).astype(np.uint8)
    labels[tissue] = 3
    labels[tissue & ribbon] = 2
    _add_cerebellum(rng, labels, place, size)
    _add_deep_grey_matter(labels, place, cerebrum)
    _add_ventricles(labels, place, cerebrum, old * rng.uniform(0.8, 1.2))
    return labels


def _add_cerebellum(rng: np.random.Generator, labels: NDArray[np.uint8], place: _Coordinates, size: float) -> None:
    """Add the cerebellum with folia, and the brainstem."""
    inside = place.ellipsoid((-38.0 * size, 42.0 * size, 0.0), (24.0 * size, 30.0 * size, 48.0 * size), 2.2)
    cerebellum = (inside < 1) & (labels == 0)
    folia = np.sin((place.z * 0.9 + place.y * 0.25) * 2 * np.pi / 9 + rng.uniform(0, 6) + 0 * place.x)
    core = (inside < 0.3) & (np.abs(place.x) > 3)
    labels[cerebellum] = np.where(core | ((folia > 0.45) & (inside < 0.75)), 3, 2)[cerebellum]
    stem = (
        ((place.x / 14) ** 2 + ((place.y - 12 + 0.12 * place.z) / 13) ** 2 < 1)
        & (place.z < -12)
        & (place.z > -72 * size)
    )
    labels[stem] = 3


def _add_deep_grey_matter(labels: NDArray[np.uint8], place: _Coordinates, cerebrum: Mask) -> None:
    """Add thalamus and basal ganglia, which are grey regions in the white matter."""
    for side in (-1.0, 1.0):
        thalamus = place.ellipsoid((6.0, 8.0, side * 13), (9.0, 15.0, 10.0))
        putamen = place.ellipsoid((6.0, -8.0, side * 27), (11.0, 19.0, 6.0))
        caudate = place.ellipsoid((14.0, -18.0, side * 13), (10.0, 11.0, 5.0))
        labels[(np.minimum(np.minimum(thalamus, putamen), caudate) < 1) & cerebrum] = 2


def _add_ventricles(labels: NDArray[np.uint8], place: _Coordinates, cerebrum: Mask, old: float) -> None:
    """Add two lateral ventricles that bend around the thalami, and a narrow third ventricle."""
    wide = 0.75 + 0.9 * old
    for side in (-1.0, 1.0):
        bend = 16 - 0.006 * (place.y - 5) ** 2
        apart = side * (7 + 0.006 * np.clip(place.y, 0, None) ** 2)
        body = (
            ((place.z - bend) / (6.0 * wide)) ** 2 + ((place.x - apart) / (4.2 * wide)) ** 2 + ((place.y - 4) / 37) ** 2
        )
        labels[(body < 1) & cerebrum] = 4
    third = (np.abs(place.x) < 1.5 * wide) & (np.abs(place.z - 3) < 9) & (np.abs(place.y - 3) < 13)
    labels[third & cerebrum] = 4
