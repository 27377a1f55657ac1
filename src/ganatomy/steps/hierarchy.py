"""The sizes of hierarchical amortised training, derived from the shape of the volume (HA-GAN: Sun 2022).

At 256 cubed these are the paper's: features and low-resolution volume of 64 cubed, sub-volumes of 32 planes, a base of
4 cubed. The sizes for other shapes follow by halving (`compute_sizes`).
"""

import math
from collections.abc import Iterator
from itertools import pairwise, product

from ganatomy.pyramid import SMALLEST_AXIS, Shape, compute_pyramid, format_shape

LOW_FACTOR = 4  # per axis: size of the volume divided by that of the features and of the low-resolution volume
SUB_VOLUME_DIVISOR = 8  # a sub-volume has about an eighth of the planes of the first axis
AXIS_MULTIPLE = 16  # every axis is a multiple of this, so that the features can be halved to a base of four or more
MANY_BASE_POINTS = 256  # a base with more points is halved further along the axes that allow it
MOST_BASE_POINTS = 15**3  # of a base; that of 240 cubed, the cube up to 256 with the largest base
LARGEST_EASY_BASE = 7  # an axis whose odd divisors are at most 7 is halved to a base of 4 to 7


def fits_hierarchy(shape: Shape) -> bool:
    """Whether n ≥ 16 and n mod 16 = 0 for every axis n, so that all sizes below exist."""
    return all(n >= AXIS_MULTIPLE and n % AXIS_MULTIPLE == 0 for n in shape)


def find_shape_problem(shape: Shape) -> str | None:
    """Say why networks cannot have this shape, with the nearest shapes that they can have; None if they can.

    >>> find_shape_problem((48, 256, 256))
    >>> find_shape_problem((1300, 1000))
    'every axis must be a multiple of 16; the nearest shapes that fit are 1280,1024 and 1280,896'
    """
    if not fits_hierarchy(shape):
        why = f"every axis must be a multiple of {AXIS_MULTIPLE}"
    elif (points := math.prod(compute_sizes(shape)[0])) > MOST_BASE_POINTS:
        why = (
            f"its axes can be halved only to {format_shape(compute_sizes(shape)[0])}, which is {points:,} points where"
            f" a network can begin with {MOST_BASE_POINTS:,}"
        )
    else:
        return None
    nearest = " and ".join(",".join(map(str, one)) for one in _find_nearest_shapes(shape))
    return f"{why}; the nearest shapes that fit are {nearest}"


def _find_nearest_shapes(shape: Shape, count: int = 2) -> list[Shape]:
    """Find the accepted shapes with the nearest ratios of their axes, the nearest first; equal axes stay equal."""

    def measure_distance(other: Shape) -> float:
        return sum(abs(math.log(n / max(m, 1))) for n, m in zip(other, shape, strict=True))

    lengths = sorted(set(shape))
    changes = (dict(zip(lengths, new, strict=True)) for new in product(*(set(_list_near_lengths(n)) for n in lengths)))
    shapes = (tuple(change[n] for n in shape) for change in changes)
    accepted = [one for one in shapes if math.prod(compute_sizes(one)[0]) <= MOST_BASE_POINTS]
    return sorted(accepted, key=lambda one: (measure_distance(one), one))[:count]


