"""Figures of a report: grids, best and worst samples, pairs, nearest neighbours and the hanging."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.evaluation.failures import QualityScore
from ganatomy.evaluation.images.comparison import Comparison
from ganatomy.evaluation.images.image_set import ImageSet
from ganatomy.evaluation.images.sets import drop_numbers
from ganatomy.evaluation.learned.judges import Judges
from ganatomy.evaluation.metrics.nearest import downsample_image, make_unit_vectors
from ganatomy.evaluation.report import charts
from ganatomy.evaluation.report.told_apart import CAPTION, draw_told_apart
from ganatomy.imaging.caption import add_caption
from ganatomy.imaging.image import Image
from ganatomy.imaging.marking import Mark, mark_collected, mark_side_by_side, mark_synthetic
from ganatomy.imaging.pictures import GreyPicture, make_grid, save_png

Pictures = dict[str, tuple[str, str]]  # file name -> (title, caption)
COLUMNS = {2: 6, 3: 2}
RANDOM, PAIRS, BEST, SUSPECTS = 30, 12, 9, 6  # images of a grid in 2D; half as many for volumes
FAULTY_SCORE = 1.0  # score above which an image is marked as faulty; about one real image in twenty is above it
CONVINCING_SCORE = 0.5  # score below which it is marked as convincing
RED, GREEN = (0.92, 0.27, 0.24), (0.24, 0.86, 0.35)
NOTE = "Synthetic images, not for diagnosis."

RECORDED = ("generator", "snapshot_sha256", "kimg", "truncation", "seed")  # what a mark tells of the model

PictureSaver = Callable[[str, str, str, Any, Mark], None]


def draw_pictures(
    folder: Path,
    comparison: Comparison,
    quality: QualityScore,
    real_quality: QualityScore,
    judges: Judges | None,
    content: dict[str, Any],
    log: list[dict[str, Any]],
) -> Pictures:
    """Draw every figure for which there are data."""
    pictures: Pictures = {}

    def keep(name: str, title: str, caption: str, pixels: Any, mark: Mark) -> None:
        save_png(pixels, folder / f"{name}.png", mark)
        pictures[f"{name}.png"] = (title, caption)

    if judges is not None and (sheet := draw_told_apart(comparison, judges)) is not None:
        captioned = add_caption(sheet, comparison.shows_patients)
        keep("told_apart", "Where a small network looks", CAPTION, captioned, _mark_both(comparison))
    _draw_random(keep, comparison)
    _draw_real_beside_synthetic(keep, comparison, quality)
    _draw_best(keep, comparison, quality, content["failures"])
    _draw_failures(keep, comparison, quality, real_quality)
    _draw_three_nearest(keep, comparison)
    _draw_suspects(keep, comparison, content["privacy"])
    for plate in comparison.modality.report_figures(
        [comparison.make_display_image(comparison.fakes, i) for i in range(min(len(comparison.fakes), RANDOM))]
    ):
        keep(*plate, _mark_fakes(comparison))
    charts.draw_charts(folder, pictures, content, log)
    return pictures


def _mark_fakes(comparison: Comparison) -> Mark:
    """The mark of a picture of samples. Images of a folder of anybody's are not said to be synthetic: nobody knows."""
    if "snapshot_sha256" in comparison.provenance:
        return mark_synthetic(_select_record(comparison))
    return mark_collected("Images that were given as synthetic; how they were made is not recorded.", True)


def _mark_both(comparison: Comparison) -> Mark:
    return mark_side_by_side(_select_record(comparison), comparison.shows_patients)


def _select_record(comparison: Comparison) -> dict[str, Any]:
    """What is told of the model; nothing of images that are not ours, where a folder's name would stand."""
    told = comparison.provenance
    return {name: told[name] for name in RECORDED if name in told} if "snapshot_sha256" in told else {}


