"""Comparison of anatomy, texture and values of real and synthetic images, without an extractor."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.evaluation.images.comparison import Comparison
from ganatomy.evaluation.images.image_set import ImageSet
from ganatomy.evaluation.label_measures import measure_labels
from ganatomy.evaluation.metrics import spectrum
from ganatomy.evaluation.metrics.artefacts import measure_artefacts
from ganatomy.evaluation.metrics.distributions import compare_distributions
from ganatomy.evaluation.metrics.moments import MOMENT_NAMES, compute_moments, compute_support_overlap
from ganatomy.evaluation.separations import find_separations
from ganatomy.evaluation.statistics import round_numbers
from ganatomy.machine import progress

ValueArray = NDArray[np.float64]


def measure_images(comparison: Comparison, seed: int = 0) -> dict[str, Any]:
    """Measure anatomy, moments, spectral exponents and generator artefacts, and how well each separates the sides.

    The numbers of each image are kept for the figures.
    """
    groups = {"test": comparison.test, "synthetic": comparison.matched_fakes, "training": comparison.floor}
    found = {name: _measure_set(comparison, images, name) for name, images in groups.items()}
    measures = {
        name: _summarise_distributions({side: _column(rows["measures"], name) for side, rows in found.items()})
        for name in found["test"]["measures"][0]
    }
    values = {
        name: _summarise_distributions({side: rows["moments"][:, i] for side, rows in found.items()})
        for i, name in enumerate(MOMENT_NAMES)
    }
    beta = _summarise_distributions({side: _finite(rows["beta"]) for side, rows in found.items()})
    artefacts = {
        name: _summarise_distributions({side: _column(rows["artefacts"], name) for side, rows in found.items()})
        for name in found["test"]["artefacts"][0]
    }
    held_out, synthetic = (dict(_list_columns(found[side])) for side in ("test", "synthetic"))
    separations = find_separations(held_out, synthetic, comparison.test.groups(), seed)
    return {
        "measures": measures,
        "moments": values,
        "artefacts": artefacts,
        "separations": [round_numbers(asdict(one), 5) for one in separations],
        "spectrum": {
            "beta": beta,
            "frequency": _frequencies(comparison.test.shape).round(5).tolist(),
            **{side: _band(rows["power"]) for side, rows in found.items()},
            "definition": "radial power of up to 4 Hann-windowed regions inside the body per image; P ~ 1/f^beta fitted"
            f" from {spectrum.FIT_BAND[0]:g} cycles per region to {spectrum.FIT_BAND[1]:g} cycles per voxel",
        },
        "constant_images": len(comparison.fakes.constant_images),
    }


def _measure_set(comparison: Comparison, images: ImageSet, what: str) -> dict[str, Any]:
    measures, artefacts, power, beta = [], [], [], []
    with progress.bar(f"measuring {what}", len(images)) as bar:
        for i in range(len(images)):
            shown = comparison.make_display_image(images, i)
            labels = measure_labels(comparison, images, i, shown)
            measures.append({**comparison.modality.measure_image(shown), **labels})
            artefacts.append(measure_artefacts(images[i]))
            texture = spectrum.measure_spectrum(shown.pixels, comparison.modality.segment_foreground(shown))
            if texture is not None:
                power.append(texture[0])
            beta.append(np.nan if texture is None else texture[1])
            bar.advance()
    return {
        "measures": measures,
        "artefacts": artefacts,
        "power": power,
        "beta": np.asarray(beta),
        "moments": compute_moments(images),
    }


def _list_columns(rows: dict[str, Any]) -> Iterator[tuple[str, ValueArray]]:
    """List every number by name, with its values for all images."""
    for table in ("measures", "artefacts"):
        for name in rows[table][0]:
            yield name, np.array([row[name] for row in rows[table]], dtype=np.float64)
    for i, name in enumerate(MOMENT_NAMES):
        yield f"{name} of values", rows["moments"][:, i]
    yield "beta", rows["beta"]


def _column(rows: list[dict[str, float]], name: str) -> ValueArray:
    return _finite(np.array([row[name] for row in rows]))


def _finite(values: ValueArray) -> ValueArray:
    return values[np.isfinite(values)]


def _summarise_distributions(values_by_side: dict[str, ValueArray]) -> dict[str, Any]:
    """Summarise each side by median and quartiles, and compare both other sides with the held-out images."""
    told: dict[str, Any] = {
        side: {
            "median": _round_value(np.median(v)),
            "quartiles": [_round_value(q) for q in np.quantile(v, (0.25, 0.75))],
            "n": len(v),
            "values": [_round_value(x) for x in v],
        }
        if len(v)
        else {"median": None, "quartiles": None, "n": 0, "values": []}
        for side, v in values_by_side.items()
    }
    for side in ("synthetic", "training"):
        if len(values_by_side["test"]) and len(values_by_side[side]):
            told[f"{side}_against_test"] = {
                **{
                    k: _round_value(v)
                    for k, v in compare_distributions(values_by_side["test"], values_by_side[side]).items()
                },
                "overlap": _round_value(compute_support_overlap(values_by_side["test"], values_by_side[side])),
            }
    return told


def _band(power: list[ValueArray]) -> dict[str, list[float]] | None:
    """Compute the median and the 5 to 95 % band of log10 power by frequency."""
    if not power:
        return None
    logs = np.log10(np.stack(power) + 1e-30)
    names = {"low": 0.05, "median": 0.5, "high": 0.95}
    return {name: np.quantile(logs, q, axis=0).round(4).tolist() for name, q in names.items()}


def _frequencies(shape: tuple[int, ...]) -> ValueArray:
    size = spectrum.compute_region_size(shape)
    return spectrum.compute_radial_power(np.zeros((size,) * len(shape)))[0]


def _round_value(value: Any) -> float:
    return float(f"{float(value):.5g}")
