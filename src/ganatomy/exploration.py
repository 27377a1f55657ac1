"""Walks through the latent space along a measured attribute (Sun 2022, figure 5).

Random codes are drawn, their images measured, and ridge regression finds the direction in which an attribute grows.
Then each of some new codes is moved along it: its component there is replaced by a fixed value, all else is kept. Every
image on the way is measured again, since a direction is a claim and the measurement its test.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict

from ganatomy import progress
from ganatomy.checkpoint import Snapshot
from ganatomy.durable import new_folder, write_json
from ganatomy.image import Image
from ganatomy.modalities import table as modalities
from ganatomy.modalities.contours import contoured
from ganatomy.modalities.modality import Modality
from ganatomy.refused import Refused
from ganatomy.sampling import decoded, latents

STRENGTHS = np.logspace(-1, 5, 13)
FOLDS = 5
FEWEST = 20  # images that show the attribute
REACH = 3.0  # of a walk, in standard deviations of a code's component
WALKS_FROM = 1_000_000  # numbers of the walks' codes: away from those that the direction is learnt on

Rows = NDArray[np.float64]
Measures = list[dict[str, float]]


def explore(
    snapshot: Snapshot, attribute: str, out: Path, n: int = 256, walks: int = 4, steps: int = 7, seed: int = 0,
    condition: dict[str, str] | None = None, device: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Find the direction of an attribute, walk along it, measure; write numbers, a picture and the direction.

    Args:
        attribute: of those that the modality measures; the beginning of its name is enough.
        out: a new folder.
        n: images that the direction is learnt on.
        walks, steps: how many codes are moved, and in how many steps from -3 to 3 standard deviations.
        condition: facts of all images; None = the model's first.

    Returns:
        What ``exploration.json`` holds.

    Raises:
        Refused: no such attribute, too few images that show it, or `out` is not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise Refused(f"{out} is not empty; give a new folder.")
    if n < FEWEST or walks < 1 or steps < 2:
        raise Refused(f"n={n}, walks={walks}, steps={steps}: give at least {FEWEST}, 1 and 2.")
    kind = modalities.named(snapshot.modality)()
    facts = condition or {}
    codes = latents(snapshot, seed, range(n), None)
    measured = _measured(kind, decoded(snapshot, codes, [facts] * n, device), n, "measuring random images")
    name = _named(attribute, measured)
    direction, r2 = _direction(codes.numpy().astype(np.float64), _column(measured, name), name)
    starts = latents(snapshot, seed, range(WALKS_FROM, WALKS_FROM + walks), None)
    at = np.linspace(-REACH, REACH, steps)
    moved = torch.stack([_moved(z, direction, t) for z in starts for t in at])
    images = [kind.denormalise(image) for image in decoded(snapshot, moved, [facts] * len(moved), device)]
    found = [kind.measures(image) for image in images]
    content = {
        "attribute": name, "images": n, "seed": seed, "steps": at.round(3).tolist(),
        "r2_of_the_direction": round(r2, 4),
        **_told(name, measured, found, walks, at),
        "values": _column(found, name).round(4).reshape(walks, steps).tolist(),
    }  # fmt: skip
    with new_folder(out) as folder:
        np.save(folder / "direction.npy", direction.astype(np.float32))
        write_json(folder / "exploration.json", content)
        _figure(kind, images, found, name, walks, steps).savefig(folder / "exploration.png", dpi=110)
    return content


def _measured(kind: Modality, images: Any, n: int, what: str) -> Measures:
    found = []
    with progress.bar(what, n) as bar:
        for image in images:
            found.append(kind.measures(kind.denormalise(image)))
            bar.advance()
    return found


def _named(attribute: str, measured: Measures) -> str:
    """The full name of an attribute."""
    names = list(measured[0])
    wanted = attribute.replace("_", " ").lower()
    fitting = [name for name in names if name.lower().startswith(wanted)]
    if len(fitting) != 1:
        raise Refused(f"--attribute {attribute}: this modality measures {', '.join(names)}; give the beginning of one.")
    return fitting[0]


def _column(measured: Measures, name: str) -> Rows:
    return np.array([one[name] for one in measured])


def _direction(codes: Rows, values: Rows, name: str) -> tuple[Rows, float]:
    """The unit direction in which the attribute grows, and R2 of predictions for codes that the fit has not seen."""
    seen = np.isfinite(values)
    if seen.sum() < FEWEST or np.ptp(values[seen]) == 0:
        raise Refused(
            f"{int(seen.sum())} of {len(values)} images show {name}, or all show the same; nothing can be learnt."
        )
    x, y = codes[seen], values[seen]
    folds = KFold(FOLDS, shuffle=True, random_state=0)
    predicted = cross_val_predict(RidgeCV(STRENGTHS), x, y, cv=folds)
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
