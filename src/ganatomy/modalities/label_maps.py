"""The classes of the voxels of an image, from its masks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganatomy.imaging.image import Doubt, UnusableImage
from ganatomy.modalities.label_files import LabelRule, LabelSource

SHOWN_VALUES = 6  # of a mask, in a message

Values = NDArray[np.int32]  # the values of a mask (layers, *shape), on several layers where its structures overlap
ReadMask = Callable[[Path], tuple[Values, tuple[Doubt, ...]]]  # the values of a mask on the voxels of its image


def read_classes(
    source: LabelSource, masks: tuple[tuple[Path, ...], ...], read_mask: ReadMask
) -> tuple[NDArray[np.uint8], tuple[Doubt, ...]]:
    """Read the number of the class of each voxel of an image; 0 is the background.

    Args:
        source: the rules.
        masks: for each rule the files that it matches.
        read_mask: reads a file on the voxels of the image.

    Raises:
        UnusableImage: a mask is missing, there are two, it cannot be read, has a value without a name, or all are
            empty.
    """
    files = [_choose_mask(rule, found) for rule, found in zip(source.rules, masks, strict=True)]
    doubts, read = list[Doubt](), dict[Path, Values]()
    for file in dict.fromkeys(files):
        read[file], said = read_mask(file)
        doubts += said
        _check_values(file, read[file], [rule for rule, its in zip(source.rules, files, strict=True) if its == file])
    numbers = np.zeros(read[files[0]].shape[1:], dtype=np.uint8)
    for number, (rule, file) in enumerate(zip(source.rules, files, strict=True), 1):
        layers = np.isin(read[file], rule.values) if rule.values else read[file] != 0
        inside = np.asarray(layers.any(axis=0))
        doubts += _find_class_doubts(source, rule, numbers, inside)
        numbers[inside] = number
    if not numbers.any():
        raise UnusableImage("empty mask", f"{files[0].name} has no voxel of {', '.join(r.name for r in source.rules)}")
    return numbers, tuple(doubts)


def _choose_mask(rule: LabelRule, found: tuple[Path, ...]) -> Path:
    if not found:
        raise UnusableImage("no mask", f"no file matches {rule}")
    if len(found) > 1:
        raise UnusableImage("two masks", f"{found[0].name} and {found[1].name} match {rule}; leave one of them")
    return found[0]


def _check_values(file: Path, values: Values, rules: list[LabelRule]) -> None:
    """Check that every value of a mask has a name.

    Raises:
        UnusableImage: one has none, or several values would have the same name.
    """
    present = [value for value in np.unique(values).tolist() if value]
    named = {value for rule in rules for value in rule.values}
    if any(not rule.values for rule in rules):
        if len(present) > 1:
            raise UnusableImage(
                "several label values", f"{file.name} has {_list_values(present)}; name each of them as NAME=GLOB:VALUE"
            )
    elif unknown := sorted(set(present) - named):
        raise UnusableImage(
            "label value without a name",
            f"{file.name} has {_list_values(unknown)}, and --labels names {_list_values(sorted(named))}",
        )


def _list_values(values: list[int]) -> str:
    more = f" and {len(values) - SHOWN_VALUES} more" if len(values) > SHOWN_VALUES else ""
    return ", ".join(map(str, values[:SHOWN_VALUES])) + more


def _find_class_doubts(
    source: LabelSource, rule: LabelRule, numbers: NDArray[np.uint8], inside: NDArray[np.bool_]
) -> list[Doubt]:
    if not inside.any():
        return [Doubt("no voxel of a class", rule.name)]
    below = np.bincount(numbers[inside], minlength=1)[1:]
    names = [source.rules[i].name for i in np.flatnonzero(below).tolist()]
    if not names:
        return []
    words = f"{rule.name} lies over {', '.join(names)} in {int(below.sum())} voxels, which count as {rule.name}"
    return [Doubt("overlapping classes", words)]


def make_shares(
    numbers: NDArray[np.uint8], classes: int, fit: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Make the shares of the classes on a grid: means of one-hot maps, so that no class numbers are interpolated.

    Args:
        numbers: the class of each voxel of the source.
        classes: number of the classes besides the background.
        fit: brings the map of one class, 0 or 1 for each voxel, to the grid.

    Returns:
        (classes + 1, *grid) in [0, 1], the background first; they add up to one.
    """
    others = [np.clip(fit((numbers == number).astype(np.float32)), 0, 1) for number in range(1, classes + 1)]
    shares = np.stack([np.clip(1 - np.sum(others, axis=0), 0, 1), *others])
    return (shares / shares.sum(0)).astype(np.float32)
