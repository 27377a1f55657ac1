"""Published definitions by name, followed to the letter: what may stand beside a figure of a paper, data aside."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ganatomy.errors import Refused
from ganatomy.evaluation.extractors.extractor import extracted
from ganatomy.evaluation.extractors.med3d import Med3D
from ganatomy.evaluation.feature_cache import features_of
from ganatomy.evaluation.images.comparison import Sides
from ganatomy.evaluation.images.sets import reals
from ganatomy.evaluation.metrics import mmd
from ganatomy.evaluation.metrics.frechet import frechet_distance
from ganatomy.evaluation.metrics.swd import Protocol, descriptors, swd
from ganatomy.evaluation.statistics import Score

HAGAN, SWD = 2048, 16384  # images


def hagan_2022(sides: Sides, weights: Path | None) -> list[Score]:
    """FID and MMD of HA-GAN: 2,048 samples, Med3D ResNet-50 with dilated stages, no z-score, all 2,048 dimensions.

    Raises:
        Refused: images of two dimensions, fewer samples, or no weights.
    """
    if len(sides.test.shape) != 3:
        raise Refused("The protocol hagan-2022 is of volumes; these are images of two dimensions.")
    _enough("hagan-2022", "synthetic volumes", len(sides.fakes), HAGAN)
    extractor = Med3D(50, weights)
    real = features_of(extractor, sides.test, "held-out images")
    fake = extracted(extractor, (sides.fakes[i] for i in range(HAGAN)), HAGAN, "synthetic images")
    about = {"images": len(real), "dimensions": real.shape[1], "extractor": f"{extractor.name} {extractor.digest[:12]}"}
    words = f"protocol hagan-2022 (Sun 2022): {HAGAN} synthetic against {len(real)} held-out volumes, {extractor.words}"
    return [
        Score(metric="FID (hagan-2022)", value=frechet_distance(real, fake), definition=words, **about),
        Score(metric="MMD (hagan-2022)", value=mmd.mmd(real, fake), definition=words, **about),
    ]


def pggan_swd_16384(sides: Sides, weights: Path | None) -> list[Score]:
    """SWD of progressive GANs: 16,384 images a side against training images (Karras 2018, section 5).

    Raises:
        Refused: fewer images on a side.
    """
    train = reals(sides.test.store, "train", sides.test.shape, SWD)
    for what, images in (("synthetic images", sides.fakes), ("training images", train)):
        _enough("pggan-swd-16384", what, len(images), SWD)
    protocol = Protocol()
    fake = descriptors((sides.fakes[i] for i in range(SWD)), protocol, "fakes")
    levels = swd(descriptors(train, protocol, "reals"), fake, protocol)
    words = (
        f"protocol pggan-swd-16384 (Karras 2018): {protocol.words(SWD, len(train.shape))}, training images; by level"
    )
    told = ", ".join(f"{value:.2f}" for value in levels)
    return [
        Score(
            metric="SWD x 1000 (pggan-swd-16384)",
            value=float(np.mean(levels)),
            images=SWD,
            definition=f"{words}: {told}",
        )
    ]


def _enough(name: str, what: str, there: int, needed: int) -> None:
    if there < needed:
        raise Refused(f"The protocol {name} needs {needed} {what}; there are {there}.")


PROTOCOLS: dict[str, tuple[int, Callable[[Sides, Path | None], list[Score]]]] = {
    "hagan-2022": (HAGAN, hagan_2022),
    "pggan-swd-16384": (SWD, pggan_swd_16384),
}


def named(name: str) -> tuple[int, Callable[[Sides, Path | None], list[Score]]]:
    """How many synthetic images a protocol needs, and the protocol.

    Raises:
        Refused: there is none of that name.
    """
    if name not in PROTOCOLS:
        raise Refused(f"There is no protocol {name!r}; there are {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]
