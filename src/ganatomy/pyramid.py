"""The sizes of an image pyramid, in which each level halves the one before."""

Shape = tuple[int, ...]

SMALLEST_AXIS = 4  # PGGAN starts at 4 x 4 (Karras 2018, table 2); 1280 x 1024 halved eight times is 5 x 4


def compute_pyramid(shape: Shape) -> tuple[Shape, ...]:
    """Compute all sizes from the base to `shape`, smallest first; level 0 is the base.

    The base is found by halving every axis while all axes are even and none would fall below four.

    >>> compute_pyramid((1280, 1024))[0], len(compute_pyramid((1280, 1024)))
    ((5, 4), 9)
    >>> compute_pyramid((8, 8, 8))
    ((4, 4, 4), (8, 8, 8))
    """
    sizes = [tuple(shape)]
    while all(n % 2 == 0 and n // 2 >= SMALLEST_AXIS for n in sizes[0]):
        sizes.insert(0, tuple(n // 2 for n in sizes[0]))
    return tuple(sizes)


Spacing = tuple[float, ...]  # millimetres between voxel centres, in array order


def rescale_spacing(spacing: Spacing | None, shape: Shape, new_shape: Shape) -> Spacing | None:
    """Compute the spacing if `new_shape` voxels cover the region of `shape` voxels; None stays None.

    >>> rescale_spacing((0.1, 0.1), (1280, 1024), (640, 512))
    (0.2, 0.2)
    """
    if spacing is None:
        return None
    return tuple(s * n / m for s, n, m in zip(spacing, shape, new_shape, strict=True))


def format_shape(shape: Shape) -> str:
    """Format a shape, such as ``1280x1024``."""
    return "x".join(str(n) for n in shape)
