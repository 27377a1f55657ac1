"""Anatomical measures of an image, such as areas, volumes and densities, from thresholds and connected components.

The definitions are the same for real and synthetic images, so that their distributions can be compared. They are not
clinical segmentations; docs/evaluation.md compares them with phantoms of known truth.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_multiotsu, threshold_otsu
from skimage.measure import perimeter_crofton

from ganatomy.modalities import breast_mask
from ganatomy.modalities.tissue import BONE_HU, Mask, segment_body, segment_bone, segment_lungs

Measures = dict[str, float]  # name with its unit -> value; nan where an image does not show it

RIM_SHARE = 0.04  # of the height: skin and the thin edge, left out of the density
SPECK_SHARE = 0.01  # of the largest piece; smaller ones are specks
EMPHYSEMA_HU = -950.0


def find_largest_piece(mask: Mask) -> tuple[Mask, int]:
    """Find the largest connected piece of a mask, and count the pieces larger than `SPECK_SHARE` of it."""
    labels, count = ndimage.label(mask)
    if not count:
        return np.zeros(mask.shape, dtype=bool), 0
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax(), int((sizes > SPECK_SHARE * sizes.max()).sum())


# ----------------------------------------------------------------------------------------------------------------------
# Mammograms.


def segment_breast(pixels: NDArray[np.float32]) -> Mask:
    """Segment the breast of a mammogram in [0, 1] as the largest piece brighter than the background, holes filled.

    The mask is empty where the image shows no background (`breast_mask.find_background`).
    """
    return _find_breast(pixels)[0]


def _find_breast(pixels: NDArray[np.float32]) -> tuple[Mask, int]:
    """Return the mask of the breast, and the number of pieces brighter than the background that are not specks."""
    if (level := breast_mask.find_background(pixels)) is None:
        return np.zeros(pixels.shape, dtype=bool), 0
    largest, count = find_largest_piece(breast_mask.segment_above(pixels, level))
    return np.asarray(ndimage.binary_fill_holes(largest)), count


def measure_breast(pixels: NDArray[np.float32], spacing: tuple[float, ...] | None, chest_wall: int) -> Measures:
    """Measure the breast of one mammographic view in [0, 1]: area, density, outline, place, background and pieces.

    All measures but the number of pieces are nan where the breast cannot be told from the background.

    Args:
        pixels: the view (rows, columns).
        spacing: millimetres between rows and between columns; None = unknown, the area is then in % of the image.
        chest_wall: index of the column at the chest wall, 0 or -1.
    """
    mask, count = _find_breast(pixels)
    area = float(mask.sum())
    if area == 0:
        pieces = 0.0 if pixels.max() <= breast_mask.BLACK else float("nan")
        return {name: float("nan") for name in _breast_measure_names(spacing)} | {"pieces": pieces}
    if spacing is None:
        size = {"breast area (% of image)": 100 * area / mask.size}
    else:
        size = {"breast area (cm2)": area * float(np.prod(spacing)) / 100}
    touching = float(mask[:, chest_wall].sum()) / max(1, int(mask.any(1).sum()))
    return size | {
        "density (% of area)": _measure_density(pixels, mask),
        "outline (perimeter over that of a disc)": float(perimeter_crofton(mask)) / (2 * np.sqrt(np.pi * area)),
        "rows at the chest wall (%)": 100 * touching,
        "background level (% of white)": 100 * float(pixels[~mask].mean()) if not mask.all() else 0.0,
        "pieces": float(count),
    }


def _breast_measure_names(spacing: tuple[float, ...] | None) -> tuple[str, ...]:
    size = "breast area (% of image)" if spacing is None else "breast area (cm2)"
    return (
        size,
        "density (% of area)",
        "outline (perimeter over that of a disc)",
        "rows at the chest wall (%)",
        "background level (% of white)",
    )


def _measure_density(pixels: NDArray[np.float32], mask: Mask) -> float:
    """Return the % of the mask without its rim that is above Otsu's threshold; a pectoral muscle counts as dense."""
    inner = ndimage.binary_erosion(
        np.pad(mask, 1, mode="edge"), iterations=max(1, round(RIM_SHARE * mask.shape[0])), border_value=1
    )[1:-1, 1:-1]
    values = pixels[inner]
    if values.size < 16 or np.ptp(values) < 1e-6:
        return float("nan")
    return 100 * float((values > threshold_otsu(values)).mean())