def _list_near_lengths(n: int) -> Iterator[int]:
    """List the lengths nearest to n that can be halved to a base of 4 to 7, and n itself if it is a multiple of 16."""
    below = max(AXIS_MULTIPLE, n // AXIS_MULTIPLE * AXIS_MULTIPLE)
    above = max(AXIS_MULTIPLE, -(-n // AXIS_MULTIPLE) * AXIS_MULTIPLE)
    yield next(m for m in range(below, 0, -AXIS_MULTIPLE) if _is_easy(m))
    yield next(m for m in range(above, 2 * above + 1, AXIS_MULTIPLE) if _is_easy(m))
    if n == below:
        yield n


def _is_easy(n: int) -> bool:
    """Whether halving reaches a base of 4 to 7."""
    return n // (n & -n) <= LARGEST_EASY_BASE


def compute_tiny_shape(shape: Shape) -> Shape:
    """Halve all axes while the networks accept the result and no axis falls below 32.

    >>> compute_tiny_shape((256, 256, 256)), compute_tiny_shape((1280, 1024)), compute_tiny_shape((48, 256, 256))
    ((32, 32, 32), (80, 64), (48, 256, 256))
    """
    smaller = tuple(n // 2 for n in shape)
    if min(smaller) < 2 * AXIS_MULTIPLE or not fits_hierarchy(smaller) or any(n % 2 for n in shape):
        return shape
    return compute_tiny_shape(smaller)


def compute_low_shape(shape: Shape) -> Shape:
    """n / 4 for every axis n: the size of the features A and of the low-resolution volume x_low   (Sun 2022)."""
    return tuple(n // LOW_FACTOR for n in shape)


def compute_sub_volume_depth(depth: int) -> int:
    """Planes of a sub-volume x_r: the divisor of the depth n, a multiple of 4, that is nearest to n / 8   (Sun 2022).

    Nearest means that the ratio of the two is closest to one. The paper's 256 planes give 32.

    >>> [compute_sub_volume_depth(n) for n in (256, 128, 32, 48, 80)]
    [32, 16, 4, 8, 8]
    """
    divisors = [n for n in range(LOW_FACTOR, depth + 1, LOW_FACTOR) if depth % n == 0]
    return min(divisors, key=lambda n: (max(n * SUB_VOLUME_DIVISOR / depth, depth / n / SUB_VOLUME_DIVISOR), -n))


def compute_sizes(shape: Shape) -> tuple[Shape, ...]:
    """List the sizes of an image from its smallest base to `shape`; each size halves some or all axes of the next.

    All axes are halved together while all are even and none would fall below four, as in the paper. If the base has
    more than 256 points then, because one axis is short or has an odd divisor, every axis that can still be halved is
    halved by itself, until the base is so small or no axis can be halved. The number of points at the base determines
    the size of the generator's dense layer.

    >>> compute_sizes((16, 16, 16))
    ((4, 4, 4), (8, 8, 8), (16, 16, 16))
    >>> compute_sizes((12, 64, 64))
    ((6, 4, 4), (6, 8, 8), (6, 16, 16), (6, 32, 32), (12, 64, 64))
    >>> compute_sizes((1024, 832))[:2]
    ((16, 13), (32, 26))
    """
    sizes = list(compute_pyramid(shape))
    while math.prod(sizes[0]) > MANY_BASE_POINTS:
        halved = tuple(n // 2 if n % 2 == 0 and n // 2 >= SMALLEST_AXIS else n for n in sizes[0])
        if halved == sizes[0]:
            break
        sizes.insert(0, halved)
    return tuple(sizes)


def compute_feature_shapes(shape: Shape) -> tuple[Shape, ...]:
    """List the sizes of the features in G^A, from the base to those of A   (Sun 2022)."""
    return compute_sizes(compute_low_shape(shape))


def count_halvings(shape: Shape) -> int:
    """Count the halvings of an image of this shape before the last kernel, which covers the rest; 6 at 256 cubed."""
    return len(compute_sizes(shape)) - 1


def list_halved_axes(shape: Shape) -> list[tuple[bool, ...]]:
    """List, for each halving of an image from its full size to its base, which axes are halved."""
    sizes = compute_sizes(shape)[::-1]
    return [tuple(n > m for n, m in zip(a, b, strict=True)) for a, b in pairwise(sizes)]


def compute_rising_widths(widest: int, narrowest: int, count: int) -> list[int]:
    """List the channels after each of `count` halvings: doubled at each, `widest` at the last, never below `narrowest`.

    >>> compute_rising_widths(512, 16, 7)
    [16, 16, 32, 64, 128, 256, 512]
    """
    return [max(narrowest, widest // 2 ** (count - 1 - i)) for i in range(count)]
