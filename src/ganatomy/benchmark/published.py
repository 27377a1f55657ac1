"""Figures of the HA-GAN paper (Sun 2022) by recipe; they come from other data and are shown for orientation only.

They are tables 1 and 2 (COPDGene: thorax CT; GSP: brain MRI) with five folds, the ablation, and memory and parameters.
Frechet distance and MMD are computed with features of Med3D's ResNet-50. The row of HA-GAN is recalled from the
published version and was compared with the other cells.
"""

from typing import NamedTuple

PUBLISHED_METRICS = ("Frechet distance", "MMD", "inception score")


class PublishedResult(NamedTuple):
    """A published value with its standard deviation over folds."""

    value: float
    deviation: float


def _row(*pairs: tuple[float, float]) -> dict[str, PublishedResult]:
    return {metric: PublishedResult(*pair) for metric, pair in zip(PUBLISHED_METRICS, pairs, strict=False)}


QUALITY: dict[str, dict[str, dict[str, PublishedResult]]] = {  # recipe -> data -> metric
    "wgan": {
        "CT 128": _row((0.012, 0.001), (0.092, 0.059), (1.99, 0.07)),
        "MRI 128": _row((0.006, 0.002), (0.406, 0.143), (1.37, 0.02)),
    },
    "vae-gan": {
        "CT 128": _row((0.139, 0.002), (1.065, 0.008), (1.19, 0.03)),
        "MRI 128": _row((0.075, 0.004), (0.667, 0.026), (1.03, 0.01)),
    },
    "alpha-gan": {
        "CT 128": _row((0.010, 0.004), (0.089, 0.056), (1.89, 0.04)),
        "MRI 128": _row((0.010, 0.007), (0.606, 0.204), (1.39, 0.03)),
    },
    "pggan": {
        "CT 128": _row((0.015, 0.007), (0.150, 0.072), (1.75, 0.11)),
        "MRI 128": _row((0.017, 0.008), (0.818, 0.217), (1.25, 0.10)),
    },
    "stylegan2": {
        "CT 128": _row((0.011, 0.001), (0.071, 0.002), (2.03, 0.02)),
        "MRI 128": _row((0.014, 0.001), (0.369, 0.175), (1.26, 0.01)),
    },
    "cce-gan": {
        "CT 128": _row((0.010, 0.004), (0.087, 0.039), (1.97, 0.05)),
        "MRI 128": _row((0.005, 0.004), (0.301, 0.147), (1.38, 0.02)),
    },
    "hagan-2022": {
        "CT 128": _row((0.005, 0.003), (0.038, 0.020), (2.04, 0.15)),
        "MRI 128": _row((0.002, 0.001), (0.129, 0.026), (1.41, 0.03)),
        "CT 256": _row((0.008, 0.003), (0.022, 0.010)),
    },
    "hagan-no-low": {"CT 256": _row((0.030, 0.018), (0.071, 0.039))},
    "hagan-no-encoder": {"CT 256": _row((0.010, 0.003), (0.034, 0.006))},
    "hagan-deterministic": {"CT 256": _row((0.014, 0.003), (0.035, 0.007))},
}

ITERATIONS_PER_SECOND = {  # table of training speed; the assignment of names to values is partly our reading
    "wgan": 2.0,
    "vae-gan": 1.0,
    "alpha-gan": 1.3,
    "pggan": 1.6,
    "cce-gan": 0.35,
    "stylegan2": 0.23,
}

MEMORY_MB = {32: 2573, 64: 2665, 128: 3167, 256: 5961}  # memory of HA-GAN by resolution
PARAMETERS_MILLION = {32: 74.7, 64: 78.7, 128: 79.6, 256: 79.7}  # parameters of HA-GAN with its encoders, by resolution