# ----------------------------------------------------------------------------------------------------------------------
# Thorax CT.


def measure_thorax(hu: NDArray[np.float32], spacing: tuple[float, ...] | None) -> Measures:
    """Measure a thorax CT in HU: volumes of lung, bone and body, densities, emphysema (LAA-950) and pieces.

    Volumes are in millilitres, or in % of the image where `spacing`, in millimetres per voxel, is unknown.
    """
    masks = {"lung": segment_lungs(hu), "bone": segment_bone(hu), "body": segment_body(hu)}
    found = {_volume_name(name, spacing): _measure_volume(mask, spacing) for name, mask in masks.items()}
    air = hu[masks["lung"]]
    _, lung_pieces = find_largest_piece(masks["lung"])
    _, bodies = find_largest_piece(hu > -500)
    return found | {
        "mean lung density (HU)": float(air.mean()) if air.size else float("nan"),
        "LAA-950 (% of lung)": 100 * float((air < EMPHYSEMA_HU).mean()) if air.size else float("nan"),
        "bone density (HU)": float(hu[hu > BONE_HU].mean()) if masks["bone"].any() else float("nan"),
        "lung pieces": float(lung_pieces),
        "body pieces": float(bodies),
    }


# ----------------------------------------------------------------------------------------------------------------------
# Brain MRI.


def segment_head(values: NDArray[np.float32], threshold: float) -> Mask:
    """Segment a head as the largest piece brighter than `threshold`, with its holes filled plane by plane."""
    largest = find_largest_piece(values > threshold)[0]
    return np.stack([ndimage.binary_fill_holes(plane) for plane in largest])


def measure_head(values: NDArray[np.float32], spacing: tuple[float, ...] | None, threshold: float) -> Measures:
    """Measure a brain MRI in [0, 1]: foreground volume, shares of three tissues, correlation of the halves, pieces.

    Two thresholds by Otsu's method separate the tissues. The volume is in millilitres, or in % of the image where
    `spacing`, in millimetres per voxel, is unknown. The foreground is what is brighter than `threshold`.
    """
    mask = segment_head(values, threshold)
    inside = values[mask]
    if inside.size < 64 or np.ptp(inside) < 1e-6:
        return {
            name: float("nan")
            for name in (_volume_name("foreground", spacing), *_TISSUE_NAMES, "left-right correlation")
        } | {"pieces": float(find_largest_piece(values > threshold)[1])}
    first, second = threshold_multiotsu(inside, 3)
    shares = ((inside < first).mean(), ((inside >= first) & (inside < second)).mean(), (inside >= second).mean())
    return {
        _volume_name("foreground", spacing): _measure_volume(mask, spacing),
        **{name: 100 * float(share) for name, share in zip(_TISSUE_NAMES, shares, strict=True)},
        "left-right correlation": _correlate_halves(values, mask),
        "pieces": float(find_largest_piece(values > threshold)[1]),
    }


_TISSUE_NAMES = (
    "darkest tissue (% of foreground)",
    "middle tissue (% of foreground)",
    "brightest tissue (% of foreground)",
)


def _correlate_halves(values: NDArray[np.float32], mask: Mask) -> float:
    """Correlate the volume with its mirror image about the middle of the mask along axis 2, which goes to the left."""
    columns = np.flatnonzero(mask.any((0, 1)))
    inside = values[:, :, columns[0] : columns[-1] + 1].astype(np.float64)
    mirrored = inside[:, :, ::-1]
    if inside.std() < 1e-9:
        return float("nan")
    return float(np.corrcoef(inside.ravel(), mirrored.ravel())[0, 1])


def _volume_name(name: str, spacing: tuple[float, ...] | None) -> str:
    return f"{name} volume ({'ml' if spacing is not None else '% of image'})"


def _measure_volume(mask: Mask, spacing: tuple[float, ...] | None) -> float:
    return 100 * float(mask.mean()) if spacing is None else float(mask.sum()) * float(np.prod(spacing)) / 1000


def keep_finite(measures: Mapping[str, float]) -> Measures:
    """Return the measures that are finite, which are those that the image shows."""
    return {name: value for name, value in measures.items() if np.isfinite(value)}
