"""Walks through the latent space along the direction of a measured attribute (Sun 2022, figure 5).

Random codes are drawn, their images are measured, and ridge regression finds the direction in which an attribute
increases. New codes are then moved along it: their component in this direction is replaced by a fixed value, and the
rest is kept. Every image of a walk is measured, to test whether the attribute really changes.

An attribute is a measure of the modality, a principal ``component`` of the random images, or a column of a table. The
direction of a column is learnt from the codes of real images; during the walk each image is encoded again and the
column is predicted from its code.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV

from ganatomy.checkpoint import Snapshot
from ganatomy.data.tables import read_features, read_measurements
from ganatomy.directions import (
    COMPONENT_IMAGE_SIZE,
    COMPONENT_PREFIX,
    DIRECTION_RIDGE_ALPHAS,
    MIN_MEASURED_IMAGES,
    WALK_REACH,
    FloatArray,
    ImageMeasures,
    find_direction,
    get_values,
    measure_random_images,
    move_code,
)
from ganatomy.encoding import Autoencoder
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image
from ganatomy.imaging.marking import mark_synthetic
from ganatomy.imaging.pictures import make_png_fields, shrink_to_row
from ganatomy.machine.durable import new_folder, write_json
from ganatomy.modalities import table as modalities
from ganatomy.modalities.contours import draw_contours
from ganatomy.modalities.modality import Modality
from ganatomy.sampling import decode_codes, draw_latents

FIRST_WALK_NUMBER = 1_000_000  # walks use other sample numbers than the images from which the direction is learnt


class TableColumn(NamedTuple):
    """A measurement of real images, given by a table of their codes and a table of values that share a key."""

    features: Path
    table: Path
    key: str = "file"


def explore_attribute(
    snapshot: Snapshot,
    attribute: str,
    out: Path,
    n: int = 256,
    walks: int = 4,
    steps: int = 7,
    seed: int = 0,
    condition: dict[str, str] | None = None,
    device: str | None = None,
    column: TableColumn | None = None,
) -> dict[str, Any]:
    """Find the direction of an attribute, move codes along it, and measure the images; write results and a picture.

    Args:
        snapshot: the model.
        attribute: a measure of the modality (its first letters suffice), ``component 1`` to ``component 4``, or the
            name of a column if `column` is given.
        out: a new folder.
        n: number of images from which the direction is learnt.
        walks: number of codes that are moved.
        steps: number of steps per walk, from -3 to 3 standard deviations.
        condition: facts of all images; None = the first values of the model.
        column: tables for an attribute that is not measured on images; the snapshot must then have an encoder.

    Returns:
        The content of ``exploration.json``.

    Raises:
        Refused: the attribute or column does not exist, too few images have a value of it, a required encoder is
            missing, or `out` is not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise Refused(f"{out} is not empty; give a new folder.")
    if n < MIN_MEASURED_IMAGES or walks < 1 or steps < 2:
        raise Refused(f"n={n}, walks={walks}, steps={steps}: give at least {MIN_MEASURED_IMAGES}, 1 and 2.")
    kind = modalities.get_modality(snapshot.modality)()
    facts = condition or {}
    predicted = None if column is None else _ColumnPredictor(snapshot, attribute, column, device)
    codes = draw_latents(snapshot, seed, range(n), None)
    random = measure_random_images(kind, decode_codes(snapshot, codes, [facts] * n, device), n)
    name = attribute if predicted else _match_attribute(attribute, random.measures)
    if predicted:
        direction, r2 = predicted.direction, predicted.r2
        for one, z in zip(random.measures, codes.numpy(), strict=True):
            one[name] = predicted(z)
    else:
        direction, r2 = find_direction(codes.numpy().astype(np.float64), get_values(random.measures, name), name)
    starts = draw_latents(snapshot, seed, range(FIRST_WALK_NUMBER, FIRST_WALK_NUMBER + walks), None)
    at = np.linspace(-WALK_REACH, WALK_REACH, steps)
    moved = torch.stack([move_code(z, direction, t) for z in starts for t in at])
    made = list(decode_codes(snapshot, moved, [facts] * len(moved), device))
    images = [kind.denormalise(image) for image in made]
    found = [kind.measure_image(image) for image in images]
    for one, image in zip(found, made, strict=True):
        if predicted:
            one[name] = predicted(predicted.autoencoder.encode(image.pixels, image.facts))
        elif name.startswith(COMPONENT_PREFIX):
            one[name] = random.compute_components(shrink_to_row(image.pixels, COMPONENT_IMAGE_SIZE))[name]
    content = {
        "attribute": name,
        "images": n,
        "seed": seed,
        "steps": at.round(3).tolist(),
        "r2_of_the_direction": round(r2, 4),
        **_summarise_walks(name, random.measures, found, walks, at),
        "values": get_values(found, name).round(4).reshape(walks, steps).tolist(),
    }
    with new_folder(out) as folder:
        np.save(folder / "direction.npy", direction.astype(np.float32))
        write_json(folder / "exploration.json", content)
        made_by = {"generator": snapshot.recipe.name, "snapshot_sha256": snapshot.digest, "seed": seed}
        fields = make_png_fields(mark_synthetic(made_by))
        figure = _figure(kind, images, found, name, walks, steps)
        figure.savefig(folder / "exploration.png", dpi=110, pil_kwargs={"pnginfo": fields})
    return content


