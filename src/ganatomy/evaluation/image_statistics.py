"""What needs no extractor: anatomy, texture, values and likeness of pairs, each real against synthetic."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.evaluation.images.comparison import Sides
from ganatomy.evaluation.images.sets import Images
from ganatomy.evaluation.metrics import ms_ssim, spectrum
from ganatomy.evaluation.metrics.distributions import compared
from ganatomy.evaluation.metrics.moments import NAMES, moments, support_overlap
from ganatomy.evaluation.statistics import Missing, Score, jackknife
from ganatomy.machine import progress

PAIRS = (100, 500)  # at least and at most; in between as many as have so many voxels together
VOXELS = 2**26
Rows = NDArray[np.float64]


def described(sides: Sides) -> dict[str, Any]:
    """Tables of measures, moments and exponents; the numbers of each image are kept for the figures."""
    groups = {"test": sides.test, "synthetic": sides.fake, "training": sides.floor}
    found = {name: _of_images(sides, images, name) for name, images in groups.items()}
    measures = {
        name: _distributions({side: _column(rows["measures"], name) for side, rows in found.items()})
        for name in found["test"]["measures"][0]
    }
    values = {
        name: _distributions({side: rows["moments"][:, i] for side, rows in found.items()})
        for i, name in enumerate(NAMES)
    }
    beta = _distributions({side: _finite(rows["beta"]) for side, rows in found.items()})
    return {
        "measures": measures,
        "moments": values,
        "spectrum": {
            "beta": beta,
            "frequency": _frequencies(sides.test.shape).round(5).tolist(),
            **{side: _band(rows["power"]) for side, rows in found.items()},
            "definition": "radial power of up to 4 Hann-windowed regions inside the body an image; P ~ 1/f^beta fitted"
            f" from {spectrum.BAND[0]:g} cycles a region to {spectrum.BAND[1]:g} cycles a voxel",
        },
        "constant_images": len(sides.fakes.constant),
    }


def _of_images(sides: Sides, images: Images, what: str) -> dict[str, Any]:
    measures, power, beta = [], [], []
    with progress.bar(f"measuring {what}", len(images)) as bar:
        for i in range(len(images)):
            shown = sides.shown(images, i)
            measures.append(sides.kind.measures(shown))
            texture = spectrum.of_image(shown.pixels, sides.kind.foreground(shown))
            if texture is not None:
                power.append(texture[0])
                beta.append(texture[1])
            bar.advance()
    return {"measures": measures, "power": power, "beta": np.asarray(beta), "moments": moments(images)}


def _column(rows: list[dict[str, float]], name: str) -> Rows:
    return _finite(np.array([row[name] for row in rows]))


def _finite(values: Rows) -> Rows:
    return values[np.isfinite(values)]


def _distributions(sides: dict[str, Rows]) -> dict[str, Any]:
    """Medians with quartiles of each side, and both comparisons with the held-out images."""
    told: dict[str, Any] = {
        side: {
            "median": _rounded(np.median(v)),
            "quartiles": [_rounded(q) for q in np.quantile(v, (0.25, 0.75))],
            "n": len(v),
            "values": [_rounded(x) for x in v],
        }
        if len(v)
        else {"median": None, "quartiles": None, "n": 0, "values": []}
        for side, v in sides.items()
    }
    for side in ("synthetic", "training"):
        if len(sides["test"]) and len(sides[side]):
            told[f"{side}_against_test"] = {
                **{k: _rounded(v) for k, v in compared(sides["test"], sides[side]).items()},
                "overlap": _rounded(support_overlap(sides["test"], sides[side])),
            }
    return told


def _band(power: list[Rows]) -> dict[str, list[float]] | None:
    """Median and 5 to 95 % band of log10 power by frequency."""
    if not power:
        return None
    logs = np.log10(np.stack(power) + 1e-30)
    names = {"low": 0.05, "median": 0.5, "high": 0.95}
    return {name: np.quantile(logs, q, axis=0).round(4).tolist() for name, q in names.items()}


def _frequencies(shape: tuple[int, ...]) -> Rows:
    size = spectrum.region_size(shape)
    return spectrum.radial(np.zeros((size,) * len(shape)))[0]


def _rounded(value: Any) -> float:
    return float(f"{float(value):.5g}")


# ----------------------------------------------------------------------------------------------------------------------
# Likeness of pairs.


def likeness(sides: Sides, seed: int = 0) -> Score | Missing:
    """MS-SSIM of pairs of synthetic images; beside it, instead of a floor, that of pairs of held-out ones."""
    n, shape = len(sides.test), sides.test.shape
    if min(shape) < ms_ssim.WINDOW:
        return Missing(metric="MS-SSIM of pairs", why=f"needs {ms_ssim.WINDOW} voxels an axis; the images have {shape}")
    drawn = ms_ssim.pairs(n, int(np.clip(VOXELS // np.prod(shape), *PAIRS)), seed)
    fake, test = (_pairs(images, drawn, what) for images, what in ((sides.fake, "synthetic"), (sides.test, "held-out")))
    both = np.asarray(drawn)

    def mean(_: Any, kept: NDArray[np.intp]) -> float:
        return float(fake[np.isin(both, kept).all(1)].mean())

    low, high = jackknife(mean, ["all"], [str(i) for i in range(n)]) if n > 8 else (None, None)
    return Score(
        metric="MS-SSIM of pairs",
        value=float(fake.mean()),
        floor=float(test.mean()),
        low=low,
        high=high,
        images=n,
        definition=f"{len(drawn)} pairs, {ms_ssim.scales(shape)} of 5 scales (Wang 2003; Odena 2017); higher than the"
        " held-out images' is less variety",
    )


def _pairs(images: Images, drawn: list[tuple[int, int]], what: str) -> Rows:
    found = []
    with progress.bar(f"pairs of {what}", len(drawn)) as bar:
        for i, j in drawn:
            found.append(ms_ssim.ms_ssim(*((images[k] + 1) / np.float32(2) for k in (i, j))))
            bar.advance()
    return np.asarray(found)
