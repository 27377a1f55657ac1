"""Faults of a whole set that need no statistics: images that are nearly constant, saturated, or all alike."""

import numpy as np

from ganatomy.evaluation.images.image_set import ImageSet

FAINT = 0.2  # of the least deviation of a held-out image, below which an image is nearly constant
SATURATED = 0.1  # more voxels at full white than any held-out image has, as a share of the image
WHITE = 0.999  # in [-1, 1]: at the end of the range
ALIKE = 0.5  # share of different images below which a set has collapsed
SHOWN = 0.02  # share of a set that has to be at fault before the set is


def find_set_faults(fakes: ImageSet, held_out: ImageSet) -> list[str]:
    """One sentence for each fault.

    Args:
        fakes: all synthetic images in [-1, 1].
        held_out: real ones, which say what is usual.
    """
    (deviation, white), (usual, usual_white) = (_describe_images(images) for images in (fakes, held_out))
    n, found = len(fakes), []
    faint = int((deviation < FAINT * usual.min()).sum())
    if faint > SHOWN * n:
        found.append(
            f"{faint} of {n} synthetic images are nearly constant: their values deviate by less than"
            f" {100 * FAINT:g} % of what any held-out image does."
        )
    glaring = int((white > usual_white.max() + SATURATED).sum())
    if glaring > SHOWN * n:
        found.append(
            f"{glaring} of {n} synthetic images are saturated: white covers over {100 * SATURATED:g} % more of them"
            " than of any held-out image."
        )
    different = len(set(fakes.digests()))
    if different < ALIKE * n:
        found.append(f"The set has collapsed: only {different} of {n} synthetic images are different.")
    return found


def _describe_images(images: ImageSet) -> tuple[np.ndarray, np.ndarray]:
    """Deviation of each image, and its share of voxels at full white."""
    rows = [(float(image.std(dtype=np.float64)), float((image > WHITE).mean())) for image in images]
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
