"""The figure of the image regions by which the classifiers of the learned test recognise synthetic images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.evaluation.images.comparison import Comparison
from ganatomy.evaluation.images.image_set import ImageSubset
from ganatomy.evaluation.learned.judges import Judges
from ganatomy.evaluation.learned.views import show_images
from ganatomy.imaging.pictures import make_grid, render_planes

MAX_AVERAGED = 48  # largest number of images of a fold, and of held-out images, whose maps are averaged
SHOWN_SAMPLES = {2: 5, 3: 2}  # samples that are shown besides the mean
TINT = np.array((0.95, 0.2, 0.15), dtype=np.float32)  # red
CAPTION = (
    "Red marks the regions by which a small network recognises an image as synthetic, at the finest size at which it"
    " sees whole images. The first image is the mean of the samples, with their mean map minus that of held-out images."
    " The other images are the samples that it recognises most confidently, each with its own map. No network is"
    " applied to samples on which it was trained."
)

Pixels = NDArray[np.float32]


def draw_told_apart(comparison: Comparison, judges: Judges) -> NDArray[np.uint8] | None:
    """Draw the mean sample and the most confidently recognised samples; None if no classifier saw whole images."""
    whole = [view for view in judges.views if view.patch is None]
    if not whole:
        return None
    view = whole[-1]

    def map_images(images: ImageSubset, fold: int) -> Pixels:
        shown = show_images(images, [view], "where the networks looked")[view.name]
        return judges.judges[view.name][fold].map_scores(shown)

    held_out = ImageSubset(comparison.test, range(min(MAX_AVERAGED, len(comparison.test))))
    chosen = [ImageSubset(comparison.fakes, places[:MAX_AVERAGED]) for places in judges.folds]
    differences = [
        map_images(images, fold).mean(0) - map_images(held_out, fold).mean(0) for fold, images in enumerate(chosen)
    ]
    mean_image = np.mean([image for images in chosen for image in images], axis=0, dtype=np.float64)
    pictures = [_draw_map(comparison, np.asarray(mean_image, dtype=np.float32), np.stack(differences).mean(0))]
    order = np.argsort(-judges.fake_scores[view.name], kind="stable").tolist()
    for place in order[: SHOWN_SAMPLES[len(comparison.test.shape)]]:
        fold = next(fold for fold, places in enumerate(judges.folds) if place in places)
        own = map_images(ImageSubset(comparison.fakes, [place]), fold)
        pictures.append(_draw_map(comparison, comparison.fakes[place], own[0]))
    return make_grid(pictures, len(pictures) if len(comparison.test.shape) == 2 else 1)


def _draw_map(comparison: Comparison, image: Pixels, scores: NDArray[Any]) -> Pixels:
    """Draw an image in grey (rows, columns, 3) with red regions of high scores, in its stored orientation."""
    spacing = comparison.test.spacing()
    grey = render_planes((image + 1) / np.float32(2), spacing)
    factors = [n // m for n, m in zip(image.shape, scores.shape, strict=True)]
    fine = scores
    for axis, factor in enumerate(factors):
        fine = fine.repeat(factor, axis)
    strength = np.clip(fine / max(float(np.quantile(fine, 0.99)), 1e-6), 0, 1).astype(np.float32)
    tint = render_planes(strength, spacing)[: grey.shape[0], : grey.shape[1], None] * np.float32(0.7)
    return grey[..., None] * (1 - tint) + TINT * tint
