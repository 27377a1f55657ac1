"""What helps to choose among samples one by one: their scores for artefacts, and the training images most like them."""

from dataclasses import dataclass
from pathlib import Path

from ganatomy.data.samples import read_samples
from ganatomy.data.store import Store
from ganatomy.evaluation.failures import QualityScorer
from ganatomy.evaluation.images.sample_cache import SampleCache
from ganatomy.evaluation.images.sets import select_real_images
from ganatomy.evaluation.metrics.nearest import downsample_image, find_nearest, make_unit_vectors


@dataclass(frozen=True)
class SampleScore:
    """The scores of one sample against the training set.

    Args:
        artefacts: score for artefacts; 0 is a typical real image, and larger is worse.
        likeness: correlation, -1 to 1, of the reduced sample with the training image that is most like it.
        nearest: place of that image among the training cases.
    """

    artefacts: float
    likeness: float
    nearest: int


def score_samples(folder: Path, store: Store) -> list[SampleScore]:
    """Score each sample of a folder against the training images of a store.

    Raises:
        Refused: the samples cannot be read, or the store has no images of their size.
    """
    rows, images = read_samples(folder)
    fakes = SampleCache(images, len(rows))
    scores = QualityScorer(store, fakes.shape, None)(fakes).scores
    train = select_real_images(store, "train", fakes.shape)
    small = make_unit_vectors([downsample_image(image) for image in (*fakes, *train)])
    nearest, likeness = find_nearest(small[: len(fakes)], small[len(fakes) :])
    return [
        SampleScore(round(float(score), 3), round(float(alike), 3), int(place))
        for score, alike, place in zip(scores, likeness, nearest, strict=True)
    ]
