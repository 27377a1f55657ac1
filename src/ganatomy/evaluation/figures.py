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
from ganatomy.modalities.hanging import VIEWS, hang
from ganatomy.pictures import Grey, grid, save_png

Pictures = dict[str, tuple[str, str]]  # file name -> (title, caption)
SYNTHETIC_NOTE = "Synthetic images; not for diagnosis."


def draw(
    folder: Path, fakes: list[Sample], reals: list[Image], train: Reals, content: dict[str, Any],
    log: list[dict[str, Any]], most: int,
) -> Pictures:  # fmt: skip
    """Draw every picture that there is something for; images are in [0, 1] as displayed."""
    pictures: Pictures = {}

    def keep(name: str, title: str, caption: str, pixels: Any) -> None:
        save_png(pixels, folder / name)
        pictures[name] = (title, caption)

    for view in ("CC", "MLO"):
        chosen = [image.pixels for image, _ in fakes if image.facts.get("view_position") == view][:most]
        if chosen:
            title = f"Synthetic {view}, random"
            keep(f"random_{view}.png", title, f"Not picked: the first {len(chosen)}. {SYNTHETIC_NOTE}", grid(chosen, 6))
    pairs = list(zip(reals, (image for image, _ in fakes), strict=False))[: most // 2]
    both = [image.pixels for pair in pairs for image in pair]
    keep("real_beside_synthetic.png", "Real beside synthetic", "Left of each pair: a test image; right: a sample of the"
         " same view and laterality.", grid(both, 6))  # fmt: skip
    _neighbours(keep, fakes, reals, train, content["nearest"], most // 2)
    if (views := _four_views(fakes)) is not None:
        keep("hanging.png", "The standard hanging", "RCC | LCC over RMLO | LMLO, chest walls back to back. The four"
             " views were drawn apart: they are not one woman's.", hang(views))  # fmt: skip
    _curves(folder, pictures, content, log)
    return pictures


def _neighbours(
    keep: Callable[..., None], fakes: list[Sample], reals: list[Image], train: Reals, found: dict[str, Any], most: int
) -> None:
    pairs: list[Grey] = []
    for i in np.argsort(found["fake_to_train"])[::-1][:most]:
        fake = fakes[i][0]
        near = (train[found["fake_to_train_index"][i]] + 1) / np.float32(2)
        pairs += [fake.pixels, near[:, ::-1] if fake.facts.get("laterality") == "R" else near]
    keep("synthetic_nearest_training.png", "Each synthetic beside its nearest training image", "The pairs of highest"
         " correlation first, hung like the synthetic one: look here for copies.", grid(pairs, 6))  # fmt: skip
    pairs = []
    for i in range(min(most, len(reals))):
        pairs += [reals[i].pixels, fakes[found["test_to_fake_index"][i]][0].pixels]
    keep("real_nearest_synthetic.png", "Each real beside its nearest synthetic", "Left of each pair: a test image. What"
         " has no good partner is not covered by the model.", grid(pairs, 6))  # fmt: skip


def _four_views(fakes: list[Sample]) -> dict[tuple[str, str], Grey] | None:
    views: dict[tuple[str, str], Grey] = {}
    for image, _ in fakes:
        views.setdefault((image.facts.get("laterality", ""), image.facts.get("view_position", "")), image.pixels)
    return {key: views[key] for key in VIEWS} if all(key in views for key in VIEWS) else None


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
                "Terms of the losses of discriminator and generator; the level and its share.",
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
    bottom.step(kimg, [row["progress/level"] for row in log], where="post", label="level")
    bottom.plot(kimg, [row["progress/alpha"] for row in log], label="alpha")
    for axes in (top, middle, bottom):
        axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    bottom.set_xlabel("kimg")
    return figure


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110, metadata={"Software": None})
