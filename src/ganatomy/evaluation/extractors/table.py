"""Table of the extractors by name."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from ganatomy.errors import Refused, refuse_name
from ganatomy.evaluation.extractors.dinov2 import DinoV2
from ganatomy.evaluation.extractors.extractor import Extractor, Pixels
from ganatomy.evaluation.extractors.handcrafted import Handcrafted
from ganatomy.evaluation.extractors.inception import Inception2015
from ganatomy.evaluation.extractors.med3d import Med3D
from ganatomy.evaluation.extractors.random_resnet import RandomResNet

PRETRAINED: dict[str, tuple[int, Callable[[Path | None], Extractor]]] = {
    **{f"med3d-{depth}": (3, partial(Med3D, depth)) for depth in (10, 18, 34, 50)},
    "inception-2015": (2, Inception2015),
    **{f"dinov2-{size}": (2, partial(DinoV2, size)) for size in "sbl"},
}
EXTRACTOR_NAMES = ("random", "handcrafted", *PRETRAINED)
COMPANIONS = ("handcrafted",)  # always measured too: interpretable, and without weights


def get_extractor(name: str, ndim: int, reference: Iterable[Pixels], weights: Path | None = None) -> Extractor:
    """Make the extractor of that name.

    Args:
        name: name of the extractor.
        ndim: number of spatial axes of the images.
        reference: real images, for an extractor that is scaled by them.
        weights: file of the weights of a pretrained extractor.

    Raises:
        Refused: the name is unknown, the extractor takes images with another number of axes, or the weights are missing
            or unknown.
    """
    if name == "random":
        return RandomResNet(ndim)
    if name == "handcrafted":
        return Handcrafted(reference)
    if name not in PRETRAINED:
        raise refuse_name(f"There is no extractor {name!r}", name, EXTRACTOR_NAMES)
    needed, make = PRETRAINED[name]
    if needed != ndim:
        raise Refused(f"The extractor {name} takes images of {needed} dimensions; these have {ndim}.")
    return make(weights)


def list_companions(chosen: Extractor, ndim: int, reference: Iterable[Pixels]) -> list[Extractor]:
    """List the extractors that a report shows in addition to the chosen one; arguments as in `get_extractor`."""
    return [get_extractor(name, ndim, reference) for name in COMPANIONS if name != chosen.name]
