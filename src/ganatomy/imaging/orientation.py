"""The common orientation of all volumes: axes towards superior, posterior and left (S, P, L), as in DICOM slices.

An affine takes voxel indices to millimetres in NIfTI's axes (R, A, S). An image is not
resampled here; `sample_nearest` brings a mask to the grid of its image.
"""

from itertools import product
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ganatomy.imaging.image import UnusableImage

BODY_AXES = ("S", "P", "L")
LARGEST_SHEAR_DEGREES = 0.5  # away from a right angle; a tilted gantry and a sheared affine have more
SAME_VOXEL = 0.1  # voxels by which the corners of two grids may differ; headers hold rounded numbers
LARGEST_OBLIQUE_DEGREES = 30.0  # between the voxel axes and the body's; beyond, it is not clear which is which

Affine = NDArray[np.float64]


class OrientedVolume(NamedTuple):
    """A volume with S, P, L axes.

    Args:
        voxels: its values.
        spacing: millimetres between voxel centres along each axis.
        oblique: the angle of the axes of the file to those of the body in degrees.
        affine: from indices of `voxels` to millimetres in NIfTI's axes (R, A, S), as the file has it.
    """

    voxels: NDArray[np.float32]
    spacing: tuple[float, ...]
    oblique: float
    affine: Affine


def reorient_volume(voxels: NDArray[Any], affine: Affine) -> OrientedVolume:
    """Reorient voxels to S, P, L axes.

    Raises:
        UnusableImage: the affine is broken or sheared, or so oblique that no axis is the body's.
    """
    matrix = np.asarray(affine, dtype=np.float64)[:3, :3]
    spacing = np.linalg.norm(matrix, axis=0)
    if not np.isfinite(affine).all() or spacing.min() <= 0:
        raise UnusableImage("broken affine", "it has no size or is not finite")
    directions = matrix / spacing
    cosines = directions.T @ directions
    shear = float(np.degrees(np.arcsin(min(1.0, np.abs(cosines - np.eye(3)).max()))))
    if shear > LARGEST_SHEAR_DEGREES:
        raise UnusableImage("sheared affine", f"two axes are {90 - shear:.1f} degrees apart where 90 are needed")
    oblique = float(np.degrees(np.arccos(min(1.0, np.abs(directions).max(axis=0).min()))))
    if oblique > LARGEST_OBLIQUE_DEGREES:
        raise UnusableImage("too oblique", f"{oblique:.0f} degrees between voxel axes and body axes")
    now = nib.orientations.io_orientation(affine)
    wanted = nib.orientations.axcodes2ornt(BODY_AXES)
    turn = nib.orientations.ornt_transform(now, wanted)
    turned = np.ascontiguousarray(nib.orientations.apply_orientation(voxels, turn), dtype=np.float32)
    order = np.argsort(turn[:, 0]).astype(int)  # new axis -> old axis
    frame = np.asarray(affine, dtype=np.float64) @ nib.orientations.inv_ornt_aff(turn, voxels.shape)
    return OrientedVolume(turned, tuple(float(round(spacing[i], 6)) for i in order), round(oblique, 2), frame)


def convert_to_ras(volume: NDArray[Any], spacing: tuple[float, ...]) -> tuple[NDArray[Any], Affine]:
    """Convert an (S, P, L) volume to NIfTI's axes (R, A, S), with the affine whose origin is the volume's centre."""
    turned = np.ascontiguousarray(volume.transpose(2, 1, 0)[::-1, ::-1])
    affine = np.diag([*spacing[::-1], 1.0])
    affine[:3, 3] = [-s * (n - 1) / 2 for s, n in zip(spacing[::-1], turned.shape, strict=True)]
    return turned, affine


def compute_affine(shape: tuple[int, ...], spacing: tuple[float, ...]) -> Affine:
    """The matrix (4, 4) from the indices of an array to millimetres in NIfTI's axes (R, A, S), with its centre at zero.

    Args:
        shape: of an (S, P, L) volume, or of a picture (rows, columns), which has a third axis of one pixel of 1 mm.
        spacing: millimetres between voxel centres along each axis.
    """
    if len(shape) == 2:
        return np.diag([*spacing, 1.0, 1.0])
    matrix = np.zeros((4, 4))
    for axis, (row, sign) in enumerate(((2, 1), (1, -1), (0, -1))):  # S rises with S; P and L fall with A and R
        matrix[row, axis] = sign * spacing[axis]
        matrix[row, 3] = -sign * spacing[axis] * (shape[axis] - 1) / 2
    matrix[3, 3] = 1
    return matrix


def sample_nearest(
    values: NDArray[np.int32], affine: Affine, frame: Affine, shape: tuple[int, ...], is_sparse: bool = False
) -> tuple[NDArray[np.int32], bool]:
    """Sample a map of whole numbers on another grid, by the nearest voxel; zero outside the map.

    Args:
        values: the map, with the axes of its file.
        affine: from its indices to millimetres.
        frame: from the indices of the grid to the same millimetres.
        shape: of the grid.
        is_sparse: planes of zeros at the ends of the map may be absent.

    Returns:
        The values on the grid, and whether the grid has the voxels of the map, possibly in another order of axes.
    """
    matrix = np.linalg.inv(affine) @ frame
    nearest = np.rint(matrix)
    corners = np.array([(*corner, 1) for corner in product(*((0, n - 1) for n in shape))])  # a turn leaves two in place
    moved = np.abs(corners @ (matrix - nearest).T).max()
    turned = np.abs(nearest[:3, :3])
    same = bool(moved < SAME_VOXEL and (turned.sum(0) == 1).all() and (turned.sum(1) == 1).all())
    if same:
        matrix = nearest
        same = is_sparse or tuple((turned @ np.array(shape)).astype(int).tolist()) == values.shape
    sampled = ndimage.affine_transform(values, matrix[:3, :3], matrix[:3, 3], tuple(shape), order=0, cval=0)
    return np.asarray(sampled, dtype=np.int32), same
