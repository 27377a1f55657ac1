"""Walks through the latent space along a measured attribute (Sun 2022, figure 5).

Random codes are drawn, their images measured, and ridge regression finds the direction in which an attribute grows.
Then each of some new codes is moved along it: its component there is replaced by a fixed value, all else is kept. Every
image on the way is measured again, since a direction is a claim and the measurement its test.

An attribute is what the modality measures, a ``component`` of the random images (their principal components: directions
that nobody named), or a column of a table. The direction of a column is learnt on codes of real images, and on the way
each image is encoded again and the column predicted from its code.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict

from ganatomy.checkpoint import Snapshot
from ganatomy.data.tables import read_features, read_measurements
from ganatomy.encoding import Coder
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image
from ganatomy.imaging.pictures import row_of
from ganatomy.machine import progress
from ganatomy.machine.durable import new_folder, write_json
from ganatomy.modalities import table as modalities
from ganatomy.modalities.contours import contoured
from ganatomy.modalities.modality import Modality
from ganatomy.sampling import decoded, latents

STRENGTHS = np.logspace(-1, 5, 13)
FOLDS = 5
FEWEST = 20  # images that show the attribute
COMPONENT, COMPONENTS, SMALL = "component", 4, 16  # principal components of images of at most 16 voxels an axis
REACH = 3.0  # of a walk, in standard deviations of a code's component
WALKS_FROM = 1_000_000  # numbers of the walks' codes: away from those that the direction is learnt on

Rows = NDArray[np.float64]
Measures = list[dict[str, float]]


class Column(NamedTuple):
    """A measurement of real images: tables of their codes and of the measurement, joined by a key."""

    features: Path
    table: Path
    key: str = "file"


def explore(
    snapshot: Snapshot,
    attribute: str,
    out: Path,
    n: int = 256,
    walks: int = 4,
    steps: int = 7,
    seed: int = 0,
    condition: dict[str, str] | None = None,
    device: str | None = None,
    column: Column | None = None,
) -> dict[str, Any]:
    """Find the direction of an attribute, walk along it, measure; write numbers, a picture and the direction.

    Args:
        attribute: of those that the modality measures, ``component 1`` to ``component 4``, or with `column` the name
            of a column; of a measure the beginning is enough.
        out: a new folder.
        n: images that the direction is learnt on.
        walks, steps: how many codes are moved, and in how many steps from -3 to 3 standard deviations.
        condition: facts of all images; None = the model's first.
        column: where to find an attribute that is not measured on images; the snapshot must have an encoder.

    Returns:
        What ``exploration.json`` holds.

    Raises:
        Refused: no such attribute or column, too few images that show it, no encoder where one is needed, or `out` is
            not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise Refused(f"{out} is not empty; give a new folder.")
    if n < FEWEST or walks < 1 or steps < 2:
        raise Refused(f"n={n}, walks={walks}, steps={steps}: give at least {FEWEST}, 1 and 2.")
    kind = modalities.named(snapshot.modality)()
    facts = condition or {}
    predicted = None if column is None else _Predicted(snapshot, attribute, column, device)
    codes = latents(snapshot, seed, range(n), None)
    random = _random(kind, decoded(snapshot, codes, [facts] * n, device), n)
    name = attribute if predicted else _named(attribute, random.measures)
    if predicted:
        direction, r2 = predicted.direction, predicted.r2
        for one, z in zip(random.measures, codes.numpy(), strict=True):
            one[name] = predicted(z)
    else:
        direction, r2 = _direction(codes.numpy().astype(np.float64), _column(random.measures, name), name)
    starts = latents(snapshot, seed, range(WALKS_FROM, WALKS_FROM + walks), None)
    at = np.linspace(-REACH, REACH, steps)
    moved = torch.stack([_moved(z, direction, t) for z in starts for t in at])
    made = list(decoded(snapshot, moved, [facts] * len(moved), device))
    images = [kind.denormalise(image) for image in made]
    found = [kind.measures(image) for image in images]
    for one, image in zip(found, made, strict=True):
        if predicted:
            one[name] = predicted(predicted.coder.code(image.pixels, image.facts))
        elif name.startswith(COMPONENT):
            one[name] = random.components(row_of(image.pixels, SMALL))[name]
    content = {
        "attribute": name,
        "images": n,
        "seed": seed,
        "steps": at.round(3).tolist(),
        "r2_of_the_direction": round(r2, 4),
        **_told(name, random.measures, found, walks, at),
        "values": _column(found, name).round(4).reshape(walks, steps).tolist(),
    }
    with new_folder(out) as folder:
        np.save(folder / "direction.npy", direction.astype(np.float32))
        write_json(folder / "exploration.json", content)
        _figure(kind, images, found, name, walks, steps).savefig(folder / "exploration.png", dpi=110)
    return content


class _Random(NamedTuple):
    """Random images measured, and their principal components: mean and directions (components, voxels), small."""

    measures: Measures
    mean: Rows
    directions: Rows

    def components(self, small: Rows) -> dict[str, float]:
        """Coordinates of an image, shrunk to a row, along the principal components, by name."""
        along = self.directions @ (small - self.mean)
        return {f"{COMPONENT} {i + 1}": float(value) for i, value in enumerate(along)}