class _ColumnPredictor:
    """Predicts a column of a table from codes; has its direction and the R2 for patients outside the fit."""

    def __init__(self, snapshot: Snapshot, name: str, column: TableColumn, device: str | None) -> None:
        self.autoencoder = Autoencoder(snapshot, device)
        keys, patients, codes = read_features(column.features, column.key)
        if codes.shape[1] != snapshot.recipe.latent:
            raise Refused(
                f"{column.features} has codes of {codes.shape[1]} numbers, {snapshot.path} of {snapshot.recipe.latent};"
                " encode the images with this snapshot."
            )
        rows = read_measurements(column.table, column.key)
        if name not in next(iter(rows.values())):
            raise Refused(
                f"{column.table} has no column {name}; its columns are {', '.join(next(iter(rows.values())))}."
            )
        values = np.array([_number(rows.get(key, {}).get(name)) for key in keys])
        self.direction, self.r2 = find_direction(codes, values, name, patients)
        seen = np.isfinite(values)
        self._model = RidgeCV(DIRECTION_RIDGE_ALPHAS).fit(codes[seen], values[seen])

    def __call__(self, z: NDArray[np.float32]) -> float:
        return float(self._model.predict(z[None].astype(np.float64))[0])


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _match_attribute(attribute: str, measures: ImageMeasures) -> str:
    """Find the full name of an attribute."""
    names = list(measures[0])
    wanted = attribute.replace("_", " ").lower()
    fitting = [name for name in names if name.lower().startswith(wanted)]
    if len(fitting) != 1:
        raise Refused(
            f"--attribute {attribute}: this modality measures {', '.join(names)}; give one of these (the first letters"
            " suffice), or"
            " --features and --table for a column of a table."
        )
    return fitting[0]


def _summarise_walks(
    name: str, random_measures: ImageMeasures, walk_measures: ImageMeasures, walks: int, positions: FloatArray
) -> dict[str, Any]:
    """Compute monotony and change of the attribute, and the leakage to other measures.

    Monotony is the share of steps on which the attribute grows. Changes over a walk are given in standard deviations
    over random images. Leakage is the change of another measure divided by that of the attribute.
    """
    changes = {}
    for measure in walk_measures[0]:
        shown = get_values(random_measures, measure)
        spread = float(np.std(shown[np.isfinite(shown)])) if np.isfinite(shown).sum() > 1 else 0.0
        table = get_values(walk_measures, measure).reshape(walks, len(positions))
        slopes = [np.polyfit(positions[ok], row[ok], 1)[0] for row in table if (ok := np.isfinite(row)).sum() >= 2]
        if slopes and spread > 0:
            changes[measure] = float(np.mean(slopes)) * 2 * WALK_REACH / spread
    table = get_values(walk_measures, name).reshape(walks, len(positions))
    grows = np.diff(table, axis=1)
    mine = changes.get(name, 0.0)
    return {
        "monotony": round(float((grows > 0).mean()), 4),
        "change_in_deviations": round(mine, 3),
        "leakage": {m: round(change / mine, 3) for m, change in changes.items() if m != name and mine},
    }


def _figure(
    modality: Modality, images: list[Image], walk_measures: ImageMeasures, name: str, walks: int, steps: int
) -> Figure:
    """Draw one row of images for each walk, with the measured value below each image."""
    height, width = modality.render_image(images[0]).shape
    wide = width / height
    figure = Figure((1.6 * steps * wide, 2 * walks), layout="constrained")
    axes = figure.subplots(walks, steps, squeeze=False)
    for place, image, measured in zip(axes.ravel(), images, walk_measures, strict=True):
        place.imshow(draw_contours(modality.render_image(image), modality.segment_structures(image), image.spacing))
        place.set_xlabel(f"{measured[name]:.4g}", fontsize=8)
        place.set_xticks([])
        place.set_yticks([])
    figure.suptitle(
        f"SYNTHETIC. {name}, from -{WALK_REACH:g} to {WALK_REACH:g} deviations along its direction", fontsize=9
    )
    return figure
