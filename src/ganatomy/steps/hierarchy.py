"""The sizes of hierarchical amortised training, derived from the shape of the volume (HA-GAN: Sun 2022).

At 256 cubed these are the paper's: features and low-resolution volume of 64 cubed, sub-volumes of 32 planes, a base of
4 cubed. The sizes for other shapes follow by halving.
"""

from ganatomy.pyramid import Shape, compute_pyramid

LOW_FACTOR = 4  # per axis: size of the volume divided by that of the features and of the low-resolution volume
SUB_VOLUME_DIVISOR = 8  # a sub-volume has about an eighth of the planes of the first axis
AXIS_MULTIPLE = 16  # every axis is a multiple of this, so that the features can be halved to a base of four or more
UPSAMPLINGS = 4  # maximum number of upsampling blocks of the generator's common part


def fits_hierarchy(shape: Shape) -> bool:
    """Whether n ≥ 16 and n mod 16 = 0 for every axis n, so that all sizes below exist."""
    return all(n >= AXIS_MULTIPLE and n % AXIS_MULTIPLE == 0 for n in shape)


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


def compute_feature_shapes(shape: Shape) -> tuple[Shape, ...]:
    """List the sizes of the features in G^A, from the base to those of A   (Sun 2022)."""
    return compute_pyramid(compute_low_shape(shape))[-1 - UPSAMPLINGS :]


def count_halvings(shape: Shape) -> int:
    """Count the halvings of an image of this shape before the last kernel, which covers the rest; 6 at 256 cubed."""
    return len(compute_pyramid(shape)) - 1