def _limit_images(comparison: Comparison, n: int) -> int:
    return n if len(comparison.test.shape) == 2 else max(2, n // 2)


def _count_columns(comparison: Comparison, n: int = 6) -> int:
    return min(n, COLUMNS[len(comparison.test.shape)]) if len(comparison.test.shape) == 3 else n


def _render_image(comparison: Comparison, images: ImageSet, i: int) -> GreyPicture:
    return comparison.modality.render_image(comparison.make_display_image(images, i))


def _draw_random(save: PictureSaver, comparison: Comparison) -> None:
    """Draw the first images of each value of the first fact, such as the view, without selection."""
    by_fact: dict[str, list[int]] = {}
    for i, facts in enumerate(drop_numbers(comparison.fakes.facts(), comparison.numbers)):
        by_fact.setdefault(next(iter(facts.values()), ""), []).append(i)
    for fact, places in sorted(by_fact.items()):
        flat = [_render_image(comparison, comparison.fakes, i) for i in places[: _limit_images(comparison, RANDOM)]]
        title = " ".join(f"Synthetic {fact} images".split())
        name = f"random_{fact}" if fact else "random"
        save(
            name,
            f"{title}, random",
            f"The first {len(flat)} samples, without selection. {NOTE}",
            make_grid(flat, _count_columns(comparison)),
            _mark_fakes(comparison),
        )


def _draw_real_beside_synthetic(save: PictureSaver, comparison: Comparison, quality: QualityScore) -> None:
    pictures = []
    for i in range(min(_limit_images(comparison, PAIRS), len(comparison.test))):
        place = comparison.matched_indices[i]
        score = quality.scores[place]
        colour = RED if score > FAULTY_SCORE else GREEN if score < CONVINCING_SCORE else None
        pictures += [
            _add_frame(_render_image(comparison, comparison.test, i), None),
            _add_frame(_render_image(comparison, comparison.fakes, place), colour),
        ]
    words = (
        "The left image of each pair is a held-out image, the right one a sample with the same facts. A green frame"
        f" marks a low score for artefacts (below {CONVINCING_SCORE:g}), a red frame a high one (above"
        f" {FAULTY_SCORE:g})."
    )
    save(
        "real_beside_synthetic",
        "Real beside synthetic",
        words,
        add_caption(make_grid(pictures, _count_columns(comparison)), comparison.shows_patients),
        _mark_both(comparison),
    )


def _add_frame(picture: GreyPicture, colour: tuple[float, ...] | None) -> NDArray[np.float32]:
    """Convert a picture to RGB with a frame of the colour; None = without a frame."""
    rgb = np.repeat(picture[..., None], 3, axis=2).astype(np.float32)
    if colour is not None:
        width = max(2, picture.shape[0] // 60)
        for edge in (np.s_[:width], np.s_[-width:], np.s_[:, :width], np.s_[:, -width:]):
            rgb[edge] = colour
    return rgb


def _draw_best(save: PictureSaver, comparison: Comparison, quality: QualityScore, failures: dict[str, Any]) -> None:
    """Draw the samples with the lowest scores, each beside the held-out image that is nearest to it."""
    best = failures["best"][: _limit_images(comparison, BEST)]
    small = make_unit_vectors(
        [downsample_image(comparison.fakes[i]) for i in best] + [downsample_image(image) for image in comparison.test]
    )
    nearest = (small[: len(best)] @ small[len(best) :].T).argmax(1).tolist()
    pictures = [
        _render_image(comparison, images, place)
        for i, j in zip(best, nearest, strict=True)
        for images, place in ((comparison.fakes, i), (comparison.test, j))
    ]
    low = quality.scores[best[0]]
    save(
        "best",
        "Lowest scores for artefacts, each beside the nearest held-out image",
        f"The {len(best)} best of {len(quality.scores)} samples, with scores from {low:.2f} upwards: the left image of"
        f" each pair; the right one is the held-out image that correlates most with it. {NOTE}",
        add_caption(make_grid(pictures, _count_columns(comparison)), comparison.shows_patients),
        _mark_both(comparison),
    )


def _draw_failures(
    save: PictureSaver, comparison: Comparison, quality: QualityScore, real_quality: QualityScore
) -> None:
    """Draw the worst samples of each value of the first fact, such as the view, above its worst training images."""
    n = _count_columns(comparison, 5)
    fakes = _rank_by_fact(comparison.fakes, quality, comparison.numbers)
    reals = _rank_by_fact(comparison.floor, real_quality, comparison.numbers)
    for fact, worst in sorted(fakes.items()):
        pictures = [_render_image(comparison, comparison.fakes, i) for i in worst[: 2 * n]]
        pictures += [np.zeros_like(pictures[0])] * (-len(pictures) % n)
        beside = reals.get(fact, [])[:n]
        pictures += [_render_image(comparison, comparison.floor, i) for i in beside]
        reasons = ", ".join(quality.describe_worst_part(i) for i in worst[: 2 * n])
        scores = ", ".join(f"{real_quality.scores[i]:.2f}" for i in beside)
        save(
            f"failures_{fact}" if fact else "failures",
            " ".join(f"Failures {fact}".split()),
            f"The {min(2 * n, len(worst))} worst of {len(worst)} samples, with scores from"
            f" {quality.scores[worst[0]]:.2f} downwards; the largest part of each: {reasons}. The last row shows the"
            f" training images with the highest scores ({scores}), since real images have artefacts too. {NOTE}",
            add_caption(make_grid(pictures, n), comparison.shows_patients),
            _mark_both(comparison),
        )


def _rank_by_fact(images: ImageSet, quality: QualityScore, numbers: Collection[str]) -> dict[str, list[int]]:
    """Rank the images by score for each value of the first fact, the highest score first; returns indices."""
    found: dict[str, list[int]] = {}
    facts = drop_numbers(images.facts(), numbers)
    for i in np.argsort(-quality.scores, kind="stable").tolist():
        found.setdefault(next(iter(facts[i].values()), ""), []).append(i)
    return found


def _draw_three_nearest(save: PictureSaver, comparison: Comparison) -> None:
    rows = min(_limit_images(comparison, SUSPECTS), len(comparison.test))
    small = make_unit_vectors(
        [downsample_image(comparison.test[i]) for i in range(rows)]
        + [downsample_image(image) for image in comparison.fakes]
    )
    alike = small[:rows] @ small[rows:].T
    pictures = []
    for i, row in enumerate(alike):
        pictures.append(_render_image(comparison, comparison.test, i))
        pictures += [_render_image(comparison, comparison.fakes, int(j)) for j in np.argsort(row)[::-1][:3]]
        pictures += [np.zeros_like(pictures[0])] * (3 - min(3, len(row)))
    columns = 4 if len(comparison.test.shape) == 3 else 8
    save(
        "real_nearest_synthetic",
        "Real images and their three nearest synthetic images",
        "The first image of each group of four is a held-out image. If no synthetic image resembles it, the model does"
        " not cover it.",
        add_caption(make_grid(pictures, columns), comparison.shows_patients),
        _mark_both(comparison),
    )


def _draw_suspects(save: PictureSaver, comparison: Comparison, privacy: dict[str, Any]) -> None:
    """Draw the pairs to inspect for copies, from both spaces in turn."""
    chosen: list[tuple[int, int]] = []
    for pairs in zip(*(space["pairs"] for space in privacy["spaces"]), strict=False):
        chosen += [(pair["synthetic"], pair["training"]) for pair in pairs]
    chosen = list(dict.fromkeys(chosen))[: _limit_images(comparison, PAIRS)]
    pictures = []
    for synthetic, training in chosen:
        fake = comparison.make_display_image(comparison.fakes, synthetic)
        near = comparison.modality.denormalise(
            Image(comparison.train[training], fake.spacing, fake.facts)
        )  # in the same orientation as the other image
        pictures += [comparison.modality.render_image(fake), comparison.modality.render_image(near)]
    save(
        "synthetic_nearest_training",
        "The most suspicious samples beside their nearest training images",
        "The left image"
        " of each pair is a sample much nearer to a training image than to any held-out image; the right image is that"
        " training image. Inspect these pairs for copies.",
        add_caption(make_grid(pictures, _count_columns(comparison)), comparison.shows_patients),
        _mark_both(comparison),
    )
