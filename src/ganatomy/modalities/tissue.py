"""Masks of lungs, bone and body in chest CT, from thresholds and connected components.

Lungs are the air inside the body, below -500 HU; bone is above 250 HU. These are the simple definitions of HA-GAN's
figure of thresholded masks (Sun 2022), not clinical segmentations.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LUNG_HU = -500.0
BONE_HU = 250.0
MIN_LUNG_SHARE = 0.001  # of the volume; smaller pieces of air are airways, bowel or noise

Mask = NDArray[np.bool_]


def segment_body(hu: NDArray[Any]) -> Mask:
    """Segment the body in a volume in HU as its largest piece of tissue, with holes filled plane by plane."""
    pieces, count = ndimage.label(hu > LUNG_HU)
    if not count:
        return np.zeros(hu.shape, dtype=bool)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    largest = pieces == sizes.argmax()
    return np.stack([ndimage.binary_fill_holes(plane) for plane in largest])


def segment_lungs(hu: NDArray[Any]) -> Mask:
    """Segment the lungs in a volume in HU: air inside the body, in pieces of at least `MIN_LUNG_SHARE`."""
    inside = (hu < LUNG_HU) & segment_body(hu)
    pieces, _ = ndimage.label(inside)
    sizes = np.bincount(pieces.ravel())
    keep = sizes > MIN_LUNG_SHARE * hu.size
    keep[0] = False
    return keep[pieces]


def segment_bone(hu: NDArray[Any]) -> Mask:
    """Segment the voxels above `BONE_HU` in a volume in HU."""
    return np.asarray(hu > BONE_HU)
