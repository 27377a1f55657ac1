"""The breast phantom as a mammogram: outline, composition, x-ray projection and grey values.

The steps, in the order of the code, are: outline of the view, path lengths through skin and breast, glandular tissue
with a power-law texture and strands towards the nipple, an offset that gives the intended volumetric density, lesions,
pectoral muscle, Beer-Lambert projection at 20 keV, quantum noise, and processing for presentation. All images are in
the canonical orientation: chest wall left, axilla or lateral side on top. docs/phantoms.md lists the sources.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from ganatomy.phantoms.breast import Breast, Lesion
from ganatomy.phantoms.fields import Field, draw_power_law_field, resize_field, sample_field
from ganatomy.pyramid import Shape

FIELD_MM = (256.0, 204.8)  # the detector: 1280 x 1024 pixels of 0.2 mm
FAT, GLAND, SKIN, MUSCLE = 0.0456, 0.0802, 0.080, 0.079  # attenuation at 20 keV, 1/mm (Johns and Yaffe 1987)
SKIN_MM = 1.45  # thickness (VICTRE uses 0.75 on each side of the compressed breast; measurements give 1 to 2 mm)
DUCTS_MM = 9.0  # from this distance of the nipple on, fat separates the gland from the skin
NIPPLE_MM = (5.0, 4.5)  # height and half width (VICTRE: radius 4, length 4)
BLOOD = 0.079  # attenuation at 20 keV, 1/mm, as of muscle (Johns and Yaffe 1987)
CALCIFICATION = 0.9  # extra attenuation of a calcification, 1/mm
PHOTONS = 6.0e4  # detected per 0.2 mm pixel without an object; determines the quantum noise
EQUALISED_SHARE = 0.74  # share of the missing path at the periphery that the processing compensates
DENSE_FRACTION = 0.35  # areal gland fraction from which a pixel counts as dense


@dataclass(frozen=True)
class PhantomMammogram:
    """One phantom mammogram with its true values.

    Args:
        pixels: (rows, columns) in [0, 1] for presentation, with the chest wall at the left and a background of 0.
        spacing: millimetres per pixel.
        truth: true values by name.
    """

    pixels: Field
    spacing: tuple[float, float]
    truth: dict[str, Any]


def make_mammogram(breast: Breast, view: str, seed: tuple[int, ...], shape: Shape = (1280, 1024)) -> PhantomMammogram:
    """Make a mammogram of a breast; the same arguments give the same pixels.

    Args:
        view: ``CC`` or ``MLO``.
        seed: seed of the fine texture and the noise.
        shape: rows and columns; the field of view is fixed, so they determine the spacing.
    """
    rng = np.random.default_rng(seed)
    mm = FIELD_MM[0] / shape[0]
    y = ((np.arange(shape[0], dtype=np.float32) + 0.5) * mm)[:, None]
    x = ((np.arange(shape[1], dtype=np.float32) + 0.5) * mm)[None]
    level = _find_nipple_level(breast, view)
    edge = _edge(breast, view, y[:, 0], level)
    inside, distance = _inside(edge, x, mm)
    path = _path(distance, breast.thickness)
    skin = path - _path(distance - SKIN_MM, breast.thickness)
    muscle = _muscle(breast, view, x, y, level) * inside if view == "MLO" else np.zeros((1, 1), np.float32)
    inner = (path - skin) * (1 - muscle)
    fraction = _gland(breast, view, rng, x, y, level, inner, distance, shape)
    nodule, calcified = _render_lesions(breast, view, rng, x, y, level, shape)
    fraction = np.maximum(fraction, nodule)
    gland = fraction * inner
    attenuation = FAT * (inner - gland) + GLAND * gland + SKIN * skin + MUSCLE * muscle * (path - skin)
    blood = _render_vessels(breast, view, level, mm, shape) * inside
    attenuation = attenuation + CALCIFICATION * calcified + (BLOOD - FAT) * blood
    pixels = _process_for_presentation(attenuation, path, inside, breast.thickness, rng, mm)
    truth = _make_truth(breast, view, inside, muscle, inner, gland, fraction, level, mm)
    return PhantomMammogram(pixels, (mm, mm), truth)


# ----------------------------------------------------------------------------------------------------------------------
# Outline: the extent of the breast from the chest wall in each row.


def _find_nipple_level(breast: Breast, view: str) -> float:
    """Find the row of the nipple in mm, which differs by woman and by view as positioning does."""
    middle = FIELD_MM[0] * (0.5 if view == "CC" else 0.60)
    return middle + breast.placement[view] + breast.nipple_offset * breast.half_height


def _edge(breast: Breast, view: str, y: Field, level: float) -> Field:
    """Extent in mm of each row: half a super-ellipse with the nipple; in MLO its upper branch reaches the axilla."""
    depth = breast.depth
    half = breast.half_height * np.where(y < level, 1 + breast.nipple_offset, 1 - breast.nipple_offset)
    t = (y - level) / half
    edge = depth * np.clip(1 - np.abs(t) ** breast.fullness, 0, None) ** (1 / breast.roundness)
    if view == "MLO":
        up = np.clip((level - y) / level, 0, 1)
        axilla = 0.42 * depth
        upper = axilla + (depth - axilla) * np.clip(1 - up**1.5, 0, None) ** 0.9
        edge = np.where(y < level, upper, edge)
    height, width = NIPPLE_MM
    return (edge + height * np.exp(-(((y - level) / width) ** 4))).astype(np.float32)


def _inside(edge: Field, x: Field, mm: float) -> tuple[Field, Field]:
    """Coverage of each pixel by the breast, which is gradual at the edge, and its distance to the skin in mm."""
    slope = np.gradient(edge, mm)
    near = (edge[:, None] - x) / np.sqrt(1 + np.minimum(slope, 50) ** 2)[:, None]
    inside = np.clip(near / mm + 0.5, 0, 1).astype(np.float32)
    step = max(1, len(edge) // 320)
    mask = np.pad(near[::step, ::step] > 0, ((0, 0), (4, 0)), mode="edge")  # the chest wall is not skin
    far = ndimage.distance_transform_edt(mask)[:, 4:] * (mm * step)
    far = resize_field(far.astype(np.float32), near.shape)
    trust = np.clip((far - 3) / 4, 0, 1)  # exact near the skin, where the path changes fast; smooth inside
    return inside, np.clip(near * (1 - trust) + far * trust, 0, None).astype(np.float32)


def _path(distance: Field, thickness: float) -> Field:
    """Path length of the x-rays through the compressed breast: h = T sqrt(u (2 - u)), u = distance / (T / 2)."""
    u = np.clip(distance / (thickness / 2), 0, 1)
    return (thickness * np.sqrt(u * (2 - u))).astype(np.float32)


# ----------------------------------------------------------------------------------------------------------------------
# Glandular tissue: its distribution, texture and amount.


def _gland(
    breast: Breast,
    view: str,
    rng: np.random.Generator,
    x: Field,
    y: Field,
    level: float,
    inner: Field,
    distance: Field,
    shape: Shape,
) -> Field:
    """Areal fraction of glandular tissue, 0 to 1, which gives the volumetric density of the breast."""
    half = (shape[0] // 2, shape[1] // 2)
    u, v = x / breast.depth, (y - level) / breast.half_height
    v = np.where(v < 0, v * (1.0 if view == "CC" else 0.8), v)
    # Fat below the skin, which the ducts cross on their way to the nipple.
    fat = np.clip(1 - (distance - SKIN_MM) / breast.subcutaneous, 0, 1)
    fat = fat * np.clip(np.hypot(y - level, x - breast.depth) / DUCTS_MM - 1, 0, 1)
    # A cone behind the nipple that becomes thinner towards the chest wall and the periphery.
    cone = -2.6 * np.clip(np.hypot((u - 0.56) / 0.52, v / 0.58) - 0.35, 0, None)
    coarse = breast.project_gland(view)
    place = sample_field(
        coarse, (v + 1) * len(coarse) / 3.2 + np.zeros_like(u), u * len(coarse) / 1.6 + np.zeros_like(v)
    )
    fine = draw_power_law_field(rng, shape, breast.beta, low=4)
    strands = resize_field(_strands(breast, rng, x[:, ::2], y[::2], level)[: half[0], : half[1]], shape)
    lobules = resize_field(np.abs(draw_power_law_field(rng, (half[0] // 2, half[1] // 2), 3.6, low=14)), shape)
    field: Field = cone + 0.8 * place + 0.75 * fine + 0.45 * breast.strands * strands - 0.3 * lobules - 3 * fat
    ligaments = resize_field(np.exp(-((draw_power_law_field(rng, half, 3.0, low=7) / 0.09) ** 2)), shape)
    soft = np.clip(0.5 + 0.35 * fine + 0.4 * strands, 0, 2)  # stroma between the fat lobules in the whole breast
    web = soft * (0.25 + ligaments.clip(0, 1))
    web = web * min(0.30, 0.45 * breast.density / 100 * float(inner.sum() / (web * inner).sum()))
    return _squash(field + _find_bias(field, web, inner, breast.density / 100), web)


def _strands(breast: Breast, rng: np.random.Generator, x: Field, y: Field, level: float) -> Field:
    """Ducts and strands: ridges of a noise in (log r, angle) about the nipple, long in r and narrow in the angle."""
    dx, dy = breast.depth - x + 6, y - level
    radius, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    noise = draw_power_law_field(rng, (256, 64), 2.2, low=6)
    rows = (angle / np.pi + 0.5) * 256 + 3.0 * np.sin(radius / 17 + breast.roundness * 40)
    ridges = 1 - 2.2 * np.abs(sample_field(noise, rows, np.log(radius) * 9))
    return np.clip(ridges, -1.2, 1).astype(np.float32)


def _squash(field: Field, web: Field) -> Field:
    # exp would be the most expensive function here; tanh(x / 2) / 2 + 1 / 2 is the same curve
    return np.clip(0.9 * (np.tanh(0.8 * field) + 1) / 2 + web, 0, 0.97)


def _find_bias(field: Field, web: Field, inner: Field, density: float) -> float:
    """Find the offset of the field for which gland volume / breast volume is the density, by bisection."""
    step = max(1, field.shape[0] // 160)
    field, web, inner = field[::step, ::step], web[::step, ::step], inner[::step, ::step]
    low, high = -12.0, 12.0
    for _ in range(24):
        middle = (low + high) / 2
        if (_squash(field + middle, web) * inner).sum() < density * inner.sum():
            low = middle
        else:
            high = middle
    return (low + high) / 2


# ----------------------------------------------------------------------------------------------------------------------
# Muscle and lesions.


def _muscle(breast: Breast, view: str, x: Field, y: Field, level: float) -> Field:
    """Compute the share of the path in pectoral muscle, a convex triangle in the upper corner at the chest wall."""
    reach = breast.pectoral_reach * level
    width = np.tan(np.deg2rad(breast.pectoral_angle)) * reach
    down = np.clip(y / reach, 0, 1)
    border = width * (1 - down) * (1 + 0.35 * down) - np.where(y > reach, y - reach, 0)
    depth = border - x
    return (np.clip(depth / 1.2 + 0.5, 0, 1) * (0.35 + 0.30 * np.clip(depth / 30, 0, 1))).astype(np.float32)


def _render_lesions(
    breast: Breast, view: str, rng: np.random.Generator, x: Field, y: Field, level: float, shape: Shape
) -> tuple[Field, Field]:
    """Areal fraction of masses, and path length in mm through calcifications."""
    nodule = np.zeros(shape, np.float32)
    calcified = np.zeros(shape, np.float32)
    for lesion in breast.lesions:
        cy, cx = _lesion_position_mm(breast, lesion, view, level)
        if lesion.kind == "mass":
            angle = np.arctan2(y - cy, x - cx)
            phases = rng.uniform(0, 2 * np.pi, 5)
            rim = sum(np.sin((3 + 2 * k) * angle + phase) / (2 + k) for k, phase in enumerate(phases))
            radius = lesion.radius_mm * (1 + 0.12 * rim)
            bump = np.clip(1.25 * (1 - np.hypot(y - cy, x - cx) / radius) + 0.2, 0, 1)
            nodule = np.maximum(nodule, 0.9 * bump.astype(np.float32))
        else:
            for _ in range(lesion.count):
                py, px = cy + rng.normal(0, lesion.radius_mm / 2), cx + rng.normal(0, lesion.radius_mm / 2)
                size = rng.uniform(0.1, 0.25)  # radius: 0.2 to 0.5 mm across
                mm = float(x[0, 1] - x[0, 0])
                rows = slice(max(0, int(py / mm) - 3), int(py / mm) + 4)
                columns = slice(max(0, int(px / mm) - 3), int(px / mm) + 4)
                squared = (y[rows] - py) ** 2 + (x[:, columns] - px) ** 2
                blurred = max(size, 0.5 * mm)
                calcified[rows, columns] += 2 * size * (size / blurred) ** 2 * np.exp(-squared / blurred**2)
    return nodule, calcified


def _lesion_position_mm(breast: Breast, lesion: Lesion, view: str, level: float) -> tuple[float, float]:
    vertical, anterior = breast.project_points(np.array(lesion.position), view)
    return float(level + vertical * breast.half_height), float(anterior * breast.depth)


def _render_vessels(breast: Breast, view: str, level: float, mm: float, shape: Shape) -> Field:
    """Path length in mm through blood vessels; where a pixel is wider than a vessel, its blood is spread."""
    blood = np.zeros(shape, np.float32)
    for vessel in breast.vessels:
        vertical, anterior = np.moveaxis(breast.project_points(vessel.points, view), -1, 0)
        radii = vessel.radius_mm * np.linspace(1, 0.5, len(vertical))
        for py, px, radius in zip(
            (level + vertical * breast.half_height) / mm, anterior * breast.depth / mm, radii / mm, strict=True
        ):
            wide = max(radius, 0.6)
            rows = np.arange(max(0, int(py - wide - 1)), min(shape[0], int(py + wide) + 3))
            columns = np.arange(max(0, int(px - wide - 1)), min(shape[1], int(px + wide) + 3))
            if rows.size and columns.size:
                squared = (rows[:, None] + 0.5 - py) ** 2 + (columns[None] + 0.5 - px) ** 2
                chord = 2 * mm * radius**2 / wide**2 * np.sqrt(np.clip(wide**2 - squared, 0, None))
                part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
                np.maximum(blood[part], chord, out=blood[part])
    return blood


# ----------------------------------------------------------------------------------------------------------------------
# Processing and true values.


def _process_for_presentation(
    attenuation: Field, path: Field, inside: Field, thickness: float, rng: np.random.Generator, mm: float
) -> Field:
    """Add quantum noise to the logarithm, equalise the periphery, apply contrast, and make the background black."""
    photons = PHOTONS * (mm / 0.2) ** 2 * np.exp(-attenuation)
    noisy = attenuation + rng.standard_normal(attenuation.shape, dtype=np.float32) / np.sqrt(photons)
    evened = noisy + EQUALISED_SHARE * FAT * (thickness - path)
    floor, ceiling = FAT * thickness * 0.84, FAT * thickness + (GLAND - FAT) * thickness * 0.98
    shown = 0.05 + 0.95 * np.clip((evened - floor) / (ceiling - floor), 0, 1) ** 0.85
    return np.clip(shown * inside, 0, 1).astype(np.float32)


def _make_truth(
    breast: Breast,
    view: str,
    inside: Field,
    muscle: Field,
    inner: Field,
    gland: Field,
    fraction: Field,
    level: float,
    mm: float,
) -> dict[str, Any]:
    tissue = inside * (np.broadcast_to(muscle, inside.shape) < 0.5)
    area = float(tissue.sum()) * mm**2
    volume, gland_volume = float(inner.sum()), float(gland.sum())
    density = 100 * gland_volume / volume
    return {
        "view_position": view,
        "laterality": breast.laterality,
        "density_percent": round(density, 3),
        "dense_area_percent": round(100 * float((tissue * (fraction > DENSE_FRACTION)).sum()) * mm**2 / area, 3),
        "birads": breast.birads,
        "breast_area_mm2": round(area, 1),
        "breast_volume_ml": round(volume * mm**2 / 1000, 2),
        "gland_volume_ml": round(gland_volume * mm**2 / 1000, 2),
        "thickness_mm": round(breast.thickness, 2),
        "nipple_y_mm": round(level, 2),
        "nipple_x_mm": round(breast.depth + NIPPLE_MM[0], 2),
        "pectoral_angle_degrees": round(breast.pectoral_angle, 2) if view == "MLO" else None,
        "lesions": [
            {
                "kind": lesion.kind,
                "radius_mm": round(lesion.radius_mm, 2),
                "count": lesion.count,
                "y_mm": round(_lesion_position_mm(breast, lesion, view, level)[0], 2),
                "x_mm": round(_lesion_position_mm(breast, lesion, view, level)[1], 2),
            }
            for lesion in breast.lesions
        ],
    }
