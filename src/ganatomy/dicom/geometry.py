"""Geometry of slices: whether two slices have the same geometry, and whether a stack is one regular volume.

Headers are decimal text, and programs round their values. The tolerances below allow for this rounding. They are
smaller than a shift by half a pixel and than a missing slice.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ganatomy.imaging.image import UnusableImage
from ganatomy.imaging.orientation import LARGEST_SHEAR_DEGREES

ANGLE_TOLERANCE_DEGREES = 0.1  # for cosines with three decimals; 0.3 mm at 180 mm from the centre of a slice
LENGTH_TOLERANCE = 2e-3  # for the length of a normal, computed from cosines with three decimals
PARALLEL_DEGREES = 10.0  # slices within this angle are parts of one irregular volume, not two views
SPACING_TOLERANCE = 0.001  # relative to the Pixel Spacing; half a pixel over 512
STEP_TOLERANCE = 0.02  # allowed difference of a distance between neighbours, relative to the median distance
PLACE_TOLERANCE_MM = 0.1  # allowed offset from an even position, for positions rounded to 0.1 mm at both ends
PLACE_TOLERANCE_SHARE = 0.25  # the same for thin slices, relative to the distance; a missing slice causes 0.5
SIDE_TOLERANCE_MM = 0.5  # allowed shift of a slice in its plane
DOUBLED_MM = 1e-3  # slices that are closer have the same position
SPACE_AXES = 3

Points = NDArray[np.float64]


def find_normal(orientation: Sequence[float]) -> Points:
    """Compute the normal of slices from the six direction cosines of Image Orientation (Patient).

    Raises:
        UnusableImage: they are not two perpendicular directions.
    """
    row, column = np.array(orientation, dtype=np.float64).reshape(2, SPACE_AXES)
    normal = np.cross(row, column)
    length = float(np.linalg.norm(normal))
    if abs(length - 1) > LENGTH_TOLERANCE:
        raise UnusableImage("broken orientation", "Image Orientation (Patient) is not two directions at right angles")
    return np.asarray(normal / length)


def has_same_orientation(
    one: Sequence[float], other: Sequence[float], tolerance: float = ANGLE_TOLERANCE_DEGREES
) -> bool:
    """Whether rows and columns of two slices have the same directions to within `tolerance` degrees."""
    first, second = (np.reshape(cosines, (2, SPACE_AXES)).astype(np.float64) for cosines in (one, other))
    lengths = [np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-9) for directions in (first, second)]
    apart = np.linalg.norm(first / lengths[0] - second / lengths[1], axis=1)
    return bool((apart <= np.radians(tolerance)).all())


def has_same_spacing(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two Pixel Spacings agree to within `SPACING_TOLERANCE`."""
    return len(one) == len(other) and bool(np.allclose(one, other, rtol=SPACING_TOLERANCE, atol=0))


def find_step(places: Points, normal: Points, names: Sequence[str]) -> Points:
    """Find the vector from slice to slice, which must be the same for all.

    Args:
        places: (slices, 3) positions in millimetres, in order along the normal.
        normal: (3,) unit normal of the slices.
        names: names of the slices, for messages.

    Raises:
        UnusableImage: slices are doubled, missing, unevenly spaced, or shifted as by a tilted gantry.
    """
    gaps = np.diff(places @ normal)
    usual = float(np.median(gaps))
    doubled = np.flatnonzero(gaps < max(DOUBLED_MM, STEP_TOLERANCE * usual))
    if len(doubled) or usual <= 0:
        at = int(doubled[0]) if len(doubled) else 0
        raise UnusableImage(
            "duplicate slices",
            f"{len(doubled)} of {len(places)} lie where another one lies, such as {names[at]} and {names[at + 1]};"
            " keep one of each place, or put each volume into a folder of its own",
        )
    step = (places[-1] - places[0]) / (len(places) - 1)
    off = places - (places[0] + np.arange(len(places))[:, None] * step)
    _check_even(gaps, usual, np.abs(off @ normal), names)
    _check_straight(off - np.outer(off @ normal, normal), step, normal, names)
    return step


def _check_even(gaps: Points, usual: float, off: Points, names: Sequence[str]) -> None:
    """Check that slices are evenly spaced to within rounding.

    Raises:
        UnusableImage: slices are missing or unevenly spaced.
    """
    rounding = min(PLACE_TOLERANCE_MM, PLACE_TOLERANCE_SHARE * usual) + 1e-6
    if off.max() <= rounding or np.abs(gaps - usual).max() <= STEP_TOLERANCE * usual:
        return
    absent = np.maximum(np.rint(gaps / usual - 1), 0)  # number of missing slices in each gap
    if missing := int(absent.sum()):
        at = int(gaps.argmax())
        raise UnusableImage(
            "missing slices",
            f"{missing} at {int((absent > 0).sum())} places, {usual:.3g} mm apart otherwise; the widest gap,"
            f" {gaps[at]:.3g} mm, is between {names[at]} and {names[at + 1]}; fetch the series again",
        )
    at = int(np.abs(gaps - usual).argmax())
    raise UnusableImage(
        "uneven slices",
        f"{gaps.min():.3g} to {gaps.max():.3g} mm apart, most unlike the others between {names[at]} and"
        f" {names[at + 1]}; {100 * STEP_TOLERANCE:.0f} % or {PLACE_TOLERANCE_MM} mm are accepted",
    )


def _check_straight(aside: Points, step: Points, normal: Points, names: Sequence[str]) -> None:
    """Check that slices lie behind one another.

    Raises:
        UnusableImage: a slice is shifted in its plane, or the shift grows from slice to slice.
    """
    cosine = float(step @ normal) / float(np.linalg.norm(step))
    tilt = float(np.degrees(np.arccos(min(1.0, cosine))))
    if tilt > LARGEST_SHEAR_DEGREES:
        raise UnusableImage(
            "gantry tilt",
            f"{tilt:.1f} degrees between the slices' normal and the way from slice to slice;"
            f" {LARGEST_SHEAR_DEGREES} are accepted: resample the volume first",
        )
    shifts = np.linalg.norm(aside, axis=1)
    if shifts.max() > SIDE_TOLERANCE_MM:
        raise UnusableImage(
            "shifted slices",
            f"{names[int(shifts.argmax())]} lies {shifts.max():.3g} mm beside the line of the others;"
            f" {SIDE_TOLERANCE_MM} mm are accepted",
        )
