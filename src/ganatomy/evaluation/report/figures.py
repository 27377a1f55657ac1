"""The pictures of a report: grids, best and worst, real beside synthetic, neighbours, the hanging."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.evaluation.failures import Judged
from ganatomy.evaluation.images.comparison import Sides
from ganatomy.evaluation.images.sets import Images
from ganatomy.evaluation.metrics.nearest import averaged, vectors
from ganatomy.evaluation.report import charts
from ganatomy.imaging.image import Image
from ganatomy.imaging.pictures import Grey, grid, save_png

Pictures = dict[str, tuple[str, str]]  # file name -> (title, caption)
COLUMNS = {2: 6, 3: 2}
RANDOM, PAIRS, BEST, WORST, SUSPECTS = 30, 12, 15, 10, 6  # images of a grid in 2D; half as many volumes
FAULTY = 1.0  # score above which an image is marked as faulty; about one real image in twenty is
CONVINCING = 0.5  # score below which it is marked as convincing
RED, GREEN = (0.92, 0.27, 0.24), (0.24, 0.86, 0.35)
NOTE = "Synthetic images; not for diagnosis."

Keep = Callable[[str, str, str, Any], None]


def draw(folder: Path, sides: Sides, judged: Judged, content: dict[str, Any], log: list[dict[str, Any]]) -> Pictures:
    """Draw every picture that there is something for."""
    pictures: Pictures = {}

    def keep(name: str, title: str, caption: str, pixels: Any) -> None:
        save_png(pixels, folder / f"{name}.png")
        pictures[f"{name}.png"] = (title, caption)

    _random(keep, sides)
    _beside(keep, sides, judged)
    _ranked(keep, sides, judged, content["failures"])
    _three_nearest(keep, sides)
    _suspects(keep, sides, content["privacy"])
    for plate in sides.kind.plates([sides.shown(sides.fakes, i) for i in range(min(len(sides.fakes), RANDOM))]):
        keep(*plate)
    charts.draw(folder, pictures, content, log)
    return pictures


def _some(sides: Sides, n: int) -> int:
    return n if len(sides.test.shape) == 2 else max(2, n // 2)


def _columns(sides: Sides, n: int = 6) -> int:
    return min(n, COLUMNS[len(sides.test.shape)]) if len(sides.test.shape) == 3 else n


def _flat(sides: Sides, images: Images, i: int) -> Grey:
    return sides.kind.flat(sides.shown(images, i))


def _random(keep: Keep, sides: Sides) -> None:
    """Not picked: the first of each value of the first fact, such as the view."""
    by_fact: dict[str, list[int]] = {}
    for i, facts in enumerate(sides.fakes.facts()):
        by_fact.setdefault(next(iter(facts.values()), ""), []).append(i)
    for fact, places in sorted(by_fact.items()):
        flat = [_flat(sides, sides.fakes, i) for i in places[: _some(sides, RANDOM)]]
        title = " ".join(f"Synthetic {fact} images".split())
        name = f"random_{fact}" if fact else "random"
        keep(name, f"{title}, random", f"Not picked: the first {len(flat)}. {NOTE}", grid(flat, _columns(sides)))


def _beside(keep: Keep, sides: Sides, judged: Judged) -> None:
    pictures = []
    for i in range(min(_some(sides, PAIRS), len(sides.test))):
        place = sides.places[i]
        score = judged.scores[place]
        colour = RED if score > FAULTY else GREEN if score < CONVINCING else None
        pictures += [_framed(_flat(sides, sides.test, i), None), _framed(_flat(sides, sides.fakes, place), colour)]
    words = (
        f"Left of each pair: a held-out image; right: a sample with the same facts. Green frame: convincing (score"
        f" below {CONVINCING:g}); red: faulty (above {FAULTY:g})."
    )
    keep("real_beside_synthetic", "Real beside synthetic", words, grid(pictures, _columns(sides)))


def _framed(picture: Grey, colour: tuple[float, ...] | None) -> NDArray[np.float32]:
    """RGB with a frame of the colour, or as it is."""
    rgb = np.repeat(picture[..., None], 3, axis=2).astype(np.float32)
    if colour is not None:
        width = max(2, picture.shape[0] // 60)
        for edge in (np.s_[:width], np.s_[-width:], np.s_[:, :width], np.s_[:, -width:]):
            rgb[edge] = colour
    return rgb


def _ranked(keep: Keep, sides: Sides, judged: Judged, failures: dict[str, Any]) -> None:
    best = failures["best"][: _some(sides, BEST)]
    worst = [row["image"] for row in failures["worst"]][: _some(sides, WORST)]
    low, high = judged.scores[best[0]], judged.scores[worst[0]]
    reasons = ", ".join(row["reason"] for row in failures["worst"][: len(worst)])
    keep(
        "best",
        "Lowest scores for artefacts",
        f"Picked: the best {len(best)} of {len(judged.scores)}, from {low:.2f} up. {NOTE}",
        grid([_flat(sides, sides.fakes, i) for i in best], _columns(sides, 5)),
    )
    keep(
        "failures",
        "Failures",
        f"Picked: the worst {len(worst)} of {len(judged.scores)}, from {high:.2f} down, with"
        f" the part that is worst: {reasons}. {NOTE}",
        grid([_flat(sides, sides.fakes, i) for i in worst], _columns(sides, 5)),
    )


def _three_nearest(keep: Keep, sides: Sides) -> None:
    rows = min(_some(sides, SUSPECTS), len(sides.test))
    small = vectors([averaged(sides.test[i]) for i in range(rows)] + [averaged(image) for image in sides.fakes])
    alike = small[:rows] @ small[rows:].T
    pictures = []
    for i, row in enumerate(alike):
        pictures.append(_flat(sides, sides.test, i))
        pictures += [_flat(sides, sides.fakes, int(j)) for j in np.argsort(row)[::-1][:3]]
        pictures += [np.zeros_like(pictures[0])] * (3 - min(3, len(row)))
    columns = 4 if len(sides.test.shape) == 3 else 8
    keep(
        "real_nearest_synthetic",
        "Each real beside its three nearest synthetics",
        "First of each four: a held-out image. What has no good partner is not covered by the model.",
        grid(pictures, columns),
    )


def _suspects(keep: Keep, sides: Sides, privacy: dict[str, Any]) -> None:
    """The pairs to look at for copies, from both spaces in turn."""
    chosen: list[tuple[int, int]] = []
    for pairs in zip(*(space["pairs"] for space in privacy["spaces"]), strict=False):
        chosen += [(pair["synthetic"], pair["training"]) for pair in pairs]
    chosen = list(dict.fromkeys(chosen))[: _some(sides, PAIRS)]
    pictures = []
    for synthetic, training in chosen:
        fake = sides.shown(sides.fakes, synthetic)
        near = sides.kind.denormalise(Image(sides.train[training], fake.spacing, fake.facts))  # hung like the other
        pictures += [sides.kind.flat(fake), sides.kind.flat(near)]
    keep(
        "synthetic_nearest_training",
        "The most suspect samples beside their nearest training images",
        "Left of each"
        " pair: a sample that lies much nearer to a training image than to any held-out one; right: that training"
        " image. Look here for copies.",
        grid(pictures, _columns(sides)),
    )
