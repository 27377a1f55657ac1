"""Charts of a report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ganatomy.evaluation.report.embedding import fit_ellipse

COLOURS = {
    "test": "#0072b2",
    "held-out": "#0072b2",
    "training": "#8c8c8c",
    "synthetic": "#d55e00",
}  # Okabe and Ito 2008
SIDE_NAMES = {"test": "held-out", "training": "training", "synthetic": "synthetic"}
OTHER_MODELS = [colour for i, colour in enumerate(matplotlib.color_sequences["tab20"]) if i not in (0, 1, 2, 3)]
MARKERS = "osD^v<>P"  # of other models, since sixteen colours alone are hard to distinguish
SHOWN_PROGRESS = ("level", "alpha", "batch_size")
CHARTS_PER_ROW = 3  # small charts in a row


def draw_charts(
    folder: Path, pictures: dict[str, tuple[str, str]], content: dict[str, Any], log: list[dict[str, Any]]
) -> None:
    """Draw each chart for which there are data, as a PNG in the folder."""

    def keep(name: str, title: str, caption: str, figure: Figure) -> None:
        figure.savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})
        pictures[f"{name}.png"] = (title, caption)

    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        keep("swd", "Sliced Wasserstein distance by level", content["swd"]["protocol"], _swd(content["swd"]))
        keep(
            "measures",
            "Anatomy",
            "Distribution over images. The nearer the synthetic line is to the held-out one, the better.",
            _histograms(content["measures"]),
        )
        keep(
            "moments",
            "Values and artefacts of generators",
            "Moments of each image's values, in [-1, 1]; grid texture and brightness of borders. The nearer the"
            " synthetic line is to the held-out one, the better.",
            _histograms({**content["moments"], **content["artefacts"]}),
        )
        if content["spectrum"]["test"] and content["spectrum"]["synthetic"]:
            keep("spectrum", "Texture", content["spectrum"]["definition"], _spectrum(content["spectrum"]))
        if content["embedding"]:
            words = "For illustration only. Each ellipse contains 95 % of a Gaussian fitted to the points (chi-square)."
            keep("embedding", "Features in a plane", words, _embedding(content["embedding"]))
        if content["selection"]:
            keep(
                "selection",
                "Selection of the snapshot, on validation patients",
                " ".join(filter(None, [content["selection"]["verdict"], content["selection"].get("still_improving")])),
                _selection(content["selection"]),
            )
        if log:
            keep(
                "training",
                "Training",
                "Terms of the losses of discriminator and generator; level, fade-in and batch size of each step.",
                _training(log),
            )


def _swd(swd: dict[str, Any]) -> Figure:
    figure = Figure((7, 3), layout="constrained")
    axes = figure.subplots()
    names = list(swd["fake"]["levels"])
    places = np.arange(len(names))
    axes.bar(
        places - 0.2,
        list(swd["fake"]["levels"].values()),
        0.4,
        label="synthetic against held-out",
        color=COLOURS["synthetic"],
    )
    axes.bar(
        places + 0.2,
        list(swd["real_floor"]["levels"].values()),
        0.4,
        label="training against held-out (floor)",
        color=COLOURS["training"],
    )
    axes.set_xticks(places, names)
    axes.set_xlabel("level (voxels)")
    axes.set_ylabel("SWD x 1000 (lower is better)")
    axes.legend(frameon=False)
    return figure


def _histograms(tables: dict[str, Any]) -> Figure:
    rows = -(-len(tables) // CHARTS_PER_ROW)
    figure = Figure((9, 2.2 * rows), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, CHARTS_PER_ROW)).ravel()
    for axes, (name, table) in zip(panels, tables.items(), strict=False):
        values = {side: table[side]["values"] for side in ("test", "training", "synthetic") if table[side]["values"]}
        every = np.concatenate(list(values.values())) if values else np.zeros(1)
        edges = np.histogram_bin_edges(every, 16)
        for side, numbers in values.items():
            weights = np.full(len(numbers), 100 / len(numbers))
            label = f"{SIDE_NAMES[side]} ({len(numbers)})" if axes is panels[0] else None
            axes.hist(numbers, edges, weights=weights, histtype="step", color=COLOURS[side], linewidth=1.4, label=label)
        axes.set_xlabel(name, fontsize=8)
        axes.set_ylabel("% of images", fontsize=7)
    for axes in panels[len(tables) :]:
        axes.set_axis_off()
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=8)
    return figure


def _spectrum(found: dict[str, Any]) -> Figure:
    figure = Figure((7, 3.2), layout="constrained")
    axes = figure.subplots()
    frequency = found["frequency"]
    axes.fill_between(
        frequency,
        found["test"]["low"],
        found["test"]["high"],
        color=COLOURS["test"],
        alpha=0.2,
        label="held-out, 5 to 95 %",
    )
    for side, words in (("test", "held-out, median"), ("synthetic", "synthetic, median")):
        axes.plot(frequency, found[side]["median"], color=COLOURS[side], label=words)
    axes.set_xscale("log")
    axes.set_xlabel("frequency (cycles per voxel)")
    axes.set_ylabel("log10 power")
    axes.legend(frameon=False)
    return figure


def _embedding(found: dict[str, Any]) -> Figure:
    figure = Figure((4.4 * len(found), 4), layout="constrained")
    for axes, (name, one) in zip(np.atleast_1d(figure.subplots(1, len(found))), found.items(), strict=True):
        for number, (side, points) in enumerate(one["points"].items()):
            model = number - len(COLOURS) + 1  # other models come after the three sides
            colour = COLOURS.get(side) or OTHER_MODELS[model % len(OTHER_MODELS)]
            _points(axes, side, points, colour, "o" if side in COLOURS else MARKERS[model % len(MARKERS)])
        told = ", ".join(
            f"{side} {100 * share:.0f} %" for side, share in one["share_inside"].items() if side != "held-out"
        )
        axes.set_title(f"{name}\ninside the ellipse of the held-out: {told}", fontsize=7)
        axes.legend(frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=4)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel("first axis (no unit)")
        axes.set_ylabel("second axis (no unit)")
    return figure


def _points(axes: Axes, side: str, points: Sequence[Sequence[float]], colour: Any, marker: str) -> None:
    plane = np.asarray(points)
    axes.scatter(plane[:, 0], plane[:, 1], 9, [colour] * len(plane), marker=marker, label=side, alpha=0.7, linewidths=0)
    outline = fit_ellipse(plane).outline()
    axes.plot(outline[:, 0], outline[:, 1], color=colour, linewidth=1)


def _selection(selection: dict[str, Any]) -> Figure:
    figure = Figure((7, 3), layout="constrained")
    axes = figure.subplots()
    rows = sorted(selection["ranking"], key=lambda row: row["kimg"])
    kimg, average = [row["kimg"] for row in rows], [row["average"] for row in rows]
    axes.errorbar(kimg, average, [row["spread"] or 0 for row in rows], marker="o", capsize=3, label="snapshots")
    axes.axhline(selection["floor"]["average"], color="grey", linestyle=":", label="real floor")
    axes.set_xlabel("kimg")
    axes.set_ylabel("SWD x 1000 (lower is better)")
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
    for axes, name in ((top, "discriminator's terms"), (middle, "generator's terms"), (bottom, "timetable")):
        axes.set_ylabel(name, fontsize=8)
        axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    bottom.set_xlabel("training images seen (thousands)")
    return figure