def _random(kind: Modality, images: Iterator[Image], n: int) -> _Random:
    measures, small = [], []
    with progress.bar("measuring random images", n) as bar:
        for image in images:
            measures.append(kind.measures(kind.denormalise(image)))
            small.append(row_of(image.pixels, SMALL))
            bar.advance()
    found = PCA(COMPONENTS, svd_solver="full").fit(np.stack(small))
    random = _Random(measures, found.mean_, found.components_)
    for one, row in zip(measures, small, strict=True):
        one |= random.components(row)
    return random


class _Predicted:
    """A column of a table told from codes: the direction, R2 for patients not seen, and the value of any code."""

    def __init__(self, snapshot: Snapshot, name: str, column: Column, device: str | None) -> None:
        self.coder = Coder(snapshot, device)
        keys, patients, codes = read_features(column.features, column.key)
        if codes.shape[1] != snapshot.recipe.latent:
            raise Refused(
                f"{column.features} has codes of {codes.shape[1]} numbers, {snapshot.path} of {snapshot.recipe.latent};"
                " encode the images with this snapshot."
            )
        rows = read_measurements(column.table, column.key)
        if name not in next(iter(rows.values())):
            raise Refused(f"{column.table} has no column {name}; it has {', '.join(next(iter(rows.values())))}.")
        values = np.array([_number(rows.get(key, {}).get(name)) for key in keys])
        self.direction, self.r2 = _direction(codes, values, name, patients)
        seen = np.isfinite(values)
        self._model = RidgeCV(STRENGTHS).fit(codes[seen], values[seen])

    def __call__(self, z: NDArray[np.float32]) -> float:
        return float(self._model.predict(z[None].astype(np.float64))[0])


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _named(attribute: str, measured: Measures) -> str:
    """The full name of an attribute."""
    names = list(measured[0])
    wanted = attribute.replace("_", " ").lower()
    fitting = [name for name in names if name.lower().startswith(wanted)]
    if len(fitting) != 1:
        raise Refused(
            f"--attribute {attribute}: this modality measures {', '.join(names)}; give the beginning of one, or"
            " --features and --table for a column of a table."
        )
    return fitting[0]


def _column(measured: Measures, name: str) -> Rows:
    return np.array([one[name] for one in measured])


def _direction(codes: Rows, values: Rows, name: str, groups: list[str] | None = None) -> tuple[Rows, float]:
    """The unit direction in which the attribute grows, and R2 of predictions for codes that the fit has not seen.

    Codes of one group (a patient) stay on one side of a fold.
    """
    seen = np.isfinite(values)
    if seen.sum() < FEWEST or np.ptp(values[seen]) == 0:
        raise Refused(
            f"{int(seen.sum())} of {len(values)} images show {name}, or all show the same; nothing can be learnt."
        )
    x, y = codes[seen], values[seen]
    folds = KFold(FOLDS, shuffle=True, random_state=0) if groups is None else GroupKFold(FOLDS)
    who = None if groups is None else np.array(groups)[seen]
    predicted = cross_val_predict(RidgeCV(STRENGTHS), x, y, cv=folds, groups=who)
    weights = RidgeCV(STRENGTHS).fit(x, y).coef_
    r2 = 1 - float(((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    return weights / max(float(np.linalg.norm(weights)), 1e-12), r2


def _moved(z: torch.Tensor, direction: Rows, t: float) -> torch.Tensor:
    """The code with its component along the direction set to t."""
    along = torch.from_numpy(direction).to(z.dtype)
    return z + (t - z @ along) * along


def _told(name: str, random: Measures, found: Measures, walks: int, at: Rows) -> dict[str, Any]:
    """Monotony of the attribute, its change, and how much the other measures change, in deviations of random images.

    Monotony is the share of steps on which the attribute grows; leakage the change of another measure over the walk in
    its own deviations, as a share of the attribute's change in its own.
    """
    changes = {}
    for measure in found[0]:
        shown = _column(random, measure)
        spread = float(np.std(shown[np.isfinite(shown)])) if np.isfinite(shown).sum() > 1 else 0.0
        table = _column(found, measure).reshape(walks, len(at))
        slopes = [np.polyfit(at[ok], row[ok], 1)[0] for row in table if (ok := np.isfinite(row)).sum() >= 2]
        if slopes and spread > 0:
            changes[measure] = float(np.mean(slopes)) * 2 * REACH / spread
    table = _column(found, name).reshape(walks, len(at))
    grows = np.diff(table, axis=1)
    mine = changes.get(name, 0.0)
    return {
        "monotony": round(float((grows > 0).mean()), 4),
        "change_in_deviations": round(mine, 3),
        "leakage": {m: round(change / mine, 3) for m, change in changes.items() if m != name and mine},
    }


def _figure(kind: Modality, images: list[Image], found: Measures, name: str, walks: int, steps: int) -> Figure:
    """A line for each walk; under each image what was measured."""
    height, width = kind.flat(images[0]).shape
    wide = width / height
    figure = Figure((1.6 * steps * wide, 2 * walks), layout="constrained")
    axes = figure.subplots(walks, steps, squeeze=False)
    for place, image, measured in zip(axes.ravel(), images, found, strict=True):
        place.imshow(contoured(kind.flat(image), kind.masks(image), image.spacing))
        place.set_xlabel(f"{measured[name]:.4g}", fontsize=8)
        place.set_xticks([])
        place.set_yticks([])
    figure.suptitle(f"SYNTHETIC. {name}, from -{REACH:g} to {REACH:g} deviations along its direction", fontsize=9)
    return figure
