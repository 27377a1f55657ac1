"""The sizes of hierarchical amortised training, all from the shape of the volume by rule (HA-GAN: Sun 2022).

At 256 cubed these are the paper's: features and low-resolution volume of 64 cubed, sub-volumes of 32 planes, a base of
4 cubed. Other shapes follow by halving, so no size is written down twice.
"""

from ganatomy.pyramid import Shape, compute_pyramid

LOW_FACTOR = 4  # voxels of the volume an axis for one of the features and of the low-resolution volume
SUB_VOLUME_DIVISOR = 8  # a sub-volume is about this part of the volume, along the first axis
AXIS_MULTIPLE = 16  # of which every axis must be one: then the features still halve to a base of four or more
UPSAMPLINGS = 4  # up-sampling blocks of the generator's common part


def fits_hierarchy(shape: Shape) -> bool:
    """Whether the rule has an answer: every axis is a multiple of 16."""
    return all(n >= AXIS_MULTIPLE and n % AXIS_MULTIPLE == 0 for n in shape)


def compute_low_shape(shape: Shape) -> Shape:
    """Size of the features A and of the low-resolution volume: a quarter of every axis."""
    return tuple(n // LOW_FACTOR for n in shape)


def compute_sub_volume_depth(depth: int) -> int:
    """Planes of a sub-volume: the multiple of 4 nearest to an eighth of the volume that divides it without remainder.

    >>> [compute_sub_volume_depth(n) for n in (256, 128, 32, 48, 80)]
    [32, 16, 4, 8, 8]
    """
    divisors = [n for n in range(LOW_FACTOR, depth + 1, LOW_FACTOR) if depth % n == 0]
    return min(divisors, key=lambda n: (max(n * SUB_VOLUME_DIVISOR / depth, depth / n / SUB_VOLUME_DIVISOR), -n))


def compute_feature_shapes(shape: Shape) -> tuple[Shape, ...]:
    """Sizes that the features pass through in the generator's common part, base first."""
    return compute_pyramid(compute_low_shape(shape))[-1 - UPSAMPLINGS :]


def count_halvings(shape: Shape) -> int:
    """How often an image of this shape is halved before its last, full-size kernel; 6 at 256 cubed."""
    return len(compute_pyramid(shape)) - 1
