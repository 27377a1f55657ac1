"""The breast anatomy of one phantom patient, shared by her four views.

The distributions follow Yaffe 2009 (thickness, volumetric density), Rodriguez-Ruiz 2017 (outlines) and VICTRE (Graff
2016).
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ganatomy.phantoms.fields import Field, draw_power_law_field

DENSITY_CUTS = (4.5, 7.5, 15.5)  # volumetric density in percent between BI-RADS A, B, C and D (Volpara's grades)
COARSE_VOXELS = 40  # per axis of the three-dimensional distribution of glandular tissue that both views share


@dataclass(frozen=True)
class Lesion:
    """A mass or a cluster of calcifications at a position in the breast.

    Args:
        kind: ``mass`` or ``calcifications``.
        position: relative position (anterior, lateral, cranial): 0 to 1 from the chest wall to the nipple, -1 to 1 for
            the other axes.
        radius_mm: radius of the mass or the cluster.
        count: number of calcifications in the cluster, 1 for a mass.
    """

    kind: str
    position: tuple[float, float, float]
    radius_mm: float
    count: int


@dataclass(frozen=True)
class Breast:
    """One breast, shared by its two views; lengths are in millimetres.

    Args:
        laterality: ``L`` or ``R``.
        depth: distance from the chest wall to the nipple.
        half_height: half the extent along the chest wall.
        thickness: thickness of the compressed breast.
        roundness, fullness: exponents n and m of the outline x = a (1 - |t|^m)^(1/n).
        density: volumetric density, the percentage of the breast volume that is fibroglandular.
        coarse_gland: (anterior, lateral, cranial) distribution of glandular tissue with unit variance, projected by
            both views.
        strands: weight of the strands in the glandular tissue, 0.5 to 1.
        beta: exponent of the fine texture.
        pectoral_angle: angle between the edge of the muscle and the vertical in MLO, in degrees.
        pectoral_reach: lower end of the muscle as a share of the distance from the top to the nipple's level.
        mlo_angle: angle of the MLO projection from the cranio-caudal one, in degrees.
        lesions: masses and clusters of calcifications, shown by both views.
    """

    laterality: str
    depth: float
    half_height: float
    thickness: float
    roundness: float
    fullness: float
    density: float
    strands: float
    beta: float
    pectoral_angle: float
    pectoral_reach: float
    mlo_angle: float
    coarse_gland: Field
    lesions: tuple[Lesion, ...]

    @property
    def birads(self) -> str:
        """BI-RADS density class A to D by volumetric density."""
        return "ABCD"[sum(self.density >= cut for cut in DENSITY_CUTS)]

    def project_gland(self, view: str) -> Field:
        """Project the coarse glandular tissue to (vertical, anterior) of a view: the mean along the x-rays."""
        volume = self.coarse_gland
        if view == "MLO":
            volume = ndimage.rotate(volume, self.mlo_angle, axes=(1, 2), reshape=False, order=1, mode="grid-wrap")
        flat = volume.mean(2).T
        return ((flat - flat.mean()) / flat.std()).astype(np.float32)

    def project_lesion(self, lesion: Lesion, view: str) -> tuple[float, float]:
        """Project a lesion to its relative position (vertical, anterior) in a view; vertical -1 is the upper end."""
        anterior, lateral, cranial = lesion.position
        angle = np.deg2rad(self.mlo_angle)
        upward = lateral if view == "CC" else np.cos(angle) * lateral + np.sin(angle) * cranial
        return -float(upward), anterior


def make_breasts(seed: int, number: int) -> tuple[Breast, Breast]:
    """Make the right and left breast of patient `number` of a cohort, which are similar but not equal."""
    rng = np.random.default_rng((seed, number, 0))
    depth = float(np.clip(rng.normal(104, 18), 62, 150))
    shared = {
        "depth": depth,
        "half_height": float(np.clip(0.88 * depth + 8 + rng.normal(0, 7), 62, 122)),
        "thickness": float(np.clip(rng.normal(59, 13) + 0.15 * (depth - 104), 25, 95)),
        "roundness": float(rng.uniform(1.75, 2.1)),
        "fullness": float(rng.uniform(1.9, 2.4)),
        "density": float(np.clip(np.exp(rng.normal(np.log(10.5), 0.65)), 2.5, 45)),
        "strands": float(rng.uniform(0.5, 1.0)),
        "beta": float(rng.uniform(2.3, 2.7)),
        "pectoral_angle": float(rng.uniform(14, 27)),
        "pectoral_reach": float(rng.uniform(0.75, 1.05)),
        "mlo_angle": float(rng.uniform(40, 55)),
    }
    return _make_breast(seed, number, "R", shared), _make_breast(seed, number, "L", shared)


def _make_breast(seed: int, number: int, laterality: str, shared: dict[str, float]) -> Breast:
    rng = np.random.default_rng((seed, number, 1 + (laterality == "L")))

    def near(name: str, spread: float) -> float:
        return float(shared[name] * (1 + np.clip(rng.normal(0, spread), -2.5 * spread, 2.5 * spread)))

    own = {name: near(name, 0.03) for name in ("depth", "half_height", "thickness", "pectoral_angle", "pectoral_reach")}
    coarse = draw_power_law_field(rng, (COARSE_VOXELS, COARSE_VOXELS, COARSE_VOXELS), beta=3.2, low=1.5)
    return Breast(laterality=laterality, **(shared | own), coarse_gland=coarse, lesions=_draw_lesions(rng))


def _draw_lesions(rng: np.random.Generator) -> tuple[Lesion, ...]:
    def place() -> tuple[float, float, float]:
        return float(rng.uniform(0.3, 0.75)), float(rng.uniform(-0.45, 0.45)), float(rng.uniform(-0.45, 0.45))

    lesions = []
    if rng.random() < 0.12:
        lesions.append(Lesion("mass", place(), float(rng.uniform(3, 9)), 1))
    if rng.random() < 0.12:
        lesions.append(Lesion("calcifications", place(), float(rng.uniform(3, 7)), int(rng.integers(8, 26))))
    return tuple(lesions)
