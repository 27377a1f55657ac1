"""The breast anatomy of one phantom patient, shared by her four views.

The distributions follow Yaffe 2009 (thickness, volumetric density), Rodriguez-Ruiz 2017 (outlines) and VICTRE (Graff
2016).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ganatomy.phantoms.fields import Field, draw_power_law_field

DENSITY_CUTS = (4.5, 7.5, 15.5)  # volumetric density in percent between BI-RADS A, B, C and D (Volpara's grades)
VIEWS = ("CC", "MLO")
ROOM_MM = {"CC": 126.0, "MLO": 110.0}  # from the middle of a breast to the lower border of the detector
MOST_PLACEMENT_MM = 20.0
VESSEL_POINTS = 400
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
class Vessel:
    """A blood vessel: a curve from the chest wall towards the nipple, in the fat.

    Args:
        points: (n, 3) relative positions (anterior, lateral, cranial) along the curve, as in `Lesion`.
        radius_mm: radius at the chest wall; it falls to half of it at the other end.
    """

    points: Field
    radius_mm: float


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
        placement: distance by which each view lies lower on the detector than the middle of its kind, by view.
        nipple_offset: position of the nipple on the chest wall's axis, as a share of `half_height`; 0 is the middle,
            and the part of the outline above or below it is longer accordingly.
        subcutaneous: thickness of the fat between the skin and the gland.
        vessels: blood vessels, shown by both views.
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
    placement: Mapping[str, float]
    nipple_offset: float
    subcutaneous: float
    coarse_gland: Field
    vessels: tuple[Vessel, ...]
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

    def project_points(self, points: Field, view: str) -> Field:
        """Project relative positions (..., 3) to (vertical, anterior) in a view; vertical -1 is the upper end."""
        anterior, lateral, cranial = np.moveaxis(points, -1, 0)
        angle = np.deg2rad(self.mlo_angle)
        upward = lateral if view == "CC" else np.cos(angle) * lateral + np.sin(angle) * cranial
        return np.stack([-upward, anterior], -1)


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
        "subcutaneous": float(rng.uniform(3, 11)),
    }
    offset = float(np.clip(rng.normal(0, 0.1), -0.22, 0.22))
    return _make_breast(seed, number, "R", shared, offset), _make_breast(seed, number, "L", shared, offset)


def _make_breast(seed: int, number: int, laterality: str, shared: dict[str, float], shared_offset: float) -> Breast:
    rng = np.random.default_rng((seed, number, 1 + (laterality == "L")))

    def near(name: str, spread: float) -> float:
        return float(shared[name] * (1 + np.clip(rng.normal(0, spread), -2.5 * spread, 2.5 * spread)))

    own = {name: near(name, 0.03) for name in ("depth", "half_height", "thickness", "pectoral_angle", "pectoral_reach")}
    coarse = draw_power_law_field(rng, (COARSE_VOXELS, COARSE_VOXELS, COARSE_VOXELS), beta=3.2, low=1.5)
    lesions = _draw_lesions(rng)
    return Breast(
        laterality=laterality,
        **(shared | own),
        placement={view: _draw_placement(rng, ROOM_MM[view] - own["half_height"]) for view in VIEWS},
        nipple_offset=float(shared_offset + np.clip(rng.normal(0, 0.03), -0.06, 0.06)),
        coarse_gland=coarse,
        vessels=tuple(_draw_vessel(rng) for _ in range(rng.integers(2, 6))),
        lesions=lesions,
    )


def _draw_placement(rng: np.random.Generator, room: float) -> float:
    """Draw how much lower a view lies on the detector, in mm; the larger a breast is, the less room it has."""
    room = max(2.0, min(MOST_PLACEMENT_MM, room))
    return float(np.clip(rng.normal(0, room / 2), -room, room))


def _draw_vessel(rng: np.random.Generator) -> Vessel:
    """Draw a curve that begins at the chest wall, bends a few times and ends behind the nipple or before."""
    along = np.linspace(0, 1, VESSEL_POINTS)
    bends = np.cumsum(rng.normal(0, 1, (2, 5)), 1) / np.arange(1, 6)
    phases = 2 * np.pi * (np.arange(1, 6)[:, None] * along / 2 + rng.random((5, 1)))
    side = rng.choice((-1, 1), 2) * rng.uniform(0.15, 0.75, 2)
    sideways = side[:, None] * (1 - 0.6 * along) + 0.08 * bends @ np.sin(phases)
    points = np.stack([rng.uniform(0.55, 0.9) * along, *sideways], -1)
    return Vessel(points.astype(np.float32), float(rng.uniform(0.8, 2.0)))


def _draw_lesions(rng: np.random.Generator) -> tuple[Lesion, ...]:
    def place() -> tuple[float, float, float]:
        return float(rng.uniform(0.3, 0.75)), float(rng.uniform(-0.45, 0.45)), float(rng.uniform(-0.45, 0.45))

    lesions = []
    if rng.random() < 0.12:
        lesions.append(Lesion("mass", place(), float(rng.uniform(3, 9)), 1))
    if rng.random() < 0.12:
        lesions.append(Lesion("calcifications", place(), float(rng.uniform(3, 7)), int(rng.integers(8, 26))))
    return tuple(lesions)
