"""The pictures of a report: grids, real beside synthetic, neighbours, the hanging, curves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ganatomy.evaluation.sets import Reals
from ganatomy.exporting import Sample
from ganatomy.image import Image
from ganatomy.modalities.modality import Modality
from ganatomy.pictures import Grey, grid, save_png

Pictures = dict[str, tuple[str, str]]  # file name -> (title, caption)
COLUMNS = {2: 6, 3: 2}  # of a grid; pairs stand side by side
SHOWN_PROGRESS = ("level", "alpha", "batch_size")
SYNTHETIC_NOTE = "Synthetic images; not for diagnosis."


def draw(
    folder: Path, kind: Modality, fakes: list[Sample], reals: list[Image], train: Reals, content: dict[str, Any],
    log: list[dict[str, Any]], most: int,
) -> Pictures:  # fmt: skip
    """Draw every picture that there is something for; images are in their own values, as displayed."""
    pictures: Pictures = {}
    columns = COLUMNS[len(train.shape)]
    most = most if len(train.shape) == 2 else most // 2

    def keep(name: str, title: str, caption: str, pixels: Any) -> None:
        save_png(pixels, folder / f"{name}.png")
        pictures[f"{name}.png"] = (title, caption)

    images = [image for image, _ in fakes]
    for facts, chosen in _alike(images):
        title = f"Synthetic {facts}, random".replace("  ", " ").replace(" ,", ",")
        flat = [kind.flat(image) for image in chosen[:most]]
        name = "random" + "".join(f"_{value}" for value in facts.split())
        keep(name, title, f"Not picked: the first {len(flat)}. {SYNTHETIC_NOTE}", grid(flat, columns))
    both = [kind.flat(image) for pair in zip(reals[: most // 2], images, strict=False) for image in pair]
    keep("real_beside_synthetic", "Real beside synthetic", "Left of each pair: a test image; right: a sample with the"
         " same facts.", grid(both, columns))  # fmt: skip
    _neighbours(keep, kind, images, reals, train, content["nearest"], most // 2)
    for plate in kind.plates(images):
        keep(*plate)
    _curves(folder, pictures, content, log)
    return pictures


def _alike(images: list[Image]) -> list[tuple[str, list[Image]]]:
    """Images by the value of their first fact, such as the view position; all together when they have none."""
    found: dict[str, list[Image]] = {}
    for image in images:
        found.setdefault(next(iter(image.facts.values()), ""), []).append(image)
    return sorted(found.items())


def _neighbours(
    keep: Callable[..., None], kind: Modality, fakes: list[Image], reals: list[Image], train: Reals,
    found: dict[str, Any], most: int,
) -> None:  # fmt: skip
    columns = COLUMNS[len(train.shape)]
    pairs: list[Grey] = []
    for i in np.argsort(found["fake_to_train"])[::-1][:most]:
        fake = fakes[i]
        near = kind.denormalise(fake.but(pixels=train[found["fake_to_train_index"][i]]))  # shown like the synthetic one
        pairs += [kind.flat(fake), kind.flat(near)]
    keep("synthetic_nearest_training", "Each synthetic beside its nearest training image", "The pairs of highest"
         " correlation first, shown alike: look here for copies.", grid(pairs, columns))  # fmt: skip
    pairs = []
    for i in range(min(most, len(reals))):
        pairs += [kind.flat(reals[i]), kind.flat(fakes[found["test_to_fake_index"][i]])]
    keep("real_nearest_synthetic", "Each real beside its nearest synthetic", "Left of each pair: a test image. What"
         " has no good partner is not covered by the model.", grid(pairs, columns))  # fmt: skip


# ----------------------------------------------------------------------------------------------------------------------
# Curves.


def _curves(folder: Path, pictures: Pictures, content: dict[str, Any], log: list[dict[str, Any]]) -> None:
    swd = content["swd"]
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure((7, 3), layout="constrained")
        axes = figure.subplots()
        names = list(swd["fake"]["levels"])
        places = np.arange(len(names))
        axes.bar(places - 0.2, list(swd["fake"]["levels"].values()), 0.4, label="synthetic against test")
        axes.bar(places + 0.2, list(swd["real_floor"]["levels"].values()), 0.4, label="training against test (floor)")
        axes.set_xticks(places, names)
        axes.set_ylabel("SWD x 1000")
        axes.legend(frameon=False)
        _save(figure, folder / "swd.png")
        pictures["swd.png"] = ("Sliced Wasserstein distance by level", swd["protocol"])
        if selection := content["selection"]:
            _save(_selection(selection), folder / "selection.png")
            pictures["selection.png"] = ("Selection of the snapshot, on validation patients", selection["verdict"])
        if log:
            _save(_training(log), folder / "training.png")
            pictures["training.png"] = (
                "Training",
                "Terms of the losses of discriminator and generator; and what a step saw.",
            )


def _selection(selection: dict[str, Any]) -> Figure:
    figure = Figure((7, 3), layout="constrained")
    axes = figure.subplots()
    rows = sorted(selection["ranking"], key=lambda row: row["kimg"])
    kimg, average = [row["kimg"] for row in rows], [row["average"] for row in rows]
    axes.errorbar(kimg, average, [row["spread"] or 0 for row in rows], marker="o", capsize=3, label="snapshots")
    axes.axhline(selection["floor"]["average"], color="grey", linestyle=":", label="real floor")
    axes.set_xlabel("kimg")
    axes.set_ylabel("SWD x 1000")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure


def _training(log: list[dict[str, Any]]) -> Figure:
    figure = Figure((8, 6), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    kimg = [row["images"] / 1000 for row in log]
    for name in (key for key in log[-1] if "/" in key and not key.startswith("progress/")):
        (top if name.startswith("discriminator") else middle).plot(kimg, [row.get(name) for row in log], label=name)
    for name in SHOWN_PROGRESS:
        if f"progress/{name}" in log[-1]:
            bottom.step(kimg, [row.get(f"progress/{name}") for row in log], where="post", label=name)
    for axes in (top, middle, bottom):
        axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    bottom.set_xlabel("kimg")
    return figure


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110, metadata={"Software": None})
