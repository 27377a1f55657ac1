"""Checks of whether an image is what it claims to be; certain faults exclude the image, others become doubts."""

import numpy as np
from numpy.typing import NDArray

from ganatomy.imaging.image import Doubt, UnusableImage

# Polarity.
BORDER_SHARE = 0.01  # of rows and columns: the frame in which a background is looked for
FLAT = 0.03  # of the range; a background differs less from its middle
MIN_FRAME_SHARE = 0.4  # of the frame that a background fills
MIN_BACKGROUND_SHARE = 0.15  # of the image
MAX_BRIGHTER_SHARE = 0.02  # of the image that may be brighter than a white background
MIN_WHITE = 0.6  # of the range

# Label maps.
MAX_LABEL_VALUES = 256  # different values
MAX_SMALL_LABEL = 15  # whole numbers from 0 to this are labels: no image has so few grey values
MIN_FLAT_VALUES = 16  # different values of a map that is flat almost everywhere, in one that is surely no phantom
MIN_EQUAL_SHARE = 0.5  # of neighbours outside the background that are equal: 0.75 in maps of 145 structures, 0.07 in MR

# Hounsfield units.
AIR_HU, MIN_AIR_SHARE = (-1150.0, -500.0), 0.001  # air and lung, and how much of a volume they are at least
SOFT_HU, MIN_SOFT_SHARE = (-200.0, 200.0), 0.01  # fat and soft tissue


def check_polarity(pixels: NDArray[np.float32]) -> None:
    """Check that the background of a radiograph in [0, 1], if it has one, is dark.

    Raises:
        UnusableImage: the background is white, so the picture is a negative.
    """
    rows, columns = (max(1, round(BORDER_SHARE * n)) for n in pixels.shape)
    frame = np.concatenate(
        [pixels[:rows].ravel(), pixels[-rows:].ravel(), pixels[:, :columns].ravel(), pixels[:, -columns:].ravel()]
    )
    level = float(np.median(frame[frame >= MIN_WHITE])) if (frame >= MIN_WHITE).any() else 0.0
    if level < MIN_WHITE or (np.abs(frame - level) < FLAT).mean() < MIN_FRAME_SHARE:
        return
    filled = float((np.abs(pixels - level) < FLAT).mean())
    if filled >= MIN_BACKGROUND_SHARE and (pixels > level + FLAT).mean() <= MAX_BRIGHTER_SHARE:
        raise UnusableImage(
            "negative image",
            f"the background, {100 * filled:.0f} % of the image, is white and the body is dark: Photometric"
            " Interpretation, Presentation LUT Shape or the picture is wrong; invert it",
        )


def check_label_map(voxels: NDArray[np.float32]) -> tuple[Doubt, ...]:
    """Check whether voxels hold the numbers of labelled structures instead of intensities; return the doubts.

    Raises:
        UnusableImage: the voxels certainly hold labels.
    """
    if len(np.unique(voxels[::3, ::3, ::3])) > MAX_LABEL_VALUES:
        return ()
    values, counts = np.unique(voxels, return_counts=True)
    if len(values) > MAX_LABEL_VALUES or len(values) < 2:
        return ()
    whole = bool((values == np.rint(values)).all())
    if whole and values[0] >= 0 and values[-1] <= MAX_SMALL_LABEL:
        raise UnusableImage("label map", f"{len(values)} different values, whole numbers up to {values[-1]:.0f}")
    equal = _measure_equal_share(voxels, float(values[counts.argmax()]))
    if equal < MIN_EQUAL_SHARE:
        return ()
    words = f"{len(values)} different values, and {100 * equal:.0f} % of neighbours are equal"
    if whole and len(values) >= MIN_FLAT_VALUES:
        raise UnusableImage("label map", words)
    return (Doubt("label map?", words),)


def _measure_equal_share(voxels: NDArray[np.float32], background: float) -> float:
    """Measure the share of neighbours along the first axis that have the same value, outside the background."""
    inside = (voxels[1:] != background) & (voxels[:-1] != background)
    return float((voxels[1:] == voxels[:-1])[inside].mean()) if inside.any() else 0.0


def check_hounsfield_units(voxels: NDArray[np.float32]) -> tuple[Doubt, ...]:
    """Check that a thorax CT has air and soft tissue within their ranges of Hounsfield units; return the doubts.

    Raises:
        UnusableImage: no voxel lies in the range of air and lung, which every thorax contains.
    """
    low, high = float(voxels.min()), float(voxels.max())
    air = float(((voxels >= AIR_HU[0]) & (voxels <= AIR_HU[1])).mean())
    if air < MIN_AIR_SHARE:
        if low >= 0 and high <= 1:
            cause = "they are scaled to 0..1"
        elif low >= -1 and high <= 1:
            cause = "they are scaled to -1..1"
        elif low >= 0:
            cause = "an offset, most often 1024, has not been taken off"
        else:
            cause = "they are shifted or scaled"
        raise UnusableImage(
            "not Hounsfield units",
            f"values from {low:.4g} to {high:.4g}, {100 * air:.2f} % of them between {AIR_HU[0]:.0f} and"
            f" {AIR_HU[1]:.0f} HU, where air and lung are: {cause}; convert them to HU",
        )
    soft = float(((voxels >= SOFT_HU[0]) & (voxels <= SOFT_HU[1])).mean())
    if soft < MIN_SOFT_SHARE:
        words = (
            f"{100 * soft:.2f} % of the values are between {SOFT_HU[0]:.0f} and {SOFT_HU[1]:.0f}, where soft tissue is"
        )
        return (Doubt("unlike Hounsfield units", words),)
    return ()
