"""The breast anatomy of one phantom patient, shared by her four views.

Distributions after Yaffe 2009 (thickness, volumetric density), Rodriguez-Ruiz 2017 (outlines) and VICTRE (Graff 2016).
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ganatomy.phantoms.fields import Field, draw_power_law_field

DENSITY_CUTS = (4.5, 7.5, 15.5)  # volumetric density in percent between BI-RADS A, B, C and D (Volpara's grades)
COARSE_VOXELS = 40  # voxels an axis of the shared three-dimensional distribution of gland


@dataclass(frozen=True)
class Lesion:
    """A mass or a cluster of calcifications at a place in the breast.

    Args:
        kind: ``mass`` or ``calcifications``.
        place: shares (anterior, lateral, cranial): 0 to 1 from the chest wall to the nipple, -1 to 1 for the others.
        radius_mm: of the mass or the cluster.
        count: calcifications in the cluster, 1 for a mass.
    """

    kind: str
    position: tuple[float, float, float]
    radius_mm: float
    count: int


@dataclass(frozen=True)
class Breast:
    """One breast, in millimetres; the same for both of its views.

    Args:
        depth: chest wall to nipple. `half_height`: half the extent along the chest wall.
        thickness: compressed.
        roundness, fullness: exponents n and m of the outline x = a (1 - |t|^m)^(1/n).
        density: volumetric, percent of the breast volume that is fibroglandular.
        coarse: (anterior, lateral, cranial) distribution of gland, unit variance; both views project it.
        beta: exponent of the fine texture.
        pectoral_angle: of the muscle's edge to the vertical in MLO, degrees.
        pectoral_reach: how far down the muscle goes, in shares of the height of the nipple.
        mlo_angle: of the projection, degrees from cranio-caudal.
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
        """Density class A to D by volumetric density."""
        return "ABCD"[sum(self.density >= cut for cut in DENSITY_CUTS)]

    def project_gland(self, view: str) -> Field:
        """Coarse gland (vertical, anterior) as seen in a view: the mean along the direction of the x-rays."""
        volume = self.coarse_gland
        if view == "MLO":
            volume = ndimage.rotate(volume, self.mlo_angle, axes=(1, 2), reshape=False, order=1, mode="grid-wrap")
        flat = volume.mean(2).T
        return ((flat - flat.mean()) / flat.std()).astype(np.float32)

    def project_lesion(self, lesion: Lesion, view: str) -> tuple[float, float]:
        """(vertical, anterior) shares of a lesion in a view; vertical -1 is the upper end of the picture."""
        anterior, lateral, cranial = lesion.position
        angle = np.deg2rad(self.mlo_angle)
        upward = lateral if view == "CC" else np.cos(angle) * lateral + np.sin(angle) * cranial
        return -float(upward), anterior


def make_breasts(seed: int, number: int) -> tuple[Breast, Breast]:
    """The right and left breast of patient `number` of a cohort: alike, not equal."""
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
