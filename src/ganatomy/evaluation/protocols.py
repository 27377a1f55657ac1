"""Published protocols by name, which are followed exactly, so that only the data differ from those of the paper."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ganatomy.errors import Refused, refuse_name
from ganatomy.evaluation.extractors.med3d import Med3D
from ganatomy.evaluation.images.comparison import Comparison
from ganatomy.evaluation.images.image_set import ImageSubset
from ganatomy.evaluation.images.sets import select_real_images
from ganatomy.evaluation.metrics import mmd
from ganatomy.evaluation.metrics.frechet import compute_frechet_distance
from ganatomy.evaluation.metrics.swd import SWDProtocol, compute_swd, extract_descriptors
from ganatomy.evaluation.statistics import Score

HAGAN_IMAGES, SWD_IMAGES = 2048, 16384  # images


def compute_hagan_2022(comparison: Comparison, weights: Path | None) -> list[Score]:
    """FID and MMD of HA-GAN: 2,048 samples, Med3D ResNet-50 with dilated stages, no z-score, all 2,048 dimensions.

    Raises:
        Refused: the images have two axes, there are fewer samples, or there are no weights.
    """
    if len(comparison.test.shape) != 3:
        raise Refused("The protocol hagan-2022 is defined for volumes; these images have two dimensions.")
    _check_enough("hagan-2022", "synthetic volumes", len(comparison.fakes), HAGAN_IMAGES)
    extractor = Med3D(50, weights)
    real = comparison.features.get_features(extractor, comparison.test, "held-out images")
    some = ImageSubset(comparison.fakes, range(HAGAN_IMAGES))
    fake = comparison.features.get_features(extractor, some, "synthetic images")
    about = {"images": len(real), "dimensions": real.shape[1], "extractor": extractor.label}
    words = (
        f"protocol hagan-2022 (Sun 2022): {HAGAN_IMAGES} synthetic against {len(real)} held-out volumes,"
        f" {extractor.description}"
    )
    return [
        Score(metric="FID (hagan-2022)", value=compute_frechet_distance(real, fake), definition=words, **about),
        Score(metric="MMD (hagan-2022)", value=mmd.compute_mmd(real, fake), definition=words, **about),
    ]


def compute_pggan_swd_16384(comparison: Comparison, weights: Path | None) -> list[Score]:
    """SWD of progressive GANs: 16,384 images per side against training images (Karras 2018, section 5).

    Raises:
        Refused: a side has fewer images.
    """
    train = select_real_images(comparison.test.store, "train", comparison.test.shape, SWD_IMAGES)
    for what, images in (("synthetic images", comparison.fakes), ("training images", train)):
        _check_enough("pggan-swd-16384", what, len(images), SWD_IMAGES)
    protocol = SWDProtocol()
    fake = extract_descriptors((comparison.fakes[i] for i in range(SWD_IMAGES)), protocol, "fakes")
    levels = compute_swd(extract_descriptors(train, protocol, "reals"), fake, protocol)
    words = (
        f"protocol pggan-swd-16384 (Karras 2018): {protocol.describe(SWD_IMAGES, len(train.shape))},"
        " training images; by level"
    )
    told = ", ".join(f"{value:.2f}" for value in levels)
    return [
        Score(
            metric="SWD x 1000 (pggan-swd-16384)",
            value=float(np.mean(levels)),
            images=SWD_IMAGES,
            definition=f"{words}: {told}",
        )
    ]


def _check_enough(name: str, what: str, available: int, needed: int) -> None:
    if available < needed:
        raise Refused(f"The protocol {name} needs {needed} {what}, but there are only {available}.")


PROTOCOLS: dict[str, tuple[int, Callable[[Comparison, Path | None], list[Score]]]] = {
    "hagan-2022": (HAGAN_IMAGES, compute_hagan_2022),
    "pggan-swd-16384": (SWD_IMAGES, compute_pggan_swd_16384),
}


def get_protocol(name: str) -> tuple[int, Callable[[Comparison, Path | None], list[Score]]]:
    """Return the number of synthetic images that a protocol needs, and the protocol.

    Raises:
        Refused: there is no protocol of that name.
    """
    if name not in PROTOCOLS:
        raise refuse_name(f"There is no protocol {name!r}", name, PROTOCOLS)
    return PROTOCOLS[name]
