"""The thorax phantom: a CT volume in Hounsfield units, with known true values and no patient's anatomy.

Body, lungs and heart are super-ellipsoids, the diaphragm is a pair of domes, the ribs are a tilted periodic shell, and
the vessels are the common zeros of two random fields and become thicker towards the hilum. Emphysema takes the voxels
with the lowest values of a random field. Values of tissue are those of the literature (parenchyma -870 HU with a
gradient of 22 HU in the direction of gravity).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ganatomy.phantoms.fields import Field, draw_band_field, draw_power_law_field
from ganatomy.pyramid import Shape

FIELD_MM = (300.0, 280.0, 380.0)  # extent of the grid: upwards, backwards, to the left
AIR, FAT, MUSCLE, BLOOD, PARENCHYMA, EMPHYSEMA = -1000.0, -100.0, 55.0, 45.0, -870.0, -975.0
STRUCTURES = ("right lung", "left lung", "airways", "bone")  # of the label map
LOW_ATTENUATION_HU = -950.0
EMPHYSEMA_SHARES = {"none": (0.0, 0.01), "mild": (0.03, 0.12), "severe": (0.18, 0.40)}  # share of the lungs


@dataclass(frozen=True)
class PhantomVolume:
    """A volume with S, P, L axes, its spacing in millimetres, and its true values.

    Args:
        voxels: its values.
        spacing: millimetres between voxel centres along each axis.
        truth: its measures by name.
        labels: the number of the structure of each voxel; 0 = none of them.
        classes: names of the structures, in the order of their numbers, which begin with 1.
    """

    voxels: NDArray[np.float32]
    spacing: tuple[float, ...]
    truth: dict[str, Any]
    labels: NDArray[np.uint8]
    classes: tuple[str, ...]


def make_thorax(key: tuple[int, ...], shape: Shape) -> PhantomVolume:
    """Make a thorax in HU; the same key gives the same thorax."""
    rng = np.random.default_rng([*key, 30])
    spacing = tuple(f / n for f, n in zip(FIELD_MM, shape, strict=True))
    z, y, x = (
        ((np.arange(n) + 0.5) * s - n * s / 2).astype(np.float32).reshape([-1 if a == i else 1 for a in range(3)])
        for i, (n, s) in enumerate(zip(shape, spacing, strict=True))
    )
    size = rng.normal(1, 0.05)
    half_width, half_depth = 160 * size * rng.normal(1, 0.04), 108 * size * rng.normal(1, 0.04)
    fat_mm = rng.uniform(10, 30)
    outside = _ellipse(y / half_depth, x / half_width, 2.6) + 0 * z
    chest_y, chest_x = half_depth - fat_mm - 8, half_width - fat_mm - 8
    chest = _ellipse(y / chest_y, x / chest_x, 2.4) + 0 * z
    body = outside < 1
    hu = np.where(body, FAT, AIR).astype(np.float32)
    hu[_ellipse(y / (half_depth - fat_mm), x / (half_width - fat_mm), 2.6) + 0 * z < 1] = MUSCLE
    right, left = _lungs(rng, z, y, x, chest, chest_y, chest_x)
    lungs = right | left
    hu, emphysema, severity = _parenchyma(rng, hu, lungs, y, chest_y, shape)
    vessels = _vessels(rng, z, y, x, shape) * lungs
    hu += vessels * (BLOOD - hu)
    airways = _airways(hu, rng, z, y, x)
    hu[airways] = AIR
    bones = _bones(rng, z, y, x, chest, chest_y) & ~lungs & body
    hu[bones] = rng.uniform(330, 520) + 90 * draw_power_law_field(rng, shape, 2.0)[bones]
    clean = ndimage.gaussian_filter(hu, 0.45)
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), kernel := rng.choice([0.0, 0.7]))
    sigma = rng.uniform(10, 25)
    noisy = clean + noise / max(float(noise.std()), 1e-6) * sigma
    ml = float(np.prod(spacing)) / 1000
    low = clean[lungs] < LOW_ATTENUATION_HU
    truth = {
        "lung_ml": round(float(lungs.sum()) * ml, 1),
        "right_lung_ml": round(float(right.sum()) * ml, 1),
        "left_lung_ml": round(float(left.sum()) * ml, 1),
        "bone_ml": round(float(bones.sum()) * ml, 1),
        "body_ml": round(float(body.sum()) * ml, 1),
        "laa950_percent": round(100 * float(low.mean()), 3),
        "emphysema_percent": round(100 * float(emphysema.sum() / lungs.sum()), 3),
        "emphysema": severity,
        "mean_lung_hu": round(float(clean[lungs].mean()), 1),
        "noise_hu": round(float(sigma), 1),
        "kernel": "sharp" if kernel == 0 else "soft",
    }
    labels = np.zeros(shape, dtype=np.uint8)
    for number, structure in enumerate((right, left, airways, bones), 1):
        labels[structure] = number
    return PhantomVolume(np.clip(noisy, -1024, 3071).astype(np.float32), spacing, truth, labels, STRUCTURES)


def _ellipse(a: Field, b: Field, exponent: float) -> Field:
    return np.abs(a) ** exponent + np.abs(b) ** exponent


def _lungs(
    rng: np.random.Generator, z: Field, y: Field, x: Field, chest: Field, chest_y: float, chest_x: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks of right and left lung: inside the chest wall, above the domes, without mediastinum and heart."""
    top, rise = rng.uniform(105, 125), rng.uniform(35, 60)
    taper = np.clip((top - z) / 70, 0, 1) ** 0.5  # the apex is narrow
    inside = chest < 0.92 * taper
    middle = 24 + 22 * np.exp(-((y + 0.15 * chest_y) ** 2) / 45**2) * np.exp(-((z + 25) ** 2) / 70**2)
    found = []
    for sign, extra in ((-1, 10.0), (1, 0.0)):  # x points to the left; the right dome is a centimetre higher
        centre = sign * 0.5 * chest_x
        dome = (
            -105
            + extra
            + rise * np.clip(1 - ((x - centre) / (0.62 * chest_x)) ** 2 - (y / (1.15 * chest_y)) ** 2, -1, 1)
        )
        found.append(inside & (sign * x > middle) & (z > dome))
    heart_at = (-35.0, -0.25 * chest_y, 28.0)
    heart = (
        ((z - heart_at[0]) / 52) ** 2 + ((y - heart_at[1]) / 45) ** 2 + ((x - heart_at[2]) / rng.uniform(50, 60)) ** 2
    )
    return found[0] & (heart > 1), found[1] & (heart > 1)


