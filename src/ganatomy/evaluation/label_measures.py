"""Measures of label maps: the volume or area of each class, and how well it agrees with what the image itself shows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.channels import list_label_names
from ganatomy.evaluation.images.comparison import Comparison
from ganatomy.evaluation.images.image_set import ImageSet
from ganatomy.imaging.image import Image

MM_PER_UNIT = {2: (100.0, "cm2"), 3: (1000.0, "ml")}  # square or cubic millimetres of a unit, by the number of axes
DICE = "Dice of {name} with what the image shows"  # of a class that the modality can segment in an image


def list_compared_classes(comparison: Comparison) -> tuple[str, ...]:
    """List the classes that the label maps of both sides have, the background first; none if they differ."""
    names = list_label_names(comparison.test.store.manifest.channels)
    return names if names == comparison.fakes.classes else ()


def measure_labels(comparison: Comparison, images: ImageSet, i: int, shown: Image) -> dict[str, float]:
    """Measure the label map of image i by name with unit; empty if not both sides have label maps of the same classes.

    Args:
        comparison: the images of both sides.
        images: the set of the image.
        i: its place.
        shown: the image as displayed.
    """
    names = list_compared_classes(comparison)
    labels = images.read_labels(i) if names else None
    if labels is None:
        return {}
    hung = comparison.modality.show_map(labels[None], shown)[0]
    found: dict[str, float] = {}
    for number, name in enumerate(names[1:], 1):
        found |= _measure_size(name, hung == number, shown)
        measured = comparison.modality.segment_class(name, shown)
        if measured is not None:
            found[DICE.format(name=name)] = compute_dice(hung == number, measured)
    return found


def _measure_size(name: str, inside: NDArray[np.bool_], shown: Image) -> dict[str, float]:
    if shown.spacing is None:
        return {f"{name} of the label map (% of the image)": 100 * float(inside.mean())}
    divisor, unit = MM_PER_UNIT[inside.ndim]
    return {f"{name} of the label map ({unit})": float(inside.sum() * np.prod(shown.spacing)) / divisor}


def compute_dice(one: NDArray[Any], other: NDArray[Any]) -> float:
    """2 |A ∩ B| / (|A| + |B|) of two masks   (Dice 1945); nan if both are empty."""
    total = int(one.sum()) + int(other.sum())
    return 2 * float(np.logical_and(one, other).sum()) / total if total else float("nan")
