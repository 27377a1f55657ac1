"""Faults of a whole set that need no statistics: images that are nearly constant, saturated, or all alike."""

import numpy as np

from ganatomy.evaluation.images.image_set import ImageSet

FAINT = 0.2  # an image is nearly constant below this share of the least deviation of a held-out image
SATURATED = 0.1  # an image is saturated if its share of white voxels exceeds that of all held-out images by this
WHITE = 0.999  # least value of a white voxel, in [-1, 1]
ALIKE = 0.5  # a set has collapsed if its share of different images is below this
SHOWN = 0.02  # least share of faulty images that is reported


def find_set_faults(fakes: ImageSet, held_out: ImageSet) -> list[str]:
    """Describe each fault in one sentence.

    Args:
        fakes: all synthetic images in [-1, 1].
        held_out: real images as a reference.
    """
    (deviation, white), (usual, usual_white) = (_describe_images(images) for images in (fakes, held_out))
    n, found = len(fakes), []
    faint = int((deviation < FAINT * usual.min()).sum())
    if faint > SHOWN * n:
        found.append(
            f"{faint} of {n} synthetic images are nearly constant: the deviation of their values is less than"
            f" {100 * FAINT:g} % of that of any held-out image."
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
    """Compute the deviation of each image, and its share of white voxels."""
    rows = [(float(image.std(dtype=np.float64)), float((image > WHITE).mean())) for image in images]
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
