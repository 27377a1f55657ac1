"""Figures of a benchmark: random samples of each model, real images, and a plane of their features."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ganatomy.benchmark.plan import BenchmarkPlan, get_row_folder
from ganatomy.benchmark.row import FEATURES_FILE, SAMPLES_FOLDER
from ganatomy.data.samples import read_samples
from ganatomy.data.store import Store, dequantise_pixels, open_store
from ganatomy.evaluation.report.embedding import compute_classical_mds, fit_ellipse
from ganatomy.imaging.caption import add_caption
from ganatomy.imaging.image import Image
from ganatomy.imaging.marking import mark_collected, mark_synthetic
from ganatomy.imaging.pictures import GreyPicture, make_grid, save_png
from ganatomy.modalities import table as modalities

SHOWN_SAMPLES = 4  # per model
MODEL_COLOURS = (
    "#d1495b",
    "#edae49",
    "#00798c",
    "#30638e",
    "#8f2d56",
    "#66a182",
    "#6a4c93",
    "#bc6c25",
    "#1d3557",
    "#e07a5f",
    "#588157",
    "#9d4edd",
    "#ff6b6b",
)


def draw_figures(plan: BenchmarkPlan, out: Path, rows: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Draw the figures of a benchmark; returns their titles and captions by file name."""
    done = [(row["recipe"], row["seed"]) for row in rows if "failed" not in row and row["seed"] == plan.seeds[0]]
    if not done:
        return {}
    found = {}
    store = open_store(Path(plan.store))
    reals = add_caption(_reals(plan, store), store.shows_patients)
    save_png(reals, out / "reals.png", mark_collected("Training images.", store.shows_patients))
    found["reals.png"] = ("Training images", f"{SHOWN_SAMPLES} training images.")
    _save_samples(out, done)
    words = f"Each row shows {SHOWN_SAMPLES} images of one model, in the order {', '.join(name for name, _ in done)}."
    found["samples.png"] = ("Random samples", words)
    figure, told = _plane(out, done)
    figure.savefig(out / "plane.png", dpi=110, metadata={"Software": None})
    found["plane.png"] = ("Features in a plane", told)
    return found


def _reals(plan: BenchmarkPlan, store: Store) -> np.ndarray[Any, Any]:
    """Draw real images in a separate picture, since they must not be shared like synthetic images."""
    kind = modalities.get_modality(store.manifest.modality)()
    level = store.find_level(plan.shape)
    cases = store.split("train")[:SHOWN_SAMPLES]
    shown = [
        kind.denormalise(Image(dequantise_pixels(store.read([c["row"]], level))[0], None, c["facts"])) for c in cases
    ]
    return make_grid([kind.render_image(image) for image in shown], SHOWN_SAMPLES)


def _save_samples(out: Path, models: list[tuple[str, int]]) -> None:
    shown: list[GreyPicture] = []
    records: list[dict[str, Any]] = []
    for name, seed in models:
        rows, images = read_samples(get_row_folder(out, name, seed) / SAMPLES_FOLDER)
        kind = modalities.get_modality(rows[0]["modality"])()
        for image, record in itertools.islice(images, SHOWN_SAMPLES):
            shown.append(kind.render_image(kind.denormalise(image.copy_with(spacing=None))))
            records.append(record)
    save_png(make_grid(shown, SHOWN_SAMPLES), out / "samples.png", mark_synthetic(records))


def _plane(out: Path, models: list[tuple[str, int]]) -> tuple[Figure, str]:
    """Plot the features of all models and held-out images in a plane by classical scaling; returns a caption, too."""
    sides: dict[str, np.ndarray[Any, Any]] = {}
    for name, seed in models:
        with np.load(get_row_folder(out, name, seed) / FEATURES_FILE) as rows:
            sides.setdefault("held-out", rows["test"])
            sides[name] = rows["fake"]
    plane = compute_classical_mds(np.concatenate(list(sides.values())))
    ends = np.cumsum([len(rows) for rows in sides.values()])[:-1]
    figure = Figure((8, 6), layout="constrained")
    axes = figure.subplots()
    inside = []
    around = None
    for (name, _), points, colour in zip(
        sides.items(), np.split(plane, ends), ("#1f77b4", *MODEL_COLOURS * 2), strict=False
    ):
        axes.scatter(points[:, 0], points[:, 1], s=6, color=colour, label=name, alpha=0.7)
        outline = fit_ellipse(points)
        axes.plot(*outline.outline().T, color=colour, linewidth=1)
        around = around or outline
        inside.append(f"{name} {100 * around.compute_share_inside(points):.0f} %")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    words = "Classical scaling of the features. Each ellipse contains 95 % of a fitted Gaussian. Share of images within"
    return (
        figure,
        f"{words} the ellipse of the held-out images: {', '.join(inside)}. The figure is only an illustration.",
    )