def _parenchyma(
    rng: np.random.Generator, hu: Field, lungs: NDArray[np.bool_], y: Field, chest_y: float, shape: Shape
) -> tuple[Field, NDArray[np.bool_], str]:
    texture = draw_power_law_field(rng, shape, 2.6)
    values = PARENCHYMA + 22 * y / chest_y + 14 * texture + rng.normal(0, 10)
    hu = np.where(lungs, values, hu).astype(np.float32)
    severity = str(rng.choice(list(EMPHYSEMA_SHARES)))
    share = rng.uniform(*EMPHYSEMA_SHARES[severity])
    spots = draw_power_law_field(rng, shape, 3.0, low=4.0)
    emphysema = lungs & (spots < np.quantile(spots[lungs], share))
    hu[emphysema] = EMPHYSEMA + 6 * texture[emphysema]
    return hu, emphysema, severity


def _vessels(rng: np.random.Generator, z: Field, y: Field, x: Field, shape: Shape) -> Field:
    """Vessels in [0, 1]: thin lines along the common zeros of two random fields, thicker towards the hilum."""
    first, second = (draw_band_field(rng, shape, 7.0, 0.5) for _ in range(2))
    away = np.sqrt((np.abs(x) - 38) ** 2 + y**2 + z**2)
    width = 0.34 * np.exp(-away / 75) + 0.12
    return np.exp(-(first**2 + second**2) / width**2).astype(np.float32)


def _airways(hu: Field, rng: np.random.Generator, z: Field, y: Field, x: Field) -> NDArray[np.bool_]:
    """Mask of the trachea and the two main bronchi, outside the parenchyma."""
    split = rng.uniform(25, 40)
    trachea = (x**2 + (y - 12) ** 2 < 8.5**2) & (z > split)
    along = split - z
    bronchi = ((np.abs(x) - along * 0.9) ** 2 + (y - 12) ** 2 < 6.5**2) & (along > 0) & (along < 45)
    return (trachea | bronchi) & (hu > -500)


def _bones(rng: np.random.Generator, z: Field, y: Field, x: Field, chest: Field, chest_y: float) -> NDArray[np.bool_]:
    """Mask of ribs, spine with the arch around its canal, and sternum."""
    period, tilt = rng.uniform(24, 28), rng.uniform(0.35, 0.5)
    phase = np.abs(((z - tilt * y) / period) % 1 - 0.5) * period
    ribs = (chest > 0.98) & (chest < 1.18) & (phase < 5.5) & (np.abs(x) > 18)
    at = chest_y * 0.78
    spine = ((x / 19) ** 2 + ((y - at) / 17) ** 2 < 1) & (np.abs(z % 29 - 14.5) < 12.5)
    arch = ((x / 30) ** 2 + ((y - at - 28) / 9) ** 2 < 1) & ((x / 9) ** 2 + ((y - at - 24) / 8) ** 2 > 1)
    sternum = (np.abs(x) < 17) & (np.abs(y + chest_y * 1.0) < 5) & (z > -40) & (z < 75)
    return ribs | spine | arch | sternum
